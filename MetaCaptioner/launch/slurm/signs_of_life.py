"""The folder by which the ranks of a job and its batch script know of each other: one that all nodes see."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from MetaCaptioner.errors import UserError
from MetaCaptioner.runtime.settings import seconds

_GONE = (errno.ENOENT, errno.ESTALE)
_LEAST_BEAT_SECONDS = 0.01


def beat_seconds(environment: Mapping[str, str]) -> float:
    """So often a rank gives a sign of life, and the batch script looks for it: `BEAT_SECONDS`."""
    return seconds(environment, "BEAT_SECONDS", 30, least=_LEAST_BEAT_SECONDS)


class Signs:
    """`.job-ID.N` among the results: a file of each rank that has not come to its end, and `stop` once they shall."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stop = folder / "stop"

    @classmethod
    def made_anew(cls, results: Path, job: str, restart: int) -> "Signs":
        """The folder of a job that has been started so many times before; those of earlier times are removed.

        Raises:
            UserError: it cannot be made.
        """
        folder = results / f".job-{job}.{restart}"
        try:
            for old in results.glob(f".job-{job}.*"):
                shutil.rmtree(old, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made: {error.strerror}") from error
        return cls(folder)

    def remove(self) -> None:
        """At the end of the job."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask_to_stop(self) -> None:
        """For ranks that srun does not know of yet, whom a signal does not reach. It may be that there are none."""
        if self.folder.is_dir():
            self._stop.touch()

    def stop_is_asked(self) -> bool:
        """Whether the ranks shall stop; not where the folder is out of reach."""
        return os.path.exists(self._stop)  # noqa: PTH110 (no error at all)

    def of_rank(self, task: int) -> Path:
        """The file of a rank, which it writes to now and then as long as it lives, and takes away at its end."""
        return self.folder / f"rank{task}"

    def left(self) -> Mapping[Path, bytes]:
        """The files of ranks that have not come to their end, with what they hold.

        A file counts whatever it holds: a rank that is killed between opening it and writing to it leaves it empty. One
        that is listed but not there is that of a rank that has ended: a node may show the list as it was a minute ago.

        Raises:
            OSError: they cannot be read just now.
        """
        found = {}
        for path in self.folder.iterdir():
            if path.name.startswith("rank"):
                try:
                    found[path] = path.read_bytes()
                except OSError as error:
                    if error.errno not in _GONE:
                        raise
        return found
