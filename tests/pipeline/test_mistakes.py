"""A new user's mistakes, one after another at random: whatever is done, nothing is mixed, stale or lost in silence.

A round plays a run of commands with mistakes between them and looks at every record after each. Its number seeds it;
`MISTAKE_ROUNDS=200` asks for more of them.
"""

import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from MetaCaptioner.export.command import main as export
from MetaCaptioner.filter import main as filter_captions
from MetaCaptioner.verify import main as verify
from tests.helpers import FakeEngine, Outcome, Row, Runner, all_records, picture_rows, write_prompts

ROUNDS = int(os.environ.get("MISTAKE_ROUNDS", "40"))
STEPS = 12
PICTURES = 14
WORDS: tuple[str | None, ...] = (None, None, None, "--keep", "--redo")
MODELS = (("scripted", "none"), ("vllm", "M"), ("vllm", "N"))
Contents = dict[Path, bytes]


@dataclass
class World:
    """What there is: rows of a dataset, prompts, a model, and the results so far."""

    folder: Path
    run: Runner
    dice: random.Random
    names: list[str] = field(default_factory=list)
    data_name: str = "set"
    prompts: int = 0
    model: tuple[str, str] = MODELS[1]
    log: list[str] = field(default_factory=list)
    refusals: int = 0

    def __post_init__(self) -> None:
        picture_rows(self.folder / "media", PICTURES)
        self.names = [f"{number}.png" for number in range(6)]
        for number in range(2):
            agents = [{"name": "summary", "role": "summary", "prompt": f"Say what is there, way {number}."}]
            domain = {"domain": "Natural", "description": "Scenes.", "agents": agents}
            write_prompts(self.folder / f"prompts{number}", natural=domain)
        self.write_data()
        assert self.plan_anew().status == 0

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def write_data(self) -> None:
        rows = [{"id": name, "image": name} for name in self.names]
        (self.folder / "set.json").write_text(json.dumps(rows))
        entry = {"root": "media", "annotation": "set.json", "task": "Natural"}
        (self.folder / "Metafile.json").write_text(json.dumps({self.data_name: entry}))

    # --- commands

    def plan(self, *flags: str) -> Outcome:
        return self.plan_anew("--results", self.out, *flags)

    def plan_anew(self, *flags: object) -> Outcome:
        ranks = self.dice.choice((1, 1, 2, 3))
        return self.run.plan(self.folder / "Metafile.json", self.folder / "plan.jsonl", *flags, num_ranks=ranks)

    def caption(self, *flags: object, rank: tuple[int, int] = (0, 1), other: int = 0) -> Outcome:
        kind, model = self.model
        prompts = self.folder / f"prompts{(self.prompts + other) % 2}"
        how = ("--engine", kind, "--model", model, "--prompts-dir", prompts, *flags)
        return self.run.caption(self.folder / "plan.jsonl", self.out, *how, engine=FakeEngine(), rank=rank)

    # --- what is there

    def contents(self) -> Contents:
        return {path: path.read_bytes() for path in sorted(self.out.glob("Rank*.jsonl"))}

    def records(self) -> list[Row]:
        return all_records(self.out)

    def is_mixed(self) -> bool:
        """Whether records are of several models or prompts, or of other media than the rows name."""
        made = {(record["model"], record["prompts"]) for record in self.own_records()}
        return len(made) > 1 or any(not self.is_of_its_row(record) for record in self.own_records())

    def own_records(self) -> list[Row]:
        """Those of the dataset as it is named now; verify tells others apart."""
        return [record for record in self.records() if record["data_name"] == self.data_name]

    def is_of_its_row(self, record: Row) -> bool:
        return record["index"] < len(self.names) and record["image"] == self.names[record["index"]]

    def is_complete(self) -> bool:
        found = Counter(record["sample_id"] for record in self.own_records())
        return found == Counter(f"{self.data_name}/{number}" for number in range(len(self.names)))


# --- mistakes


def edit_prompts(world: World) -> None:
    world.prompts = 1 - world.prompts


def take_another_model(world: World) -> None:
    world.model = world.dice.choice(MODELS)


def add_rows(world: World) -> None:
    """At any place: behind the others, or before them."""
    free = [f"{number}.png" for number in range(PICTURES) if f"{number}.png" not in world.names]
    if free:
        place = world.dice.choice((len(world.names), world.dice.randrange(len(world.names) + 1)))
        world.names.insert(place, world.dice.choice(free))
    world.write_data()


def take_rows_out(world: World) -> None:
    if len(world.names) > 2:
        world.names.pop(world.dice.randrange(len(world.names)))
    world.write_data()


def shuffle_rows(world: World) -> None:
    world.dice.shuffle(world.names)
    world.write_data()


def rename(world: World) -> None:
    world.data_name = world.dice.choice(("set", "better", "third"))
    world.write_data()


MISTAKES = (edit_prompts, take_another_model, add_rows, take_rows_out, shuffle_rows, rename)


# --- commands, and what must hold after each


def plan_again(world: World) -> None:
    word = world.dice.choice(WORDS)
    before = world.contents()
    outcome = world.plan(*([word] if word else []))
    note(world, f"plan {word}", outcome, before)


def caption_some(world: World) -> None:
    word = world.dice.choice(WORDS)
    few = ("--max-samples", world.dice.randrange(1, 4)) if world.dice.random() < 0.4 else ()
    before, was_mixed = world.contents(), world.is_mixed()
    outcome = world.caption(*([word] if word else []), *few)
    note(world, f"caption {word} {few}", outcome, before)
    if outcome.status == 0 and word is None and not was_mixed:
        assert not world.is_mixed()


def launch_twice(world: World) -> None:
    """Two ranks of one plan, the second with other prompts."""
    ranks = ("--takeover-chunk", 0)
    before, was_mixed = world.contents(), world.is_mixed()
    note(world, "rank 0 of 2", world.caption(*ranks, rank=(0, 2)), before)
    before = world.contents()
    note(world, "rank 1 of 2, other prompts", world.caption(*ranks, rank=(1, 2), other=1), before)
    if not was_mixed:
        assert not world.is_mixed()


def note(world: World, what: str, outcome: Outcome, before: Contents) -> None:
    """A refusal changes nothing and says what can be done; whatever ended well has left what verify makes sense of."""
    world.log.append(f"{what}: {outcome.status}: {outcome.said[-300:]}")
    assert outcome.status in (0, 1)
    assert "Traceback" not in outcome.said
    if any("--keep" in error for error in outcome.errors):
        world.refusals += 1
        assert world.contents() == before
        assert "--redo" in outcome.said
    elif outcome.status == 1:
        assert outcome.errors
    told = world.run.main(verify, "--plan", world.folder / "plan.jsonl", "--data-folder", world.out)
    if told.status == 0:
        planned = [json.loads(line) for line in (world.folder / "plan.jsonl").read_text().splitlines()]
        assert not world.is_mixed() or {row["data_name"] for row in planned} != {world.data_name}, told.said
    elif world.is_complete() and not world.is_mixed() and len(world.records()) == len(world.own_records()):
        assert world.plan().status == 0  # of what is there now
        told = world.run.main(verify, "--plan", world.folder / "plan.jsonl", "--data-folder", world.out)
        assert told.status == 0, told.said


def export_beside(world: World) -> None:
    """Score, filter with some thresholds, and write the captions beside their pictures, an earlier export's replaced.

    The texts that are there then are those of the captions that are kept now, or the export says why not.
    """
    where = ("--data-folder", world.out)
    if not any(record["status"] == "ok" for record in world.records()):
        return
    scored = world.run.score(world.out, "--redo", "--max-error-rate", 1, engine=FakeEngine())
    assert scored.status == 0, scored.said
    marks = ("--min-overall", world.dice.choice((1, 2, 3)), "--min-dim-score", world.dice.choice((1, 2)))
    assert world.run.main(filter_captions, *where, *marks).status == 0
    if world.dice.random() < 0.3:
        caption_some(world)  # after which what the filter kept may be of no caption that is there
    done = world.run.main(export, *where, "--format", "txt", "--beside", "--overwrite")
    world.log.append(f"export {marks}: {done.status}: {done.said[-300:]}")
    assert "Traceback" not in done.said
    kept = [json.loads(line) for line in (world.out / "filtered" / "kept.jsonl").read_text().splitlines()]
    there = {path.name: path.read_text() for path in (world.folder / "media").glob("*.txt")}
    if done.status != 0:
        assert done.errors
        assert "filter again" in done.said or "left out" in done.said, done.said
        return
    assert set(there) == {Path(record["image"]).with_suffix(".txt").name for record in kept}
    for record in kept:
        assert f"{record['caption']}\n" in {
            f"{other['caption']}\n" for other in kept if other["image"] == record["image"]
        }
        assert there[Path(record["image"]).with_suffix(".txt").name] in {
            f"{other['caption']}\n" for other in kept if other["image"] == record["image"]
        }


COMMANDS = (plan_again, caption_some, caption_some, caption_some, launch_twice, export_beside)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_new_users_mistakes(tmp_path: Path, run: Runner, number: int) -> None:
    world = World(tmp_path, run, random.Random(number))
    assert world.caption("--max-samples", 3).status == 0
    for _ in range(STEPS):
        if world.dice.random() < 0.6:
            mistake = world.dice.choice(MISTAKES)
            mistake(world)
            world.log.append(mistake.__name__)
        world.dice.choice(COMMANDS)(world)
    # In the end, the user's word makes it right, whatever was there.
    before = world.contents()
    outcome = world.caption("--redo")
    if "would take out" in outcome.said:  # the plan leaves out what was made otherwise, since it has records
        assert f"Plan again with --results {world.out} --redo first" in outcome.said
        assert world.contents() == before
    assert world.plan("--redo").status == 0, "\n".join(world.log)
    strays = len(world.records()) - len(world.own_records())  # renamed and renumbered at once, so not recognised
    outcome = world.caption("--keep") if strays else world.caption()
    assert outcome.status == 0, "\n".join([*world.log, outcome.said])
    assert not world.is_mixed()
    assert world.is_complete(), (world.log, sorted(record["sample_id"] for record in world.records()))
    told = world.run.main(verify, "--plan", tmp_path / "plan.jsonl", "--data-folder", world.out)
    assert told.status == bool(strays), told.said
    assert (f"{strays}  stray records" in told.said) == bool(strays)
