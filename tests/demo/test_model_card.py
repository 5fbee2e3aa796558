"""The model card says what was measured."""

import shutil
from pathlib import Path

from demo.model_card import write_card
from tests.random_model import ROOT

MODEL = ROOT / "data" / "demo" / "model"


def test_the_card_is_made_from_the_records(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("README.md", "loss.png"))
    write_card(folder)
    assert (folder / "README.md").read_text() == (MODEL / "README.md").read_text()
    assert (folder / "loss.png").stat().st_size > 10_000


def test_the_model_is_small_enough_to_be_kept_here() -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= 16_000_000
