"""What runs have done and what they took: counted by the rank loop, kept in the run log, added up by the filter."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from MetaCaptioner.engine.base import Completion
from MetaCaptioner.errors import StoppedEarly, UserError
from MetaCaptioner.metrics.model_usage import ModelFigures, ModelUsage, figures_by_model, money_of
from MetaCaptioner.metrics.run_log import RunLog, read_runs
from MetaCaptioner.records.claims import answers
from MetaCaptioner.records.published_counts import CountsPublisher
from MetaCaptioner.records.record import Record

_KEPT_EVERY_SECONDS = 30.0
_KEPT_EVERY_SHARE = 0.01
_LAST_COUNT_SECONDS = 2.0  # enough for what has come since the last time
_TOKENS = (
    *("input_tokens", "cached_tokens", "output_tokens"),
    *("claim_input_tokens", "claim_cached_tokens", "claim_output_tokens"),
)
_RATES = ("images_an_hour", "videos_an_hour", "tokens_a_second", "gpu_hours", "money")
"""What the lines of the run log tell of the figures that follow from the others."""


@dataclass
class Usage:
    """Tokens of the answers that were given, whatever became of them.

    `input_tokens` are those of the prompts, media included; `cached_tokens` are the part of them that the engine still
    had; `output_tokens` are those of the answers. What begins with `claim_` is the part of each for checking captions.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    claim_input_tokens: int = 0
    claim_cached_tokens: int = 0
    claim_output_tokens: int = 0

    def count(self, completion: Completion, for_claims: bool = False) -> None:
        self.input_tokens += completion.input_tokens
        self.cached_tokens += completion.cached_tokens
        self.output_tokens += completion.output_tokens
        if for_claims:
            self.claim_input_tokens += completion.input_tokens
            self.claim_cached_tokens += completion.cached_tokens
            self.claim_output_tokens += completion.output_tokens

    def fields(self) -> dict[str, int]:
        """What is told of it: of claims nothing where none was asked about."""
        told = _TOKENS if self.claim_input_tokens else _TOKENS[:3]
        return {name: getattr(self, name) for name in told}


@dataclass
class RunStatistics(Usage):
    """What a rank has done in this run. `images` and `videos` are those that ended well."""

    images: int = 0
    videos: int = 0
    truncated: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    stopped: bool = False
    by_model: dict[str, Usage] = field(default_factory=dict)
    """The tokens by the names that agents have for models."""

    def count_answer(self, model: str, completion: Completion, for_claims: bool) -> None:
        """Count an answer of the model of that name."""
        self.count(completion, for_claims)
        self.by_model.setdefault(model, Usage()).count(completion)

    @property
    def ok(self) -> int:
        return self.images + self.videos

    @property
    def failed(self) -> int:
        return self.errors.total()

    def note(self, record: Record) -> None:
        """Count a sample by its record."""
        if record["status"] != "ok":
            self.errors[record["error"]["kind"]] += 1
            return
        self.images += record["modality"] == "image"
        self.videos += record["modality"] == "video"
        self.truncated += bool(record.get("truncated"))
        self.claims += answers(record)


State = Literal["loading", "working", "done", "stopped", "failed"]


class Run(BaseModel):
    """The account of one run of a rank: a line of the run log.

    `state` is "loading" or "working" while the run goes on and ever after if it was killed; a run that ended by itself
    is "done", "stopped" (by a signal) or "failed". `loading_seconds` begin when the rank has its GPUs and end when the
    engine is ready; `working_seconds` begin there. `images` and `videos` ended well, `errors` are the others by kind.
    `claims` are the sentences that were checked by their answers.
    `rank` is that of the process among the `world_size` of its launch. `config` is the file beside the run log that has
    all options; there is none before the engine is loaded. Prices are those of a million tokens, where they were told.
    `models` are there where agents name theirs: each of them, also those that another stage of the same launch asks.
    """

    model_config = ConfigDict(frozen=True)

    run: str = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    started: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    state: State = "loading"
    stage: str
    rank: int
    node: int
    world_size: int | None = None
    model: str
    prompts: str
    gpus: int
    device: str | None
    config: str | None = None
    loading_seconds: float = 0.0
    working_seconds: float = 0.0
    images: int = 0
    videos: int = 0
    truncated: int = 0
    errors: Mapping[str, int] = {}
    claims: Mapping[str, int] = {}
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    claim_input_tokens: int = 0
    claim_cached_tokens: int = 0
    claim_output_tokens: int = 0
    price_in: float | None = None
    price_out: float | None = None
    models: tuple[ModelUsage, ...] = ()

    @property
    def gpus_held(self) -> float:
        """GPUs that were this rank's, and its share of those on which models are served."""
        return sum(one.gpus for one in self.models) if self.models else self.gpus

    @property
    def seconds(self) -> float:
        return self.loading_seconds + self.working_seconds

    @property
    def gpu_seconds(self) -> float:
        return self.gpus_held * self.seconds

    @property
    def money(self) -> float | None:
        """What its tokens cost, those from a cache like the others."""
        if self.models:
            told = [one.money for one in self.models if one.money is not None]
            return sum(told) if told else None
        return money_of(self.input_tokens, self.output_tokens, self.price_in, self.price_out)

    def as_line(self) -> Record:
        """As a line of the run log has it."""
        sums = asdict(figures([self]))
        return self.model_dump(exclude=None if self.models else {"models"}) | {name: sums[name] for name in _RATES}


@dataclass(frozen=True)
class Figures:
    """What some runs did and took, together.

    The rates are those of one rank while it worked: GPU hours count loading as well. `gpu_hours` is None where no GPU
    was used, `money` where no prices were told. `cut_off` counts the runs that were killed, or go on: their accounts
    stop a little early.
    """

    runs: int
    cut_off: int
    without_gpu: int
    images: int
    videos: int
    failed: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    images_an_hour: float
    videos_an_hour: float
    tokens_a_second: float
    gpu_hours: float | None
    money: float | None = None
    claims: Mapping[str, int] = field(default_factory=dict)
    claim_input_tokens: int = 0
    claim_cached_tokens: int = 0
    claim_output_tokens: int = 0

    @property
    def claims_share(self) -> float:
        """What checking captions took: tokens that were read anew or written, as a share of all others of these."""
        checking = self.claim_input_tokens - self.claim_cached_tokens + self.claim_output_tokens
        rest = self.input_tokens - self.cached_tokens + self.output_tokens - checking
        return checking / rest if rest > 0 else 0.0


def figures(runs: Sequence[Run]) -> Figures:
    """Add up runs, of one rank or of many."""
    tokens = Usage(**{name: sum(getattr(run, name) for run in runs) for name in _TOKENS})
    images, videos = sum(run.images for run in runs), sum(run.videos for run in runs)
    seconds = sum(run.working_seconds for run in runs) or float("inf")
    without_gpu = sum(run.gpus_held == 0 for run in runs)
    gpu_hours = sum(run.gpu_seconds for run in runs) / 3600
    money = [run.money for run in runs if run.money is not None]
    return Figures(
        runs=len(runs),
        cut_off=sum(run.state in ("loading", "working") for run in runs),
        without_gpu=without_gpu,
        images=images,
        videos=videos,
        failed=sum(sum(run.errors.values()) for run in runs),
        **asdict(tokens),
        images_an_hour=round(3600 * images / seconds, 1),
        videos_an_hour=round(3600 * videos / seconds, 1),
        tokens_a_second=round((tokens.input_tokens + tokens.output_tokens) / seconds, 1),
        gpu_hours=None if without_gpu == len(runs) else round(gpu_hours, 4),
        money=round(sum(money), 6) if money else None,
        claims=dict(sum((Counter(run.claims) for run in runs), Counter())),
    )


def kept_again_after(elapsed: float) -> float:
    """Seconds until the account of a run that has taken `elapsed` seconds is written again.

    So much can be missing from it if the run is killed: half a minute, or a hundredth of the run. A week gives some
    seven hundred lines.
    """
    return max(_KEPT_EVERY_SECONDS, _KEPT_EVERY_SHARE * elapsed)


class RunAccount:
    """Keeps the account of this run in the run log, from before the engine is loaded.

    A thread writes it again and again, so that a run that is killed, or hangs until it is killed, leaves one too. It
    publishes the `counts` of the result files as often.

    Raises:
        ResultError: the run log cannot be written.
    """

    def __init__(self, log: RunLog, begun: Run, counts: CountsPublisher) -> None:
        self._log = log
        self._counts = counts
        self._begun = begun
        self._state: State = begun.state
        self._statistics = RunStatistics()
        self._began_at = time.monotonic()
        self._loaded_at: float | None = None
        self._ended_at: float | None = None
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="account", daemon=True)

    def __enter__(self) -> Self:
        self._counts.begin()
        self._write()
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._keeper.join()
        self._ended_at = time.monotonic()
        stopped = self._statistics.stopped or isinstance(value, StoppedEarly)
        self._state = "stopped" if stopped else "done" if value is None else "failed"
        try:
            self._write()
        except UserError:
            if value is None:  # else that is what the user must hear of
                raise
        finally:
            self._log.close()
            self._publish_until(self._ended_at + _LAST_COUNT_SECONDS)

    def begin_work(self, statistics: RunStatistics, config: str) -> None:
        """The engine is ready; what is done from now on is counted in `statistics`. `config` is that of the run."""
        self._begun = self._begun.model_copy(update={"config": config})
        self._statistics = statistics
        self._loaded_at = time.monotonic()
        self._state = "working"
        self._write()

    def run(self) -> Run:
        """The account as it stands, or as it was at the end."""
        statistics, now = self._statistics, self._ended_at or time.monotonic()
        loaded_at = self._loaded_at or now
        counts = {
            "state": self._state,
            "loading_seconds": round(loaded_at - self._began_at, 3),
            "working_seconds": round(statistics.seconds or now - loaded_at, 3),
            "images": statistics.images,
            "videos": statistics.videos,
            "truncated": statistics.truncated,
            "errors": dict(statistics.errors),
            "claims": dict(statistics.claims),
            **{name: getattr(statistics, name) for name in _TOKENS},
            "models": tuple(one.with_tokens(statistics.by_model) for one in self._begun.models),
        }
        return self._begun.model_copy(update=counts)

    def _write(self) -> None:
        self._log.append(self.run().as_line())

    def _keep(self) -> None:
        while True:
            now = time.monotonic()
            due = now + kept_again_after(now - self._began_at)
            self._publish_until(due)
            if self._over.wait(due - time.monotonic()):
                return
            with suppress(UserError):  # that the disk is full is told when the next record is written
                self._write()

    def _publish_until(self, end: float) -> None:
        is_last = self._ended_at is not None
        self._counts.publish(lambda: time.monotonic() >= end or (self._over.is_set() and not is_last))


def runs_of(folders: Iterable[Path]) -> list[Run]:
    """The runs whose results are in these folders, each as it was last accounted for; absent folders have none."""
    found: dict[str, Run] = {}
    for folder in folders:
        for line in read_runs(folder):
            with suppress(ValidationError):  # torn, or changed by hand
                run = Run.model_validate(line)
                found[run.run] = run
    return list(found.values())


def model_figures(runs: Iterable[Run]) -> dict[str, ModelFigures]:
    """Model -> what it took; empty where no agents name theirs."""
    return figures_by_model((run.models, run.seconds) for run in runs)


def cost_of(runs: Sequence[Run], kept: int) -> Record:
    """What runs took: in all, for a thousand of the captions that were kept, and stage by stage."""
    stages = {
        stage: figures([run for run in runs if run.stage == stage]) for stage in dict.fromkeys(r.stage for r in runs)
    }
    sums, models = figures(runs), model_figures(runs)
    return {
        **({"models": {name: asdict(one) for name, one in models.items()}} if models else {}),
        "gpu_hours": sums.gpu_hours,
        "gpu_hours_per_thousand_kept": _per_thousand(sums.gpu_hours, kept),
        "money": sums.money,
        "money_per_thousand_kept": _per_thousand(sums.money, kept),
        "stages": {name: asdict(sums) for name, sums in stages.items()},
    }


def _per_thousand(cost: float | None, kept: int) -> float | None:
    return None if cost is None or kept == 0 else round(1000 * cost / kept, 4)
