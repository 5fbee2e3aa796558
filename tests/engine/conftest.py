from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.random_model import random_model  # noqa: F401
from tests.running_engine import RunningEngine


@pytest.fixture(scope="session")
def running(random_model: Path) -> Iterator[RunningEngine]:  # noqa: F811
    engine = RunningEngine(random_model)
    yield engine
    engine.close()
