import os
from pathlib import Path

import pytest

from tests.slurm.stand_ins import stand_in

_STAND_INS = {
    "squeue": 'case $* in *%E*) echo "8 afterok:7(unfulfilled)" ;; *%k*) ;; *) echo "$STATE" ;; esac',
    "scontrol": 'echo "scontrol $*" >>"$CALLS"',
    "sbatch": 'echo "sbatch $*" >>"$CALLS"; echo 9',
}
"""SLURM's commands, as far as they are needed; what is asked of them is in the file `CALLS`."""


class Slurm:
    """Stand-ins for SLURM's commands in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stand_in(self, name: str, text: str, times: int | None = None) -> None:
        stand_in(self.folder, name, text, times)

    @property
    def calls(self) -> list[str]:
        """The calls that change something."""
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """A SLURM in which job 7 runs, for this process and those that it starts, which are in no job."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "METACAPTIONER"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    monkeypatch.setenv("STATE", "RUNNING")
    for name, text in _STAND_INS.items():
        stand_in(folder, name, text)
    return Slurm(folder)
