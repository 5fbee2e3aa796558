"""Stops a rank whose samples mostly fail: a wrong root, a broken model, a prompt that fits nothing."""

from collections import Counter, deque

from MetaCaptioner.errors import UserError

WINDOW = 200


class TooManyErrors(UserError):
    """To go on would be pointless; what failed has its records."""


class ErrorRate:
    """The outcomes of the last `WINDOW` samples; fewer say nothing yet."""

    def __init__(self, allowed: float) -> None:
        self._allowed = allowed
        self._outcomes: deque[str | None] = deque(maxlen=WINDOW)

    def note(self, error_kind: str | None, message: str = "") -> None:
        """Note how a sample ended: the kind of its error and what it says, or None.

        Raises:
            TooManyErrors: a larger share of the last samples than is allowed has failed.
        """
        self._outcomes.append(error_kind)
        kinds = Counter(kind for kind in self._outcomes if kind is not None)
        if len(self._outcomes) == WINDOW and kinds.total() > self._allowed * WINDOW:
            reasons = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
            raise TooManyErrors(
                f"{kinds.total()} of the last {WINDOW} samples failed ({reasons}): more than --max-error-rate "
                f"{self._allowed:g} allows. The last: {message:.300}. Mend the cause, then run the same command with "
                "--retry-errors; or allow more"
            )
