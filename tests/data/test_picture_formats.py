import io
from pathlib import Path

import datasets
import pytest
from PIL import Image

from MetaCaptioner.data.picture_formats import PILLOW_FORMATS, format_of
from tests.data.inputs.building import Build, builder
from tests.helpers import Runner


@pytest.mark.parametrize("kind", [one for one in PILLOW_FORMATS if one != "HEIF"])
def test_the_format_that_bytes_begin_as(kind: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, kind)
    assert format_of(out.getvalue()) == kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\xff\x0a\0\0", "JXL"), (b"\0\0\0\x18ftypheic\0\0", "HEIF"), (b"no picture", None), (b"", None)],
)
def test_formats_that_pillow_has_no_plugin_for(content: bytes, kind: str | None) -> None:
    assert format_of(content) == kind


@pytest.fixture
def build(run: Runner) -> Build:
    return builder(run)


def test_a_dataset_with_bytes_that_are_no_picture_is_packed_all_the_same(build: Build, tmp_path: Path) -> None:
    """Pillow raises a KeyError where it is asked for a format without a plugin and finds no other."""
    datasets.Dataset.from_dict({"image": [b"no picture"]}).to_parquet(tmp_path / "x.parquet")
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", tmp_path / "x.parquet")
    assert built.status == 0, built.said
    assert len(built.rows) == 1
