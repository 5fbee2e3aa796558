"""What is installed for the program itself."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-cpu.txt", "pyproject.toml"])
def test_nothing_that_clips_need_is_missing_on_some_processors(name: str) -> None:
    """decord has no wheel for aarch64; PyAV has."""
    text = (REPOSITORY / name).read_text()
    assert "decord" not in text
    assert "platform_machine" not in text
    assert "av==" in text or name == "pyproject.toml"
