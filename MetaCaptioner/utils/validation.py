"""What pydantic found wrong, in the words of an error for the user."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic as `field: what is wrong`."""
    return all_problems(error)[0]


def all_problems(error: ValidationError) -> list[str]:
    """Every complaint of pydantic as `field: what is wrong`."""
    return [_told(problem) for problem in error.errors(include_url=False)]


def _told(problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if problem["type"] == "missing" else f" (got {problem['input']!r:.60})"
    return f"{where}: {message}{got}" if where else message
