import json
from pathlib import Path

import pytest

from MetaCaptioner.data.inputs.detection import METAFILE, detect
from MetaCaptioner.errors import UserError


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["a/b/1.png"], "folder"),
        (["0.tar", "1.JPG"], "folder"),
        (["0.tar", "0.json"], "webdataset"),
        (["clips/1.mp4"], "folder"),
        (["data/train-0.parquet", "README.md"], "huggingface"),
        (["state.json", "data.arrow"], "huggingface"),
    ],
)
def test_a_folder_is_told_by_what_lies_in_it(tmp_path: Path, names: list[str], kind: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert detect(str(tmp_path)) == kind


def test_a_file_is_told_by_its_name_and_json_by_what_it_says(tmp_path: Path) -> None:
    for name, kind in (("a.csv", "table"), ("a.TSV", "table"), ("a.parquet", "table"), ("a.tar", "webdataset")):
        (tmp_path / name).touch()
        assert detect(str(tmp_path / name)) == kind
    assert detect("shards/train-{000..099}.tar") == "webdataset"
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [], "annotations": []}))
    assert detect(str(path)) == "coco"
    path.write_text(json.dumps({"images": {"root": "r", "annotation": "a.json"}}))  # a dataset of that name
    assert detect(str(path)) == METAFILE


@pytest.mark.parametrize(
    ("name", "told"),
    [("none", "there is no such file or folder"), ("a.png", "name its folder"), ("a.txt", "--format says what it is")],
)
def test_what_is_no_input_is_told(tmp_path: Path, name: str, told: str) -> None:
    if name != "none":
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=told):
        detect(str(tmp_path / name))


def test_a_folder_without_any_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is empty"):
        detect(str(tmp_path))
    (tmp_path / "notes.docx").touch()
    (tmp_path / ".hidden.png").touch()
    with pytest.raises(UserError, match="none of its 2 files is a picture"):
        detect(str(tmp_path))
