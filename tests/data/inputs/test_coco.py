import json
from pathlib import Path

import pytest

from tests.data.inputs.building import Build, Row, answer


def test_images_with_their_captions(build: Build, tmp_path: Path) -> None:
    images = [
        {"id": 9, "file_name": "b.jpg", "width": 3},
        {"id": "x", "file_name": "sub/a.jpg"},
        {"id": 1, "file_name": "c.jpg"},
    ]
    images += [{"id": 2, "file_name": "http://x/d.jpg"}, {"id": 9, "file_name": "e.jpg"}]
    captions = [(9, "One."), ("x", " Two. "), (9, "Again."), (77, "Of none."), (1, 5), ("x", "Three.")]
    annotations: list[Row] = [{"image_id": image, "caption": caption} for image, caption in captions]
    annotations.append({"image_id": 1, "bbox": [1, 2, 3, 4]})
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations}), encoding="utf-8-sig")
    (tmp_path / "train").mkdir()
    built = build(tmp_path / "Metafile.json", "coco", path, "--root", tmp_path / "train")
    assert [(row["id"], row["image"], answer(row)) for row in built.rows] == [
        *((9, "b.jpg", None), ("x", "sub/a.jpg", "Two."), (1, "c.jpg", None), (9, "e.jpg", None))
    ]
    assert built.entries["captions"]["root"] == "train"
    for line in (
        "left out: 1 annotations without a caption, such as boxes (first: 'annotation 6')",
        "left out: 1 captions of images that are not listed (first: 'annotation 3')",
        "left out: 1 captions that are no text but list (first: 'image 1')",
        "left out: 1 images whose file_name is none (first: \"image 2: 'file_name' is an address",
        "note: 1 rows with several captions, of which the first is kept (first: 'image x')",
        "left out: 2 captions of an id that several images have (first: 'image 9')",
    ):
        assert line in built.said


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[]", "a list of rows is an annotation file already: name it in the Metafile"),
        (b"{", "is no COCO file: Input data was truncated"),
        (b'{"annotations": []}', "is no COCO file: Object missing required field `images`"),
        (b'{"images": [{"id": 1}]}', "missing required field `file_name` - at `$.images[0]`"),
        (b'{"images": []}', "no picture and no clip was found"),
        (None, "cannot be read: No such file"),
    ],
)
def test_other_files(build: Build, tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    built = build(tmp_path / "Metafile.json", "coco", tmp_path / "a.json")
    assert (built.status, built.said.count("\n")) == (1, 1)
    assert complaint in built.said
