"""A Metafile of questions, its captions, and somebody who answers: for tests of evaluations."""

import json
import re
from pathlib import Path

from MetaCaptioner import build_metafile, evaluate
from MetaCaptioner.engine.base import Completion, Request
from tests.helpers import SCRIPTED, Outcome, Row, Runner, agent_of, completion, records
from tests.question_files import FOUR, in_base64, write_tsv

CHOICES: list[Row] = [
    {"index": n, "image": in_base64(n // 2), "question": f"Which is {n}?", "answer": "ABCD"[n % 4], **FOUR}
    | {"category": "even" if n % 2 == 0 else "odd"}
    for n in range(8)
]
"""Eight questions about four pictures."""


ANOTHER = ("--engine", "vllm", "--model", "another")


class World:
    """A Metafile of questions, and the commands over it."""

    def __init__(self, run: Runner, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.metafile, self.captions = folder / "Metafile.json", folder / "Caption"

    def build(self, name: str, rows: list[Row], *more: object) -> None:
        place = write_tsv(self.folder / "in" / name, rows)
        given = ("--format", "questions", "--input", place, "--metafile", self.metafile)
        assert self.run.main(build_metafile.main, *given, *more).status in (0, 1)

    def caption(self, *more: object, **how: object) -> None:
        self.plan()
        assert self.run.caption(self.folder / "plan.jsonl", self.captions, *more, **how).status == 0

    def plan(self, num_ranks: int = 1) -> Path:
        assert self.run.plan(self.metafile, self.folder / "plan.jsonl", num_ranks=num_ranks).status == 0
        return self.folder / "plan.jsonl"

    def evaluate(self, *more: object, **how: object) -> Outcome:
        where = ("--metafile", self.metafile, "--data-folder", self.captions)
        return self.run.main(evaluate.main, *where, *SCRIPTED, *more, **how)  # type: ignore[arg-type]

    @property
    def answers(self) -> dict[str, Row]:
        return records(self.captions / "answers")

    @property
    def table(self) -> Row:
        table: Row = json.loads((self.captions / "answers" / "table.json").read_text())
        return table


def right(request: Request) -> Completion | None:
    """Who answers from a description is right in what it says; who guesses says B."""
    if agent_of(request) in ("answer", "look"):
        [number] = re.findall(r"Which is (\d)\?", request.instruction)
        return completion(f"The answer is {'ABCD'[int(number) % 4]}.")
    return completion("B") if agent_of(request) == "guess" else None
