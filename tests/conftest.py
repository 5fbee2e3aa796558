import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from xdist.scheduler import LoadFileScheduling

from MetaCaptioner.media.decoding import pool
from MetaCaptioner.media.decoding.process import ForkServer
from MetaCaptioner.records import rank_lock
from MetaCaptioner.utils.cli import PROGRAM
from MetaCaptioner.utils.log_lines import LOGGER, speak
from tests import helpers
from tests.data.inputs.building import Build, builder
from tests.helpers import Runner
from tests.lent_server import lending
from tests.made_records import WriteLines
from tests.shown_clips import odd_clip, plain_clip  # noqa: F401

_SLOW = {"engine", "slurm", "browser"}
_TOGETHER = {
    "the demo's model": ("test_meaning.py", "test_odd_pictures.py", "test_odd_clips.py", "test_passes.py"),
}
os.environ["METACAPTIONER_CONFIG"] = ""  # the user's own options are none of the tests'
INHERITED = dict(os.environ)
"""The environment before any test has loaded an engine in this process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of slow tests first, those with most of them before others: so that no worker has one left at the end."""
    slow = Counter(item.path for item in items if _SLOW & {mark.name for mark in item.iter_markers()})
    slow.update(item.path for item in items if item.path.parent.name == "chaos")
    items.sort(key=lambda item: -slow[item.path])
    if not os.environ.get("LONG"):
        for item in items:
            if "long" in {mark.name for mark in item.iter_markers()}:
                item.add_marker(pytest.mark.skip("takes minutes: LONG=1 asks for it"))


class ByFile(LoadFileScheduling):
    """Files are shared out among workers; those that share a model that has to be loaded, together."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return next((name for name, files in _TOGETHER.items() if file.endswith(files)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def as_a_program() -> Iterator[None]:
    """What is said is shown as a program shows it; how it was is put back."""
    level, propagate, handlers = LOGGER.level, LOGGER.propagate, [*LOGGER.handlers]
    speak()
    yield
    os.environ.pop(PROGRAM, None)  # which the command `metacaptioner` sets for good
    LOGGER.setLevel(level)
    LOGGER.propagate, LOGGER.handlers = propagate, handlers


@pytest.fixture(autouse=True)
def no_waiting_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that another process has is refused at once."""
    monkeypatch.setattr(rank_lock, "_LOCK_SECONDS", 0.0)


@pytest.fixture(scope="module")
def fork_server() -> Iterator[Callable[[], ForkServer]]:
    """Makes what a run of this process has as its fork server of decoders: a part of one, which all of a file share."""
    with lending() as lender:
        yield lender


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fork_server: Callable[[], ForkServer]
) -> Iterator[Runner]:
    """Runs the programs of the project as one process without GPUs; the signal handlers are put back."""
    for name in [name for name in os.environ if name.startswith("SLURM_") or name in ("RANK", "WORLD_SIZE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(pool, "ForkServer", fork_server)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield Runner(monkeypatch, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def write_lines() -> WriteLines:
    return helpers.write_lines


@pytest.fixture
def build(run: Runner) -> Build:
    """Runs build_metafile in this process."""
    return builder(run)


@pytest.fixture(scope="session")
def photograph() -> Image.Image:
    """A photograph of 512x512 pixels, in colours."""
    return Image.fromarray(data.astronaut())


@pytest.fixture(scope="session")
def small(photograph: Image.Image) -> Image.Image:
    """A photograph of 160x96 pixels."""
    return photograph.crop((60, 0, 380, 192)).resize((160, 96))


@pytest.fixture(scope="session")
def grey(small: Image.Image) -> NDArray[np.uint8]:
    """The photograph in grey, from 0 to 255."""
    values = np.asarray(small.convert("L")).astype(float)
    return np.rint((values - values.min()) * 255 / (values.max() - values.min())).astype(np.uint8)
