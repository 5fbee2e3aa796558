"""The errors that are meant for the user, each with the exit status or the record that it ends in."""

BAD_ROW = "bad_row"
"""The kind of error of a row that is wrong."""
NO_MEDIA = "no_media"
"""The kind of error of a row with neither picture nor clip, such as one of text alone: there is nothing to be done."""
KNOWN_BEFOREHAND = frozenset({BAD_ROW, NO_MEDIA})
"""What is known of a row before any of its media are opened; it says nothing of how a run goes."""


class UserError(Exception):
    """The run cannot be done; the message is the one line that says why. Exit status 1."""

    exit_status = 1


class BadArguments(UserError):
    """The command line is wrong. Exit status 2."""

    exit_status = 2


class StoppedEarly(UserError):
    """A signal ended the run; the same command goes on where it stopped. Exit status 3."""

    exit_status = 3


class EngineDead(UserError):
    """The engine is gone, and this process with it: another worker goes on.

    Exit status 4, which only the supervisor sees.
    """

    exit_status = 4


class SampleError(Exception):
    """One sample cannot be done. It ends as an error record `{"kind": …, "message": …}`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> "tuple[type[SampleError], tuple[str, str]]":
        """It must reach the rank from helper processes."""
        return type(self), (self.kind, self.message)
