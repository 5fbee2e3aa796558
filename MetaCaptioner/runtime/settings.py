"""What the user sets in the environment, in place of flags."""

import re
from collections.abc import Mapping

from MetaCaptioner.errors import BadArguments

_WHOLE = re.compile(r"[0-9]{1,9}")


def whole_number(environment: Mapping[str, str], name: str, least: int, otherwise: int | None) -> int:
    """The value of a variable; `otherwise` where it is empty or not set and there is such a value.

    Raises:
        BadArguments: it is no whole number from `least`.
    """
    text = environment.get(name, "")
    if not text and otherwise is not None:
        return otherwise
    if not _WHOLE.fullmatch(text) or int(text) < least:
        raise BadArguments(f"{name} must be a whole number from {least}, not '{text}'")
    return int(text)
