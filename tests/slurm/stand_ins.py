"""Small executables that stand for SLURM's commands, for what a real SLURM does not do on demand."""

from pathlib import Path


def stand_in(folder: Path, name: str, text: str, times: int | None = None) -> None:
    """`text` as the command `name`: for good, or in place of what was there the first so many times it is called."""
    path = folder / name
    if times is not None:
        path.rename(folder / f"later-{name}")
        count = f'echo >>"$0.calls"; [ $(wc -l <"$0.calls") -le {times} ] || exec "{folder}/later-{name}" "$@"'
        text = f"{count}\n{text}"
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
