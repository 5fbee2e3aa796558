import hashlib
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.data.export_manifest import NAME
from MetaCaptioner.export import beside_media
from tests.export.conftest import Captions, Export, filtered
from tests.export.test_text_files import kohya_caption
from tests.helpers import Outcome, make_read_only
from tests.made_records import caption_record

Texts = dict[str, str]
Beside = Callable[..., Outcome]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Four pictures in a root, one of them in a folder."""
    folder = tmp_path / "media"
    for name in ("0.png", "1.png", "2.png", "sub/3.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"media")
    return folder


@pytest.fixture
def put(tmp_path: Path, do_export: Export) -> Beside:
    """Exports beside the media what is kept of a result folder, which is written anew."""

    def do(kept: list[dict[str, Any]], *flags: object, rejected: Any = (), results: str = "Caption") -> Outcome:
        return do_export(filtered(tmp_path / results, kept, rejected), "txt", "--beside", *flags)

    return do


def record(media: Path, number: int, caption: str = "", **fields: object) -> dict[str, Any]:
    name = "sub/3.png" if number == 3 else f"{number}.png"
    told = {"image": name, "caption": caption or f"caption {number}", **fields}
    return caption_record(number, root=str(media), **told)


def texts(media: Path) -> Texts:
    found = {path.relative_to(media).as_posix(): path.read_text() for path in media.rglob("*.txt")}
    assert not [path.name for path in media.rglob(".*") if path.name not in (NAME, ".metacaptioner-export.lock")]
    return found


def listed(media: Path) -> dict[str, str]:
    manifest = json.loads((media / NAME).read_text())
    assert (set(manifest), manifest["format"]) == ({"format", "files", "of"}, 1)
    files: dict[str, str] = manifest["files"]
    return files


def hashes(found: Texts) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in found.items()}


def test_the_list_tells_what_was_written(media: Path, put: Beside) -> None:
    outcome = put([record(media, number) for number in (3, 0)])
    assert outcome.status == 0, outcome.said
    assert texts(media) == {"0.txt": "caption 0\n", "sub/3.txt": "caption 3\n"}
    assert listed(media) == hashes(texts(media))
    assert kohya_caption(media / "sub" / "3.png") == "caption 3"


def test_what_is_no_longer_kept_goes(media: Path, put: Beside) -> None:
    put([record(media, number) for number in (0, 1, 2)])
    kept = [record(media, 0), record(media, 3)]
    rejected = [record(media, 1), record(media, 2)]
    outcome = put(kept, rejected=rejected)
    assert (outcome.status, len(texts(media))) == (1, 3)
    assert "1.txt is there already, of an earlier export, as 2 in all; --overwrite replaces them" in outcome.said
    outcome = put(kept, "--overwrite", rejected=rejected)
    assert outcome.status == 0
    assert "note: 2 texts of captions that are not exported any more were taken away" in outcome.said
    assert texts(media) == {"0.txt": "caption 0\n", "sub/3.txt": "caption 3\n"}
    assert listed(media) == hashes(texts(media))


def test_the_text_of_a_record_that_was_taken_out_goes_too(media: Path, put: Beside) -> None:
    """Such as of a picture that is in no row any more; what other results wrote stays."""
    put([record(media, 0)], results="Other")
    put([record(media, 1), record(media, 2)])
    done = put([record(media, 1)], "--overwrite")
    assert done.status == 0
    assert texts(media) == {"0.txt": "caption 0\n", "1.txt": "caption 1\n"}
    assert listed(media) == hashes(texts(media))
    assert "1 texts of captions that are not exported any more were taken away" in done.said
    assert "1 texts are of exports of other results, and stay" in done.said


def test_media_that_the_row_spells_otherwise_have_their_text_beside_them(media: Path, put: Beside) -> None:
    (media / unicodedata.normalize("NFD", "é.png")).write_bytes(b"media")
    names = {0: "sub\\3.png", 1: (media / "1.png").as_uri(), 2: unicodedata.normalize("NFC", "é.png")}
    assert put([record(media, number, image=name) for number, name in names.items()]).status == 0
    decomposed = unicodedata.normalize("NFD", "é.txt")
    assert texts(media) == {"sub/3.txt": "caption 0\n", "1.txt": "caption 1\n", decomposed: "caption 2\n"}


def test_where_nothing_is_kept_any_more_all_goes(media: Path, put: Beside) -> None:
    put([record(media, 0), record(media, 3)])
    outcome = put([], "--overwrite", rejected=[record(media, 0), record(media, 3)])
    assert (outcome.status, texts(media), listed(media)) == (0, {}, {})
    assert "0 captions written beside their media" in outcome.said


def test_what_was_taken_away_by_hand_leaves_the_list(media: Path, put: Beside) -> None:
    put([record(media, 0), record(media, 3)])
    (media / "0.txt").unlink()
    assert put([record(media, 3)], rejected=[record(media, 0)]).status == 0
    assert listed(media) == hashes(texts(media)) == hashes({"sub/3.txt": "caption 3\n"})


def test_what_somebody_edited_or_wrote_is_never_lost(media: Path, put: Beside) -> None:
    put([record(media, number) for number in (0, 1)])
    (media / "0.txt").write_text("edited")
    (media / "1.txt").write_text("edited too")
    (media / "2.txt").write_text("mine")
    kept, rejected = [record(media, 0, "new"), record(media, 2, "new"), record(media, 3)], [record(media, 1)]
    before = texts(media)
    outcome = put(kept, "--overwrite", rejected=rejected)
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert "2 .txt files are not an export's, or were edited since (first: " in outcome.said
    assert "--own-texts keep leaves them, --own-texts replace writes over them" in outcome.said
    assert texts(media) == before
    outcome = put(kept, "--overwrite", "--own-texts", "keep", rejected=rejected)
    assert outcome.status == 0
    assert "note: 2 captions are not written, since a text of your own stays" in outcome.said
    assert "note: 1 texts of captions that are not exported any more stay, since they were edited" in outcome.said
    assert texts(media) == {**before, "sub/3.txt": "caption 3\n"}
    assert "2.txt" not in listed(media)
    assert put(kept, "--overwrite", "--own-texts", "replace", rejected=rejected).status == 0
    assert texts(media) == {"0.txt": "new\n", "1.txt": "edited too", "2.txt": "new\n", "sub/3.txt": "caption 3\n"}


def test_the_same_again_changes_nothing(media: Path, put: Beside) -> None:
    kept = [record(media, number) for number in (0, 1)]
    put(kept)
    before = {path: path.stat().st_mtime_ns for path in media.rglob("*.txt")}
    assert put(kept).status == 0
    assert {path: path.stat().st_mtime_ns for path in media.rglob("*.txt")} == before


def test_results_that_share_a_root_leave_each_other_alone(media: Path, put: Beside) -> None:
    put([record(media, 0), record(media, 1)], results="A")
    assert put([record(media, 2, name="other")], results="B").status == 0
    outcome = put(
        [record(media, 3, name="other")], "--overwrite", rejected=[record(media, 2, name="other")], results="B"
    )
    assert outcome.status == 0
    assert "note: 2 texts are of exports of other results, and stay" in outcome.said
    assert set(texts(media)) == {"0.txt", "1.txt", "sub/3.txt"}
    assert listed(media) == hashes(texts(media))


@pytest.mark.parametrize("puts", range(4))
def test_a_run_that_was_cut_off_goes_on(media: Path, put: Beside, monkeypatch: pytest.MonkeyPatch, puts: int) -> None:
    put([record(media, number) for number in (0, 1, 2)])
    kept, rejected = [record(media, 0), record(media, 1, "new"), record(media, 3)], [record(media, 2)]
    left, put_text = [puts], beside_media._put

    def cut_off(path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        put_text(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(beside_media, "_put", cut_off)
        assert put(kept, "--overwrite", rejected=rejected).status == (3 if puts < 2 else 0)
    found = hashes(texts(media))
    assert found.items() <= listed(media).items()
    assert put(kept, "--overwrite", rejected=rejected).status == 0
    assert texts(media) == {"0.txt": "caption 0\n", "1.txt": "new\n", "sub/3.txt": "caption 3\n"}
    assert listed(media) == hashes(texts(media))


def test_media_that_share_a_name_with_others(media: Path, put: Beside) -> None:
    """A text that a trainer takes for both pictures is neither's, also where one of the two was rejected."""
    assert put([record(media, 0)]).status == 0
    shutil.copy(media / "0.png", media / "0.jpg")
    outcome = put([record(media, 0)], "--overwrite", rejected=[record(media, 5, image="0.jpg")])
    assert texts(media) == {"0.png.txt": "caption 0\n"}
    assert kohya_caption(media / "0.jpg") is None
    assert "note: 1 captions of media that share a name are in files that trainers do not read" in outcome.said
    assert listed(media) == hashes(texts(media))


def test_media_that_are_gone_get_no_text(media: Path, put: Beside) -> None:
    (media / "0.png").unlink()
    outcome = put([record(media, 0), record(media, 1)])
    assert (outcome.status, set(texts(media))) == (1, {"1.txt"})
    assert "left out: 1 captions of media that are not there" in outcome.said


def test_a_root_that_cannot_be_written_is_told(
    tmp_path: Path, media: Path, put: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_read_only(monkeypatch, media)
    outcome = put([record(media, 0)])
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert f"root {media}: cannot be written: Read-only file system; nothing is written, use --output" in outcome.said
    outcome = put([record(tmp_path / "none", 0)])
    assert f"root {tmp_path}/none: there is no such folder" in outcome.said


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 1}', '{"format": 2, "files": {}}', '{"format": 1, "files": 3}']
)
def test_a_list_that_is_none_is_told(media: Path, put: Beside, content: str) -> None:
    (media / NAME).write_text(content)
    outcome = put([record(media, 0)])
    assert (outcome.status, outcome.said.count("\n"), texts(media)) == (1, 1, {})
    assert NAME in outcome.said


def test_members_of_tar_files_have_no_place_beside_them(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    outcome = do_export(captions[0], "txt", "--beside")
    assert outcome.status == 1
    assert "photos/3: lies in a tar file, beside which is no place; use --format webdataset" in outcome.said
    assert not list(tmp_path.rglob("*.txt"))


# --- folders that were made to lead elsewhere


def test_nothing_is_written_or_taken_away_behind_a_link_out_of_the_root(
    tmp_path: Path, media: Path, put: Beside
) -> None:
    outside = tmp_path / "outside"
    (media / "sub").rename(outside)
    (media / "sub").symlink_to(outside)
    told = put([record(media, 0), record(media, 3)])
    assert (told.status, sorted(path.name for path in outside.iterdir())) == (1, ["3.png"])
    assert "left out: 1 captions of media behind links out of their root" in told.said
    assert texts(media) == {"0.txt": "caption 0\n"}
    (outside / "3.txt").write_text("mine\n")
    files = {"sub/3.txt": hashlib.sha256(b"mine\n").hexdigest()}
    of = dict.fromkeys(files, str((tmp_path / "Caption").resolve()))
    (media / NAME).write_text(json.dumps({"format": 1, "files": files, "of": of}))
    assert put([record(media, 0)], "--overwrite").status == 0
    assert (outside / "3.txt").read_text() == "mine\n"
    (outside / "3.txt").unlink()
    assert put([record(media, 0), record(media, 3)], "--overwrite", "--allow-outside-root").status == 0
    assert (outside / "3.txt").read_text() == "caption 3\n"


def test_a_list_that_names_files_elsewhere_is_refused(tmp_path: Path, media: Path, put: Beside) -> None:
    (tmp_path / "mine.txt").write_text("mine\n")
    files = {"../mine.txt": hashlib.sha256(b"mine\n").hexdigest()}
    of = dict.fromkeys(files, str((tmp_path / "Caption").resolve()))
    (media / NAME).write_text(json.dumps({"format": 1, "files": files, "of": of}))
    told = put([record(media, 0)], "--overwrite")
    assert (told.status, told.said.count("\n")) == (1, 1)
    assert f"{media / NAME}: names a file that is not below its folder (../mine.txt); move it away" in told.said
    assert (tmp_path / "mine.txt").read_text() == "mine\n"


@pytest.mark.timeout(60)
def test_a_link_in_the_way_of_a_text_is_not_written_through(tmp_path: Path, media: Path, put: Beside) -> None:
    (tmp_path / "mine.txt").write_text("mine\n")
    (media / ".metacaptioner-export.tmp").symlink_to(tmp_path / "mine.txt")
    os.mkfifo(media / "1.txt")
    told = put([record(media, 0), record(media, 1)])
    assert f"1 .txt files are not an export's, or were edited since (first: {media / '1.txt'})" in told.said
    assert put([record(media, 0), record(media, 1)], "--own-texts", "replace").status == 0
    assert texts(media) == {"0.txt": "caption 0\n", "1.txt": "caption 1\n"}
    assert (tmp_path / "mine.txt").read_text() == "mine\n"
