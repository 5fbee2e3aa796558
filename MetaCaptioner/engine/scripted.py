"""An engine without a model: answers made from the request alone. For dry runs of a plan, and for tests."""

import asyncio
import hashlib
import json
from pathlib import Path

from MetaCaptioner.domains import Modality
from MetaCaptioner.engine import SYSTEM_MESSAGE, Completion, Constraint, Request
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.options import EngineOptions


class ScriptedEngine:
    """Answers at once, or after `--engine-arg delay=SECONDS`; the same request gets the same answer.

    With `--engine-arg log=FILE` the id of every request is appended to a file, a line each.
    """

    pixel_multiple = 28
    cache_tokens: int | None = None

    def __init__(self, options: EngineOptions) -> None:
        unknown = sorted(set(options.extra) - {"delay", "log"})
        delay, log = options.extra.get("delay", 0.0), options.extra.get("log", "")
        if unknown or not isinstance(delay, int | float) or not isinstance(log, str):
            raise BadArguments("the scripted engine takes only --engine-arg delay=SECONDS and log=FILE")
        self.model = "scripted"
        self._delay = float(delay)
        self._log = Path(log) if log else None

    async def generate(self, request: Request) -> Completion:
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(f"{request.request_id}\n")
        await asyncio.sleep(self._delay)
        media = request.media.media_id if request.media else "no media"
        digest = hashlib.sha256(f"{media}\n{request.instruction}".encode()).hexdigest()
        text, probabilities = _answer(request.constraint, digest)
        return Completion(
            text=text,
            finish_reason="stop",
            input_tokens=len(request.instruction) // 4,
            cached_tokens=0,
            output_tokens=len(text) // 4,
            first_token_probabilities=probabilities,
        )

    def prompt_text(self, instruction: str, modality: Modality | None) -> str:
        return f"{SYSTEM_MESSAGE}\n<{modality or 'no media'}>\n{instruction}"

    def close(self) -> None:
        pass


def _answer(constraint: Constraint | None, digest: str) -> tuple[str, dict[str, float]]:
    """The answer and the probabilities of its first token."""
    number = int(digest[:8], 16)
    if constraint is not None and constraint.choices:
        choice = constraint.choices[number % len(constraint.choices)]
        firsts = {other[0] for other in constraint.choices}
        rest = 0.1 / max(1, len(firsts) - 1)
        return choice, {first: 0.9 if first == choice[0] else rest for first in firsts}
    if constraint is not None and constraint.json_schema:
        properties = constraint.json_schema["properties"]
        assert isinstance(properties, dict)
        values = {
            name: 1 + (number >> place) % 5 if schema["type"] == "integer" else f"scripted {digest[:8]}"
            for place, (name, schema) in enumerate(properties.items())
        }
        return json.dumps(values), {}
    return f"A scripted answer, number {digest[:12]}.", {}
