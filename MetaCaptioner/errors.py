"""The errors that are meant for the user, each with the exit status or the record that it ends in."""

import errno

BAD_ROW = "bad_row"
"""The kind of error of a row that is wrong."""
NO_MEDIA = "no_media"
"""The kind of error of a row with neither picture nor clip, such as one of text alone: there is nothing to be done."""
MEDIA_OUTSIDE_ROOT = "media_outside_root"
"""The kind of error of media that a name, or a link, finds outside the dataset's root: nothing of them is read."""
MEDIA_MISSING = "media_missing"
"""The kind of error of media that are not there."""
MEDIA_UNREADABLE = "media_unreadable"
"""The kind of error of media that are there, as far as is known, and cannot be read: the disk, server or rights."""
_THERE_IS_NONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR})
_NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EINTR", "EBUSY", "ENOMEM", "ENOBUFS", "EREMOTEIO", "ENOLCK"),
        *("ENOTCONN", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "ESHUTDOWN", "ENETDOWN", "ENETUNREACH"),
        *("ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENOLINK", "ECOMM", "EPROTO"),
    )
)
"""As file systems on networks, and failing disks, answer for a while. Source: errno(3), nfs(5)."""
ENGINE_CRASH = "engine_crash"
"""The kind of error of a sample that was in flight at several deaths of a worker, at the last one alone."""
KNOWN_BEFOREHAND = frozenset({BAD_ROW, NO_MEDIA})
"""What is known of a row before any of its media are opened; it says nothing of how a run goes."""


class UserError(Exception):
    """The run cannot be done; the message is the one line that says why. Exit status 1."""

    exit_status = 1


class ResultError(UserError):
    """A result file cannot be written or read; what it holds is kept."""


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


class WorkerFailed(UserError):
    """What nobody foresaw has ended this process, a worker: what it was is above. Another worker goes on.

    Exit status 5, which only the supervisor sees: 1, by which Python itself ends then, is for what the user must mend.
    """

    exit_status = 5


class OutOfFiles(UserError):
    """This process may open no more files: no fault of the sample that was next."""


class SampleError(Exception):
    """One sample cannot be done. It ends as an error record `{"kind": …, "message": …}`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> "tuple[type[SampleError], tuple[str, str]]":
        """It must reach the rank from helper processes."""
        return type(self), (self.kind, self.message)


class DecodeError(Exception):
    """There is nothing to see, and why, without the file's name; `kind` is that of the error record."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class PassingError(SampleError):
    """One that may be gone in a moment, such as a server that does not answer: worth another try in the same run."""


def cannot_be_read(error: OSError, what: str) -> Exception:
    """What an error of the operating system means for the sample whose media `what` are; to be raised.

    Returns:
        A `SampleError` of the kind `media_missing` or `media_unreadable`, or `OutOfFiles`.
    """
    reason = f"{what}: cannot be read: {error.strerror or error}"
    if error.errno in _NO_MORE_FILES:
        return OutOfFiles(f"{reason}; allow this process more of them (ulimit -n), or give it fewer --decode-threads")
    if error.errno in _THERE_IS_NONE:
        return SampleError(MEDIA_MISSING, reason)
    return (PassingError if error.errno in _PASSING else SampleError)(MEDIA_UNREADABLE, reason)
