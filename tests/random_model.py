"""A random-weight Qwen2.5-VL for the tests that run real vLLM and do not care for meaning."""

from pathlib import Path

import pytest

from demo.random_model import make_random_model

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / "model"
    make_random_model(folder)
    return folder
