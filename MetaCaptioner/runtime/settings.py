"""What the user sets in the environment, in place of flags; each value is checked."""

import math
import re
from collections.abc import Mapping

from MetaCaptioner.errors import BadArguments

_WHOLE = re.compile(r"[0-9]{1,9}")


def whole_number(environment: Mapping[str, str], name: str, least: int, otherwise: int | None) -> int:
    """A whole number from `least`; `otherwise` where the variable is not set, or empty, and there is such a value.

    Raises:
        BadArguments: it is something else.
    """
    text = environment.get(name, "")
    if not text and otherwise is not None:
        return otherwise
    if not _WHOLE.fullmatch(text) or int(text) < least:
        raise BadArguments(f"{name} must be a whole number from {least}, not '{text}'")
    return int(text)


def seconds(environment: Mapping[str, str], name: str, otherwise: float, least: float = 0.0) -> float:
    """A time of no less than `least` seconds; `otherwise` where the variable is not set, or empty.

    Raises:
        BadArguments: it is something else.
    """
    text = environment.get(name) or str(otherwise)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        from_least = f" from {least:g}" if least else ""
        raise BadArguments(f"{name} must be a number of seconds{from_least}, not '{text}'")
    return value


def yes_or_no(environment: Mapping[str, str], name: str, otherwise: bool) -> bool:
    """Whether a variable says `yes`; `otherwise` where it is not set, or empty.

    Raises:
        BadArguments: it says neither `yes` nor `no`.
    """
    text = environment.get(name) or ("yes" if otherwise else "no")
    if text not in ("yes", "no"):
        raise BadArguments(f"{name} must be yes or no, not '{text}'")
    return text == "yes"
