from collections.abc import Iterator

import pytest

from tests.random_model import ROOT, random_model  # noqa: F401
from tests.running_engine import LoadedStages, RunningEngine


@pytest.fixture(scope="session")
def demo_model() -> Iterator[LoadedStages]:
    """The stages on the demo's model, which is loaded once; for tests whose point is what it says."""
    running = RunningEngine(ROOT / "data" / "demo" / "model", max_model_len=None, seed=0)
    yield LoadedStages(running)
    running.close()
