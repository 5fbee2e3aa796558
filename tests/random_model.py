"""A random-weight Qwen2.5-VL for the tests that run real vLLM."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def make(folder: Path) -> Path:
    """Write the model with the script that the demo uses."""
    script = ROOT / "script" / "make_random_model.py"
    specification = importlib.util.spec_from_file_location("make_random_model", script)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.make_model(folder)
    return folder


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("random") / "model")
