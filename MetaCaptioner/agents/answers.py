"""What an agent has answered, where it has to fit a schema: its value, and the fields of it for later prompts."""

from MetaCaptioner.agents.answer_schema import Schema, validator_of
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.utils.json_text import NotJson, from_json, to_json

_MESSAGE_CHARACTERS = 200


def parse_answer(name: str, text: str, schema: Schema, cut_at: int | None) -> object:
    """The value of an agent's answer; `cut_at` is the number of its tokens where these were all that it may have.

    Line breaks and the like inside strings, which grammars let pass, are accepted.

    Raises:
        SampleError: `bad_answer`, it is no JSON or does not fit.
    """
    from jsonschema.exceptions import best_match

    try:
        data: object = from_json(text, finite=True, strict=False)
    except ValueError as error:
        why = f"was cut at {cut_at} tokens" if cut_at is not None else f"is no JSON: {error}"
        raise SampleError(ErrorKind.BAD_ANSWER, f"agent '{name}': the answer {why}") from error
    try:
        problem = best_match(validator_of(schema).iter_errors(data))
    except RecursionError as error:
        raise SampleError(ErrorKind.BAD_ANSWER, f"agent '{name}': the answer is nested too deep") from error
    if problem is not None:
        told = " ".join(f"{problem.json_path}: {problem.message}".split())
        message = f"agent '{name}': the answer does not fit its schema: {told:.{_MESSAGE_CHARACTERS}}"
        raise SampleError(ErrorKind.BAD_ANSWER, message)
    return data


def field_texts(name: str, data: object) -> dict[str, str]:
    """The fields of an answer as texts for prompts, by placeholder: strings as they are, others as JSON."""
    found: dict[str, str] = {}
    waiting: list[tuple[str, object]] = [(name, data)]
    while waiting:
        place, value = waiting.pop()
        if place != name:
            found[place] = value if isinstance(value, str) else _as_text(value)
        if isinstance(value, dict):
            waiting += [(f"{place}.{key}", inner) for key, inner in value.items() if key.isidentifier()]
    return found


def _as_text(value: object) -> str:
    try:
        return to_json(value).decode()
    except NotJson:  # a record of elsewhere, nested deeper than anything can be written
        return "…"


def strings_in(text: str) -> list[str]:
    """The strings among the values of a JSON text; none where it is no JSON."""
    try:
        waiting: list[object] = [from_json(text, strict=False)]
    except ValueError:
        return []
    found: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    return found
