"""A project on an odd file system, the launches of it, and what must hold after each of them."""

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.verify import main as verify
from tests.chaos.forked import Rank, start
from tests.helpers import Outcome, Row, Runner, picture_rows
from tests.odd_file_system import OddFolder, Oddities
from tests.records.test_published_counts import counted, with_published

PICTURES, SAMPLES, ADDED, IN_FLIGHT = 120, 20, 8, 4
BROKEN = 2
"""So many pictures cannot be decoded at first."""


def whole_records(folder: Path) -> list[Row]:
    """The records of all result files. A last line that is torn has not happened."""
    paths = sorted(folder.glob("Rank*_node*_*.jsonl"))
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


@dataclass(frozen=True)
class Before:
    """What needs nothing any more when a launch begins: samples, and captions with their scores; and all records."""

    records: dict[str, int]
    captioned: frozenset[str]
    scored: frozenset[tuple[str, str]]


@dataclass
class World:
    """What there is. `rows` are, by dataset, the pictures that its rows name."""

    odd: OddFolder
    oddities: Oddities
    folder: Path
    run: Runner
    dice: random.Random
    rows: dict[str, list[str]] = field(default_factory=dict)
    plans: int = 0
    launches: int = 0
    log: list[str] = field(default_factory=list)
    refused: int = 0
    """Launches of which every process was."""
    foreign: int = 0
    """Records of another project that came into the folder first."""

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        picture_rows(self.folder / "media", PICTURES)
        for number in range(BROKEN):
            self.picture(number).write_bytes(b"no picture")
        self.rows = {"a": [f"{n}.png" for n in range(SAMPLES)], "b": [f"{n}.png" for n in range(20, 20 + SAMPLES)]}
        self.write_data()
        assert self.plan_anew().status == 0

    # --- places

    @property
    def out(self) -> Path:
        return self.odd.folder / "out"

    @property
    def plan(self) -> Path:
        return self.odd.folder / "plan.jsonl"

    @property
    def kept_plans(self) -> list[Path]:
        """Earlier plans, kept by the user."""
        return sorted(self.folder.glob("plan*.jsonl"))

    def picture(self, number: int) -> Path:
        return self.folder / "media" / f"{number}.png"

    # --- the user's hand

    def write_data(self) -> None:
        entries = {}
        for name, pictures in self.rows.items():
            (self.folder / f"{name}.json").write_text(json.dumps([{"image": picture} for picture in pictures]))
            entries[name] = {"root": "media", "annotation": f"{name}.json", "task": "Natural"}
        (self.folder / "Metafile.json").write_text(json.dumps(entries))

    def free_pictures(self) -> list[str]:
        named = {picture for pictures in self.rows.values() for picture in pictures}
        return [f"{n}.png" for n in range(PICTURES) if f"{n}.png" not in named]

    def plan_anew(
        self, *flags: object, metafile: str = "Metafile.json", output: Path | None = None, at_work: bool = False
    ) -> Outcome:
        """Plan for some ranks, perhaps while some are `at_work`. An earlier plan in its place is kept beside."""
        if self.plan.exists() and output is None:
            (self.folder / f"plan{self.plans}.jsonl").write_bytes(self.plan.read_bytes())
            self.plans += 1
        ranks = self.dice.choice((2, 3, 4))
        alone = self.alone if "--results" in flags and not at_work else ()
        outcome = self.run.plan(self.folder / metafile, output or self.plan, *flags, *alone, num_ranks=ranks)
        self._note(f"plan {metafile} for {ranks} {_words(flags)}", outcome.status, outcome.said)
        return outcome

    def need_work(self) -> None:
        """Where all is done, more rows are added, and planned."""
        if self.is_complete():
            for name in self.rows:
                self.rows[name] += self.dice.sample(self.free_pictures(), ADDED // 2)
                self.write_data()
            self.plan_anew("--results", self.out)

    # --- launches

    @property
    def alone(self) -> tuple[str, ...]:
        """The word that there is no other launch, where it must be given."""
        return ("--single-launch",) if self.oddities.flock != "works" else ()

    def ranks_of(self, plan: Path) -> int:
        rows = (json.loads(line) for line in plan.read_text().splitlines())
        return 1 + max((row["assign_rank"] for row in rows), default=0)

    def launch(
        self,
        *flags: object,
        plan: Path | None = None,
        processes: int | None = None,
        delay: float = 0.0,
        supervised: bool = False,
    ) -> list[Rank]:
        """Start a caption stage, one process a rank of the plan or as many as asked for."""
        plan = plan or self.plan
        what = ("--plan", plan, "--output-dir", self.out, *flags)
        return self._start("captionpipeline", what, processes or self.ranks_of(plan), delay, supervised)

    def launch_scores(self, *flags: object, processes: int, delay: float = 0.0) -> list[Rank]:
        what = ("--data-folder", self.out, *flags)
        return self._start("inferscore", what, processes, delay, supervised=False)

    def _start(self, stage: str, what: Sequence[object], count: int, delay: float, supervised: bool) -> list[Rank]:
        self.launches += 1
        how = ("--model", "none", "--engine", "scripted", "--decode-threads", 1, "--in-flight", IN_FLIGHT)
        how = (*how, "--takeover-chunk", 4, "--max-error-rate", 1, "--engine-arg", f"delay={delay}")
        ranks = []
        for number in range(count):
            log, asked = (self.folder / f"{kind}{self.launches}.{number}" for kind in ("log", "asked"))
            arguments = (*what, *how, "--engine-arg", f"log={asked}")
            program = "launch.supervisor" if supervised else stage
            module = (f"MetaCaptioner.{stage}",) if supervised else ()
            ranks.append(start(program, (*module, *arguments), log, asked, (number, count)))
        self.log.append(f"{self.launches}: {stage} on {count} processes {'supervised ' * supervised}{_words(what)}")
        return ranks

    def wait_for_records(self, ranks: Sequence[Rank], records: int, seconds: float = 5.0) -> None:
        """Until so many records more are there than now, the ranks have ended, or some time has passed."""
        enough, deadline = self.lines() + records, time.monotonic() + seconds
        while any(rank.status is None for rank in ranks) and time.monotonic() < deadline:
            if self.lines() >= enough:
                return
            time.sleep(0.02)

    def lines(self) -> int:
        """How many lines there are, as another machine sees it: not by the file system that is busy."""
        behind = self.odd.behind / "out"
        files = [*behind.glob("Rank*_node*_*.jsonl"), *behind.glob("score/Rank*_node*_*.jsonl")]
        return sum(path.read_bytes().count(b"\n") for path in files)

    # --- what must hold

    def before(self) -> Before:
        captions = {r["sample_id"]: r for r in whole_records(self.out) if self.is_of_its_row(r) and r["status"] == "ok"}
        scored = {(r["sample_id"], r.get("caption_hash", "")) for r in whole_records(self.out / "score")}
        now = {(name, caption_hash(record["caption"])) for name, record in captions.items()}
        return Before(self.counts(), frozenset(captions), frozenset(scored & now))

    def counts(self) -> dict[str, int]:
        """Of each result file how many whole records it has."""
        paths = sorted(self.out.rglob("Rank*_node*_*.jsonl"))
        return {
            str(path.relative_to(self.out)): path.read_bytes().count(b"\n")
            for path in paths
            if "runs" not in path.parts
        }

    def is_of_its_row(self, record: Row) -> bool:
        pictures = self.rows.get(record["data_name"], [])
        return record["index"] < len(pictures) and record["image"] == pictures[record["index"]]

    def ended(self, ranks: Sequence[Rank], before: Before, kills: int = 0, mishap: bool = False) -> list[Rank]:
        """Wait for a launch, and check it. Returns the ranks that did not end well.

        `kills` workers were killed, each with so much in flight. After a `mishap`, such as a full disk, a rank may stop
        in mid work, and what was lost is paid again.
        """
        for rank in ranks:
            rank.wait()
            self._note("", rank.status, rank.said)
            assert "Traceback" not in rank.said, self.told(rank.said)
            stopped = rank.status == 1 and bool(rank.asked())
            assert not stopped or mishap or kills, self.told("a rank stopped in mid work", rank.said)
        self.check_records()
        if not mishap and not kills and all(rank.status == 1 and not rank.asked() for rank in ranks):
            self.refused += 1
            assert self.counts() == before.records, self.told(
                "refused, and yet changed something", before, self.counts()
            )
        if not mishap:
            self.check_payments(ranks, before, kills)
        return [rank for rank in ranks if rank.status != 0]

    def note_foreign(self, before: Before) -> None:
        """A folder that had no results is another project's if that comes first."""
        if not before.records:
            self.foreign = sum(record["data_name"] not in self.rows for record in whole_records(self.out))

    def check_records(self) -> None:
        """No sample has two records, nor two scores of one caption, in whichever files; so says what was published."""
        for folder in (self.out, self.out / "score", *sorted((self.out / "score").glob("resample/*"))):
            found = Counter(record["sample_id"] for record in whole_records(folder))
            twice = sorted(name for name, count in found.items() if count > 1)
            assert not twice, self.told(f"{len(twice)} of {len(found)} samples are doubled in {folder.name}: {twice}")
            assert with_published(folder) == counted(folder), self.told(f"what was published is not so: {folder.name}")

    def check_payments(self, ranks: Sequence[Rank], before: Before, kills: int) -> None:
        """Nothing that was done before is asked about, and nothing twice but what was in flight at a kill."""
        asked = sum((rank.asked() for rank in ranks), Counter[str]())
        parts = {request: request.rsplit("/", 2)[:2] for request in asked}
        captioned = {sample for sample, agent in parts.values() if agent != "judge" and "@" not in agent}
        marked = {sample for sample, agent in parts.values() if agent == "judge"}
        again = captioned & before.captioned | marked & {sample for sample, _ in before.scored}
        assert not again, self.told(f"done before, and paid again: {sorted(again)}")
        twice = {parts[request][0] for request, count in asked.items() if count > 1}
        assert len(twice) <= kills * IN_FLIGHT, self.told(f"paid twice with {kills} kills: {sorted(twice)}")

    def is_complete(self) -> bool:
        """Whether every sample has its one record, and there are no others than those of whom came first."""
        wanted = {f"{name}/{n}": 1 for name, pictures in self.rows.items() for n in range(len(pictures))}
        records = whole_records(self.out)
        own = [record for record in records if record["data_name"] in self.rows]
        found = Counter(record["sample_id"] for record in own)
        return found == wanted and all(map(self.is_of_its_row, own)) and len(records) - len(own) == self.foreign

    def verify(self) -> Outcome:
        return self.run.main(verify, "--plan", self.plan, "--data-folder", self.out)

    # --- words

    def _note(self, what: str, status: int | None, said: str) -> None:
        errors = [line for line in said.splitlines() if "error: " in line]
        self.log.append(f"{what}: status {status} {' '.join(errors)[:400]}")
        if status == 1:
            assert errors, self.told(said)

    def begin(self, step: str) -> None:
        self.log.append(f"--- {step} ({time.monotonic() - self._began:.1f} s)")

    def told(self, *more: object) -> str:
        """The whole story, for a failure."""
        return "\n".join([repr(self.oddities), *self.log, *map(str, more)])


def _words(parts: Sequence[object]) -> str:
    return " ".join(str(part) for part in parts if str(part).startswith("--"))
