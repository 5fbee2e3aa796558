"""What a chain is to be, from the environment, from SBATCH_OPTIONS and from the flags that go to the stages."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.launch.slurm import REPOSITORY
from MetaCaptioner.launch.slurm.scheduler import patience_seconds
from MetaCaptioner.runtime.settings import whole_number, yes_or_no
from MetaCaptioner.utils.cli import as_typed
from MetaCaptioner.utils.commands import CONFIG_VARIABLE, PREFIX

_VARIABLES = (
    *("MODEL", "METAFILE", "RUN", "NNODES", "TP", "GPUS_PER_NODE", "NPROC", "CPUS", "ARRAY", "ROUTE", "PLAN", "REPLAN"),
    *("SBATCH_OPTIONS", "MIN_CONFIDENCE", "MIN_OVERALL", "MIN_DIM_SCORE", "RESAMPLE", "SCHEDULER_SECONDS"),
    *("BEAT_SECONDS", "PYTHON", "PYTHONPATH"),
)
"""All that a user may set for a chain or for its jobs, beside sbatch's own variables (SBATCH_…) and options'."""
_ARRAY = re.compile(r"(?P<jobs>[1-9][0-9]{0,8})(?P<at_a_time>%[1-9][0-9]*)?")


@dataclass(frozen=True)
class Size:
    """How many ranks a stage has, and on what: `jobs` of so many nodes each; None where it is one that is no array.

    `at_a_time` is how sbatch is told that few of them may run at once, such as `%2`.
    """

    nodes: int
    gpus_of_node: int
    gpus_of_rank: int
    ranks_of_node: int
    cpus_of_rank: int
    jobs: int | None
    at_a_time: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Size":
        """NNODES, GPUS_PER_NODE, TP, NPROC, CPUS, ARRAY.

        Raises:
            BadArguments: one of them cannot be.
        """
        gpus_of_rank = whole_number(environment, "TP", 1, 1)
        nodes = whole_number(environment, "NNODES", 1, 1)
        cpus_of_rank = whole_number(environment, "CPUS", 1, 8)
        gpus = whole_number(environment, "GPUS_PER_NODE", 0, 8)
        if 0 < gpus < gpus_of_rank:
            raise BadArguments(f"a rank of TP={gpus_of_rank} GPUs does not fit a node of GPUS_PER_NODE={gpus}")
        ranks = whole_number(environment, "NPROC", 1, gpus // gpus_of_rank if gpus else 1)
        if 0 < gpus < ranks * gpus_of_rank:
            raise BadArguments(
                f"NPROC={ranks} ranks of TP={gpus_of_rank} GPUs do not fit a node of GPUS_PER_NODE={gpus}"
            )
        array = environment.get("ARRAY", "")
        read = _ARRAY.fullmatch(array or "1")
        if read is None:
            raise BadArguments(
                f"ARRAY must be a number of jobs, such as 8, or 8%2 for two of them at a time, not '{array}'"
            )
        jobs = int(read["jobs"]) if array else None
        return cls(nodes, gpus, gpus_of_rank, ranks, cpus_of_rank, jobs, read["at_a_time"] or "")

    @property
    def ranks(self) -> int:
        """Of all jobs of a stage."""
        return self.nodes * self.ranks_of_node * (self.jobs or 1)

    def options(self, logs: str) -> list[str]:
        """For sbatch; `logs` is the folder of the logs as it is told of it."""
        array = [f"--array=0-{self.jobs - 1}{self.at_a_time}", f"--output={logs}/%x-%A_%a.log"] if self.jobs else []
        return [
            *(f"--nodes={self.nodes}", f"--ntasks-per-node={self.ranks_of_node}"),
            *(f"--cpus-per-task={self.cpus_of_rank}", f"--gpus-per-node={self.gpus_of_node}", *array),
        ]


@dataclass(frozen=True)
class SbatchOptions:
    """SBATCH_OPTIONS, less what the chain must have a say in.

    It is known by its jobs' comments, which may begin with one of the user's own; what the user has the chain wait for
    (`after`), its first job waits for.
    """

    options: tuple[str, ...]
    comment: str
    after: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "SbatchOptions":
        """SBATCH_OPTIONS, a list of words, and SBATCH_COMMENT.

        Raises:
            BadArguments: there is an option that would break the chain.
        """
        options, comment, after = [], environment.get("SBATCH_COMMENT", ""), ""
        words = iter(environment.get("SBATCH_OPTIONS", "").split())
        for given in words:
            option = given
            if given in ("--comment", "--dependency", "-d"):
                option = f"{'--dependency' if given == '-d' else given}={next(words, '')}"
            name, _, value = option.partition("=")
            if name == "--comment":
                comment = value
            elif name == "--dependency":
                after = value
            elif name in ("-a", "--array"):
                raise BadArguments(f"SBATCH_OPTIONS: {option}: use ARRAY, which the plan must know")
            elif name == "--export" and not value.startswith("ALL"):
                raise BadArguments(
                    f"SBATCH_OPTIONS: {option}: the jobs need the whole environment, as in --export=ALL,NAME=VALUE"
                )
            else:
                options.append(option)
        return cls(tuple(options), comment, after)


@dataclass(frozen=True)
class StageFlags:
    """The flags that go to the stages, and those of them that other steps of a chain need to know.

    `prompts`: planner and apply_domains.py must know the domains of one's own too. `keep`: verify.py must know that a
    mixture is wanted; `outside`: it and the planner, that media lie outside their root. `file`: all of them take what
    is theirs from a file of options.
    """

    all: tuple[str, ...]
    prompts: tuple[str, ...]
    keep: tuple[str, ...]
    outside: tuple[str, ...]
    file: tuple[str, ...] = ()

    @classmethod
    def of(cls, flags: Sequence[str]) -> "StageFlags":
        """As they stand on the command line; where one is there twice, the last counts."""
        keep, outside = ((flag,) if flag in flags else () for flag in ("--keep", "--allow-outside-root"))
        return cls(tuple(flags), _last("--prompts-dir", flags), keep, outside, _last("--config", flags))

    @property
    def variables(self) -> dict[str, str]:
        """What tells the jobs of the file, all their programs, wherever they begin."""
        if not self.file:
            return {}
        named = self.file[-1].removeprefix("--config=")
        return {CONFIG_VARIABLE: str(_absolute(named)) if named else ""}


def _last(flag: str, flags: Sequence[str]) -> tuple[str, ...]:
    """That flag with its value, as it stands there for the last time; nothing where it does not."""
    found: tuple[str, ...] = ()
    for place, word in enumerate(flags):
        if word == flag:
            found = tuple(flags[place : place + 2])
        elif word.startswith(f"{flag}="):
            found = (word,)
    return found


@dataclass(frozen=True)
class Chain:
    """A chain as the user wants it; all paths are absolute, so that what is made and read does not depend on where a
    job begins (--chdir). `again` is the command that submits it again.
    """

    size: Size
    sbatch: SbatchOptions
    flags: StageFlags
    metafile: Path
    run: Path
    plan: Path
    route: bool
    replan: bool
    patience_seconds: float
    again: str

    @classmethod
    def of(cls, environment: Mapping[str, str], flags: Sequence[str]) -> "Chain":
        """Read all of them.

        Raises:
            BadArguments: one of them cannot be.
        """
        run = _absolute(environment.get("RUN") or REPOSITORY / "Output")
        return cls(
            size=Size.of(environment),
            sbatch=SbatchOptions.of(environment),
            flags=StageFlags.of(flags),
            metafile=_absolute(environment.get("METAFILE") or REPOSITORY / "data" / "Metafile.json"),
            run=run,
            plan=_absolute(environment.get("PLAN") or run / "split_plan.jsonl"),
            route=yes_or_no(environment, "ROUTE", True),
            replan=yes_or_no(environment, "REPLAN", False),
            patience_seconds=patience_seconds(environment),
            again=_again(environment, flags),
        )


def _absolute(path: str | Path) -> Path:
    """Without `..`, links as they are, whether it is there or not."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (Path.absolute leaves `..` in)


def _again(environment: Mapping[str, str], flags: Sequence[str]) -> str:
    """What does the same again, typed in any shell."""
    names = [*_VARIABLES, *sorted(name for name in environment if name.startswith(("SBATCH_", PREFIX)))]
    given = {name: environment[name] for name in names if environment.get(name)}
    if "PYTHONPATH" in given:  # of which the script has made this
        given["PYTHONPATH"] = given["PYTHONPATH"].removeprefix(str(REPOSITORY)).removeprefix(":")
    told = [f"{name}={as_typed(value)}" for name, value in given.items() if value]
    script = REPOSITORY / "script" / "slurm" / "submit.sh"
    return " ".join([f"cd {as_typed(Path.cwd())} &&", *told, "bash", as_typed(script), *map(as_typed, flags)])
