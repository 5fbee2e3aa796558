from pathlib import Path

import pytest

from tests.export.conftest import Captions, Export, filtered
from tests.made_records import caption_record


def kohya_caption(media: Path) -> str | None:
    """What kohya's sd-scripts take for the caption of a picture, with `caption_extension = ".txt"`.

    Source: kohya-ss/sd-scripts, `library/train_util.py`, `read_caption` (without wildcards).
    """
    beside = media.with_suffix(".txt")
    return beside.read_text(encoding="utf-8").splitlines(keepends=True)[0].strip() if beside.is_file() else None


def test_members_of_tar_files_have_a_place_below_the_output(
    tmp_path: Path, captions: Captions, do_export: Export
) -> None:
    results, _ = captions
    do_export(results, "txt", "--output", tmp_path / "out")
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.txt")} == {
        *("photos/0.txt", "photos/1.txt", "photos/s/in/3.txt", "the.clips_set/a.txt", "the.clips_set/b.x.txt")
    }


@pytest.mark.parametrize("caption", ["One.\nTwo.\n\n Three.", "\n\nOne.\rTwo.\r\nThree."])
def test_all_of_a_caption_of_several_lines_gets_to_kohya(tmp_path: Path, do_export: Export, caption: str) -> None:
    results = filtered(tmp_path / "Caption", [caption_record(0, caption=caption), caption_record(1, caption="A.")])
    said = do_export(results, "txt", "--output", tmp_path / "out").said
    assert "note: 1 captions have several lines, of which some trainers read the first only; --one-line joins" in said
    assert (tmp_path / "out" / "photos" / "0.txt").read_bytes() == f"{caption}\n".encode()
    said = do_export(results, "txt", "--output", tmp_path / "out", "--overwrite", "--one-line").said
    assert "several lines" not in said
    assert kohya_caption(tmp_path / "out" / "photos" / "0.png") == "One. Two. Three."
    assert kohya_caption(tmp_path / "out" / "photos" / "1.png") == "A."


def test_a_text_is_never_taken_for_that_of_other_media(tmp_path: Path, do_export: Export) -> None:
    names = ("a.jpg", "a.png", "b.jpg", "B.png", "c.jpg", "c.jpg.png")
    records = [caption_record(number, image=name) for number, name in enumerate(names)]
    records.append(caption_record(6, image="c.jpg"))
    outcome = do_export(filtered(tmp_path / "Caption", records), "txt", "--output", tmp_path / "out")
    texts = {path.name: path.read_text() for path in (tmp_path / "out" / "photos").iterdir()}
    assert texts == {
        **{f"{name}.txt": f"caption {number}\n" for number, name in enumerate(names[:4])},
        **{"c.txt": "caption 4\n", "c.jpg.txt": "caption 5\n"},
    }
    assert outcome.status == 0
    assert "note: 4 captions of media that share a name are in files that trainers do not read" in outcome.said
    assert "note: 1 captions of media that have one already are not written (first: photos/6)" in outcome.said


def test_media_whose_texts_would_all_be_those_of_others_are_left_out(tmp_path: Path, do_export: Export) -> None:
    names = ("c.jpg", "c.png", "c.jpg.png")
    records = [caption_record(number, image=name) for number, name in enumerate(names)]
    outcome = do_export(filtered(tmp_path / "Caption", records), "txt", "--output", tmp_path / "out")
    texts = {path.name: path.read_text() for path in (tmp_path / "out" / "photos").iterdir()}
    assert texts == {"c.png.txt": "caption 1\n", "c.jpg.txt": "caption 2\n"}
    assert outcome.status == 1
    assert "left out: 1 captions of media that share their names but for the suffix" in outcome.said


def test_names_of_tar_members_may_be_longer_than_those_of_files(tmp_path: Path, do_export: Export) -> None:
    place = {"file": "s.tar", "offset": 512, "size": 1}
    records = [caption_record(n, image="x" * 300 + f"{n}.png", tar=place) for n in (0, 1)]
    outcome = do_export(filtered(tmp_path / "Caption", records), "txt", "--output", tmp_path / "out")
    assert outcome.status == 0, outcome.said
    texts = (tmp_path / "out" / "photos" / "s").iterdir()
    assert {path.read_text() for path in texts} == {"caption 0\n", "caption 1\n"}
