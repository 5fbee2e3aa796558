"""The plans of a chain: made, kept where they are there, or made again by the user's word.

    python -m MetaCaptioner.launch.slurm.plans --plan P --metafile M --made-from W --results R --num-ranks N FLAGS...

is what stands between route and caption. FLAGS go to `python -m MetaCaptioner.plan`, which does the work.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from MetaCaptioner.errors import UserError
from MetaCaptioner.runtime.settings import yes_or_no
from MetaCaptioner.utils.cli import complain, run_main

RunProgram = Callable[[Sequence[str]], int]
"""Runs a program to its end, as `subprocess.call` does; returns its exit status."""


@dataclass(frozen=True)
class PlanOfChain:
    """The plan of `metafile` for all ranks, of what `results` do not hold.

    `whole` is the Metafile that it all began with, from which `metafile` may have been made: where that has changed
    since, a plan that is there is refused, or with `replan` made again. `flags` go to the planner.
    """

    plan: Path
    metafile: Path
    whole: Path
    results: Path | None
    num_ranks: int
    replan: bool
    flags: Sequence[str] = ()

    def make_once(self, run: RunProgram = subprocess.call) -> int:
        """Make the plan unless it is there; returns 0, or 1 where that cannot be. What is wrong has been said.

        One that leaves datasets out is not kept.
        """
        if self.plan.exists() and not self.replan:
            return self.check(run)
        before = _inode(self.plan)
        results = ["--results", str(self.results)] if self.results is not None and self.results.is_dir() else []
        made = ("--metafile", str(self.metafile), *results, "--made-from", str(self.whole), *self.flags)
        if run(self._planner(*made)) == 0:
            return 0
        if _inode(self.plan) != before:  # a refused one was not written
            self.plan.unlink(missing_ok=True)
        return UserError.exit_status

    def check(self, run: RunProgram = subprocess.call) -> int:
        """Whether a plan that is there is of the whole Metafile as it is now: 0, or 1, which has been said."""
        if not self.plan.exists() or run(self._planner("--metafile", str(self.whole), "--if-missing")) == 0:
            return 0
        complain("with REPLAN=yes what remains is planned again; another RUN begins anew")
        return UserError.exit_status

    def _planner(self, *flags: str) -> list[str]:
        told = ("--num-ranks", str(self.num_ranks), "--output", str(self.plan))
        return [sys.executable, "-m", "MetaCaptioner.plan", *told, *flags]


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a plan unless it is there."""
    parser = argparse.ArgumentParser(
        prog="python -m MetaCaptioner.launch.slurm.plans",
        description="Make a plan of a chain, unless it is there (REPLAN=yes: again). Further flags go to the planner.",
        allow_abbrev=False,
    )
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--metafile", type=Path, required=True, help="what to plan")
    parser.add_argument("--made-from", type=Path, required=True, metavar="METAFILE", help="what it was made from")
    parser.add_argument("--results", type=Path, help="what these hold is not planned; they need not be there")
    parser.add_argument("--num-ranks", type=int, required=True)
    options, flags = parser.parse_known_args(arguments)
    replan = yes_or_no(os.environ, "REPLAN", False)
    return PlanOfChain(
        options.plan, options.metafile, options.made_from, options.results, options.num_ranks, replan, flags
    ).make_once()


if __name__ == "__main__":
    run_main(main)
