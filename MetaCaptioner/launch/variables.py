"""Settings from the environment, each checked: what is not as it must be is one line for the user."""

import math
import re
from collections.abc import Mapping

from MetaCaptioner.errors import BadArguments

_WHOLE = re.compile(r"[0-9]{1,9}")


def whole_number(environment: Mapping[str, str], name: str, least: int, otherwise: int) -> int:
    """A whole number from `least`; `otherwise` where the variable is not set, or empty.

    Raises:
        BadArguments: it is something else.
    """
    text = environment.get(name) or str(otherwise)
    if not _WHOLE.fullmatch(text) or int(text) < least:
        raise BadArguments(f"{name} must be a whole number from {least}, not '{text}'")
    return int(text)


def seconds(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    """A time of no less than 0 seconds; `otherwise` where the variable is not set, or empty.

    Raises:
        BadArguments: it is something else.
    """
    text = environment.get(name) or str(otherwise)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise BadArguments(f"{name} must be a number of seconds, not '{text}'")
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
