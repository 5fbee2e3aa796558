"""What records were made with, so that a result folder never holds a mixture that nobody wanted.

Each record tells its stage, model and prompts, and which media it is of. A run compares what is there with what it
would make: whatever differs is counted, and the run goes on only once the user has said what is to become of it.
`made_with.json` in the folder says what its records are made with before there are any, so that of two runs that begin
at the same time with different prompts one is refused.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import msgspec

from MetaCaptioner.errors import ResultError, UserError
from MetaCaptioner.planning.plan_of_folder import ThisPlan
from MetaCaptioner.records.reader import Word, read_glances, result_files
from MetaCaptioner.records.record import Record, Told, is_error, parse_record, told_of
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils.atomic_io import restated
from MetaCaptioner.utils.cli import as_typed
from MetaCaptioner.utils.json_text import read_as, to_json
from MetaCaptioner.utils.locks import held_alone
from MetaCaptioner.utils.options import Flag, Options, option
from MetaCaptioner.utils.safe_open import read_file

FILE_NAME = "made_with.json"
Others = Literal["refuse", "keep", "redo"]
"""What is to become of records that were made otherwise: the run is refused, they count as done, or are made again."""
_PROBED_FILES = 64
_WITHOUT_SCORES = ("inferdomain", "captionpipeline")


_OTHERWISE = "results of other prompts, another model or engine, or other media"


class OthersOption(Options):
    """What becomes of records that were made otherwise."""

    heading: ClassVar[str] = "run"

    others: Others = option(
        "refuse",
        _OTHERWISE,
        Flag(
            words={
                "keep": ("--keep", f"{_OTHERWISE} count as done (default: refused)"),
                "redo": ("--redo", f"{_OTHERWISE} are taken out and made again"),
            }
        ),
    )


class Provenance(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a record is made with; `models` are those that have names, where there are several.

    `all_prompts` is what records that do not name their stage, of an earlier version, have in place of `prompts`: a
    digest of all prompts, whoever asks with them. Either is empty where it is not known, and then not compared.
    """

    stage: str
    model: str
    prompts: str
    all_prompts: str = ""
    models: dict[str, str] = {}

    def fields(self) -> Record:
        """What every record keeps of it."""
        several = {"models": dict(self.models)} if self.models else {}
        return {"stage": self.stage, "model": self.model, **several, "prompts": self.prompts}

    def as_told(self) -> Told:
        """The same as a record tells it."""
        if not self.prompts:
            return Told("", model=self.model, models=self.models, prompts=self.all_prompts)
        return Told("", stage=self.stage, model=self.model, models=self.models, prompts=self.prompts)

    def differences(self, told: Told) -> Iterator[str]:
        """How a record of the same stage is made otherwise, each as a reason; what it does not tell is believed."""
        if told.model is not None:
            yield from self._other_models(told.model, told.models or {})
        prompts = self.all_prompts if told.stage is None else self.prompts
        if prompts and told.prompts not in (None, prompts):
            yield f"with other prompts ({told.prompts}, not {prompts})"

    def _other_models(self, model: str, models: Mapping[str, str]) -> Iterator[str]:
        """How a record's models are others. One that has its name on one side only is another than that of the other.

        That of the record as a whole may be one of those that have names, and is then not told twice.
        """
        pairs = {
            name: (models.get(name, "none of that name"), self.models.get(name, "none of that name"))
            for name in sorted(models.keys() | self.models.keys())
        }
        others = {name: pair for name, pair in pairs.items() if not _same_model(*pair)}
        if not _same_model(model, self.model) and (model, self.model) not in others.values():
            yield f"with another model ({model}, not {self.model})"
        for name, (one, other) in others.items():
            yield f"with another model for '{name}' ({one}, not {other})"


@lru_cache
def _same_model(one: str, other: str) -> bool:
    """Whether two texts name the same model; a folder may be named in several ways."""
    if one == other:
        return True
    first, second = (Path(name).expanduser() for name in (one, other))
    try:
        return first.resolve() == second.resolve() and first.exists()
    except OSError:
        return False


@dataclass
class Misfits:
    """How many records are not what would be made now, by reason, with the first example of each."""

    records: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reasons: Mapping[str, str]) -> None:
        """Count a record, if there is a reason against it; each comes with the record as an example."""
        self.records += bool(reasons)
        self.reasons.update(reasons.keys())
        self.examples = {**reasons, **self.examples}

    def include(self, others: "Misfits") -> None:
        """Count others too, which are of other records."""
        self.records += others.records
        self.reasons += others.reasons
        self.examples = {**others.examples, **self.examples}

    def __str__(self) -> str:
        told = self.reasons.most_common()
        return "; ".join(f"{count} {reason}, such as {self.examples[reason]}" for reason, count in told)


class Rows(Protocol):
    """The rows that records are of."""

    def differences(self, told: Told) -> Mapping[str, str]:
        """Why a record is not of what its row names now, reason by reason with an example; empty if it is."""
        ...

    def are_left_out(self, told: Told) -> bool:
        """Whether the row of a record is there and nobody would do it, should the record be taken out."""
        ...


@dataclass(frozen=True)
class Expected:
    """What the records of a folder should be like, and what the user wants done with those that are not.

    `rows` and `plan` are None where records are made from others and not from the rows of a plan.
    """

    made: Provenance
    others: Others = "refuse"
    rows: Rows | None = None
    plan: ThisPlan | None = None

    def misfit(self, told: Told) -> dict[str, str]:
        """Why a record is not what would be made now, each reason with the record as an example; empty if it is."""
        of_media = self.rows.differences(told) if self.rows else {}
        return {**dict.fromkeys(self.made.differences(told), told.sample_id), **of_media}

    def is_redone(self, record: Record) -> bool:
        """Whether a record is to be taken out and made again."""
        return self.others == "redo" and bool(self.misfit(told_of(record)))

    def check(self, own: RankResults, gone: Callable[[Record], bool]) -> str:
        """Refuse records of a rank that were made otherwise, unless the user wants them kept or made again.

        Those that will be `gone` anyhow do not count.

        Returns:
            What is to be said of them; nothing if there are none.

        Raises:
            UserError: that, or they are of another stage, which no word of the user's makes right.
        """
        folder, found, total, lost = own.folder, Misfits(), 0, 0
        self._check_place(folder)
        for _, line, told in chain.from_iterable(map(read_glances, own.files())):
            if told is None:
                continue
            total += 1
            self._check_stage(folder, told.stage or _stage_by_fields(parse_record(line) or {}))
            reasons = self.misfit(told)
            if reasons and not gone(parse_record(line) or {}):
                found.add(reasons)
                lost += self.rows is not None and self.rows.are_left_out(told)
        if not found.records:
            return ""
        if self.others == "refuse":
            raise UserError(
                f"output folder {folder}: {found.records} of {total} records are not what this run makes: {found}. "
                "--keep counts them as done, --redo takes them out and makes them again; or name another folder"
            )
        if self.others == "redo" and lost:
            self.agree(own)  # by which the planner then knows them
            raise UserError(
                f"output folder {folder}: --redo would take out {lost} records of rows that the plan leaves out as done"
                f": {found}. Plan again with --results {as_typed(folder)} --redo first, and with all datasets and rows "
                "that have records there; or name another folder"
            )
        what = "are kept" if self.others == "keep" else "are taken out and made again"
        return f"{folder}: {found.records} of {total} records {what}: {found}"

    def _check_place(self, folder: Path) -> None:
        """Scores lie in a folder within that of their captions, which no other results may fill."""
        if folder.name == "score" and self.made.stage in _WITHOUT_SCORES and result_files(folder.parent):
            raise UserError(
                f"output folder {folder}: is for the scores of the results in {folder.parent}; name another"
            )

    def _check_stage(self, folder: Path, stage: str | None) -> None:
        if stage not in (None, self.made.stage):
            raise UserError(f"output folder {folder}: holds results of {stage}, not of {self.made.stage}; name another")

    def _word(self) -> Word:
        plan = self.plan.described.fingerprint if self.plan is not None else ""
        return Word(self.made.stage, self.made.model, self.made.prompts, plan, self.made.models)

    def agree(self, own: RankResults) -> bool:
        """Have the folder of a rank's results say that records are made in it so, and by this plan if there is one.

        Returns:
            Whether records of what the plan gives this rank may lie in the files of other ranks.

        Raises:
            UserError: it is another plan's, records there are made otherwise, or it cannot be written.
        """
        own.tell(self._word())
        scattered = self.plan is not None and self.plan.agree(own)
        self._agree_on_making(own)
        return scattered

    def _agree_on_making(self, own: RankResults) -> None:
        """Have the folder say what records are made with.

        Refused where it says, or shows, something else, unless no others have made anything so, or are about to. What
        was kept beside the newest is said too, before it.
        """
        folder = own.folder
        place = folder / FILE_NAME
        if self._is_said(stated(folder)):
            return
        try:
            with held_alone(place.with_name(f".{FILE_NAME}.lock"), str(place), not own.single_launch):
                said = stated(folder)
                if self._is_said(said):  # by another process meanwhile
                    return
                there = said or _probed(folder, self.made.stage)
                unlike = [one for one in there if not self._is_same(one)]
                if unlike and _has_others(own, self.made):
                    self._refuse(folder, unlike[-1])
                kept = unlike if self.others == "keep" else []
                told = to_json(msgspec.to_builtins([*kept, self.made]), indent=1) + b"\n"
                with restated(place, told):  # before the look: one that reads it later sees this one at work
                    if unlike and self._are_at_work(own, unlike):
                        self._refuse(folder, unlike[-1])
        except OSError as error:
            raise ResultError(f"output folder {folder}: cannot be written: {error.strerror}") from error

    def _is_said(self, said: Sequence[Provenance]) -> bool:
        """Whether a folder says already what is to be said, by the newest, and alone if nothing else is to be kept."""
        return bool(said) and self._is_same(said[-1]) and (len(said) == 1 or self.others != "redo")

    def _is_same(self, other: Provenance) -> bool:
        return other.stage == self.made.stage and not any(self.made.differences(other.as_told()))

    def _are_at_work(self, own: RankResults, unlike: Sequence[Provenance]) -> bool:
        """Whether other processes work in the folder, perhaps without a record yet, that make something `unlike`."""
        makings = [(one.stage, one.model, one.prompts, one.models) for one in unlike]
        return any((told.stage, told.model, told.prompts, told.models) in makings for told in own.told_by_others())

    def _refuse(self, folder: Path, other: Provenance) -> None:
        self._check_stage(folder, other.stage)
        if self.others == "refuse":
            reasons = "; ".join(self.made.differences(other.as_told()))
            raise UserError(
                f"output folder {folder}: other ranks' records there are made {reasons}. --keep goes on beside them, "
                "--redo, given to all ranks, makes them again; or name another folder"
            )


def _stage_by_fields(record: Record) -> str | None:
    """The stage of a record of a version that did not name it, by what only its records have; None for a failure."""
    if "scores" in record:
        return "resample" if "caption" in record else "inferscore"
    if "caption" in record:
        return "captionpipeline"
    return "inferdomain" if "runner_up" in record and not is_error(record) else None


def stated(folder: Path) -> list[Provenance]:
    """What a folder says that its records are made with; nothing where it says nothing that makes sense."""
    try:
        return read_as(read_file(folder / FILE_NAME), list[Provenance])
    except (OSError, ValueError):
        return []


def made_otherwise(told: Told, stated: Sequence[Provenance]) -> dict[str, str]:
    """Why a record is not made as its folder says, each reason with the record as an example; empty if it is."""
    if any(not any(one.differences(told)) for one in stated):
        return {}
    return dict.fromkeys(stated[-1].differences(told), told.sample_id) if stated else {}


def _has_others(own: RankResults, made: Provenance) -> bool:
    """Whether others have made something otherwise in the folder, by their records."""
    mine = set(own.files())
    others = (path for path, _ in result_files(own.folder) if path not in mine)
    told = (told for path in others for _, _, told in read_glances(path) if told is not None and told.status == "ok")
    return any(one.stage not in (None, made.stage) or any(made.differences(one)) for one in told)


def _probed(folder: Path, stage: str) -> list[Provenance]:
    """What the first records of some files were made with, where a folder does not say it, as an older one."""
    found: list[Provenance] = []
    for path, _ in result_files(folder)[:_PROBED_FILES]:
        for _, _, told in islice(read_glances(path), 1):
            if told is not None and told.model and told.prompts:
                prompts = {"all_prompts" if told.stage is None else "prompts": told.prompts}
                made = {"prompts": "", **prompts}
                found.append(Provenance(told.stage or stage, told.model, **made, models=told.models or {}))
    return [one for number, one in enumerate(found) if one not in found[:number]]
