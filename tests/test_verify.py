import hashlib
import json
from pathlib import Path

import pytest

from tests.made_records import WriteLines, caption_record, failed, judged, score_record
from tests.pipeline.commands import run, script


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """photos [0, 3) for rank 0 and [3, 6) for rank 1."""
    common = {"data_name": "photos", "json_url": "photos.json", "root": "media", "task": "Natural", "modality": "image",
              "total": 6, "processed": 0, "remain": 6, "num_shards": 2, "anno_file_key": "photos.json"}  # fmt: skip
    rows = [common | {"shard_index": n, "start_idx": 3 * n, "end_idx": 3 * n + 3, "assign_rank": n} for n in (0, 1)]
    path = tmp_path / "plan.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def verify(plan: Path, folder: Path, *flags: str) -> tuple[int, str]:
    done = run(script("verify", "--plan", plan, "--data-folder", folder, *flags))
    return done.returncode, done.stdout


def test_complete(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    write_lines(out / "Rank0_node0_photos.jsonl", [caption_record(index) for index in (2, 0, 1)])
    write_lines(out / "Rank1_node0_photos.jsonl", [caption_record(index) for index in (3, 4)])
    write_lines(out / "Rank1_node1_photos.jsonl", [failed(caption_record(5), "media_missing")])
    status, text = verify(plan, out)
    assert status == 0
    assert "complete: 6 samples expected, 5 ok" in text
    assert "1  failed samples: photos/5: media_missing: …" in text
    assert verify(plan, out, "--fail-on-errors")[0] == 1


def test_rows_without_media_are_no_failures(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    write_lines(out / "Rank0_node0_photos.jsonl", [caption_record(index) for index in (2, 0, 1)])
    without = [failed(caption_record(index), "no_media") for index in (4, 5)]
    path = write_lines(out / "Rank1_node0_photos.jsonl", [caption_record(3), *without])
    for flags in ((), ("--fail-on-errors",)):
        status, text = verify(plan, out, *flags)
        assert status == 0
        assert "complete: 6 samples expected, 4 ok" in text
        assert "2  rows that no stage can use, with neither image nor video (no fault): photos/4: no_media" in text
        assert "failed samples" not in text
    write_lines(path, [caption_record(3), without[0], failed(caption_record(5), "bad_row")])
    assert verify(plan, out, "--fail-on-errors")[0] == 1


def test_a_file_that_was_formatted_is_named_with_the_command_that_mends_it(
    tmp_path: Path, plan: Path, write_lines: WriteLines
) -> None:
    path = write_lines(tmp_path / "out" / "Rank0_node0_photos.jsonl", [caption_record(0)])
    path.write_text(json.dumps(caption_record(0), indent=2) + "\n")
    status, text = verify(plan, tmp_path / "out")
    assert status == 1
    assert f"1  files without records: {path.name}: holds no record a line: was it formatted? Write it anew: jq" in text
    assert "broken lines" not in text


def test_missing_duplicate_torn_and_stray(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    path = write_lines(out / "Rank0_node0_photos.jsonl", [caption_record(index) for index in (0, 1, 1)])
    strays = [caption_record(9), caption_record(0, name="other"), caption_record(3), caption_record(4)]
    write_lines(out / "Rank1_node0_photos.jsonl", strays)
    path.write_bytes(path.read_bytes() + b'{"sample_id": "photos/2", "data_na')
    status, text = verify(plan, out)
    assert status == 1
    assert "NOT complete" in text
    assert "2  missing samples: photos/2; photos/5" in text
    assert "1  duplicate records: photos/1 in Rank0_node0_photos.jsonl" in text
    assert text.splitlines()[-2] == "error: --mend moves further records of a sample, and broken lines, aside"
    assert "1  torn or broken lines: Rank0_node0_photos.jsonl:4" in text
    assert "2  stray records: photos/9 in Rank1_node0_photos.jsonl; other/0" in text


def test_an_id_that_is_not_that_of_its_row_is_stray(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    captions = [caption_record(index) for index in range(5)]
    write_lines(out / "Rank0_node0_photos.jsonl", [*captions, caption_record(5, sample_id="photos/4")])
    status, text = verify(plan, out)
    assert status == 1
    assert "1  stray records: photos/4 in Rank0_node0_photos.jsonl" in text
    assert "1  missing samples: photos/5" in text


def test_records_in_the_file_of_another_rank_are_told_of_and_no_fault(
    tmp_path: Path, plan: Path, write_lines: WriteLines
) -> None:
    out = tmp_path / "out"
    write_lines(out / "Rank0_node0_photos.jsonl", [caption_record(index) for index in (0, 1, 2, 3)])
    write_lines(out / "Rank1_node0_photos.jsonl", [caption_record(index) for index in (4, 5)])
    status, text = verify(plan, out)
    assert status == 0
    assert "1  records in the file of another rank than the plan's (no fault): photos/3 in Rank0_node0_photos" in text


# --- the media of records


MEDIA = {number: bytes([number]) * 100 for number in range(6)}


@pytest.fixture
def captioned(tmp_path: Path, write_lines: WriteLines) -> tuple[Path, Path]:
    """(plan, result folder): six captions with the hashes of their files, one of them a failure without a file."""
    media = tmp_path / "media"
    media.mkdir()
    for number, content in MEDIA.items():
        (media / f"{number}.png").write_bytes(content)
    (media / "5.png").unlink()
    rows = [{"id": number, "image": f"{number}.png"} for number in MEDIA]
    (tmp_path / "photos.json").write_text(json.dumps(rows))
    row = {"data_name": "photos", "json_url": "photos.json", "root": "media", "task": "", "modality": "image",
           "total": 6, "processed": 0, "remain": 6, "shard_index": 0, "num_shards": 1, "start_idx": 0, "end_idx": 6,
           "anno_file_key": "photos.json", "assign_rank": 0}  # fmt: skip
    plan = write_lines(tmp_path / "plan.jsonl", [row])
    captions = [caption_record(n, media_hash=hashlib.sha256(MEDIA[n]).hexdigest()) for n in range(5)]
    write_lines(tmp_path / "out" / "Rank0_node0_photos.jsonl", [*captions, failed(caption_record(5), "media_missing")])
    return plan, tmp_path / "out"


def test_captions_that_belong_to_their_media(captioned: tuple[Path, Path]) -> None:
    status, text = verify(*captioned, "--check-media", "100")
    assert status == 0
    assert "complete: 6 samples expected, 5 ok, the media of 5 looked at" in text
    assert "the media of 2 looked at" in verify(*captioned, "--check-media", "2")[1]


def test_media_are_the_rows_however_the_row_names_them(tmp_path: Path, captioned: tuple[Path, Path]) -> None:
    rows = [{"images": ["0.png"]}, {"image": ["1.png"], "video": ""}, *({"image": f"{n}.png"} for n in range(2, 6))]
    (tmp_path / "photos.json").write_text(json.dumps(rows))
    status, text = verify(*captioned, "--check-media", "100")
    assert (status, "the media of 5 looked at" in text) == (0, True)
    (tmp_path / "photos.json").write_text(json.dumps([{"images": ["0.png", "1.png"]}, *rows[1:]]))
    status, text = verify(*captioned, "--check-media", "100")
    assert status == 1
    assert "1  records of another medium than their row names: photos/0: 0.png, now ['0.png', '1.png']" in text


def test_another_root_is_told_and_its_files_are_looked_at(tmp_path: Path, captioned: tuple[Path, Path]) -> None:
    plan, out = captioned
    told = (
        "5  records of files below another root than now (no fault if they were moved: --check-media looks): photos/0"
    )
    results = out / "Rank0_node0_photos.jsonl"
    results.write_text(results.read_text().replace('"/media"', json.dumps(str(tmp_path / "media"))))
    assert told not in verify(plan, out)[1]
    (tmp_path / "media").rename(tmp_path / "moved")
    plan.write_text(plan.read_text().replace('"root": "media"', '"root": "moved"'))
    status, text = verify(plan, out, "--check-media", "9")
    assert (status, told in text) == (0, True)
    for path in (tmp_path / "moved").iterdir():
        path.write_bytes(b"of the same name")
    status, text = verify(plan, out, "--check-media", "9")
    assert (status, "5  records of other content than their media have" in text) == (1, True)


def test_swapped_files_are_found(tmp_path: Path, captioned: tuple[Path, Path]) -> None:
    media = tmp_path / "media"
    (media / "1.png").write_bytes(MEDIA[2])
    (media / "2.png").write_bytes(MEDIA[1])
    (media / "4.png").unlink()
    assert verify(*captioned)[0] == 0
    status, text = verify(*captioned, "--check-media", "100")
    assert status == 1
    assert (
        f"2  records of other content than their media have: photos/1: {media}/1.png; photos/2: {media}/2.png" in text
    )
    assert "1  media that cannot be read: photos/4: No such file or directory: 4.png" in text


def test_swapped_rows_are_found(tmp_path: Path, captioned: tuple[Path, Path]) -> None:
    rows = [{"id": n, "image": f"{n}.png"} for n in (0, 2, 1, 3)]
    (tmp_path / "photos.json").write_text(json.dumps(rows))
    status, text = verify(*captioned, "--check-media", "100")
    assert status == 1
    assert "2  records of another medium than their row names: photos/1: 1.png, now 2.png; photos/2" in text
    assert "2  records of other content than their media have: photos/1" in text
    assert "1  records whose annotation row is gone: photos/4: row 4 of 4" in text


def test_the_draw_is_even_and_the_same_for_a_seed(tmp_path: Path, captioned: tuple[Path, Path]) -> None:
    for number in MEDIA:
        (tmp_path / "media" / f"{number}.png").write_bytes(b"changed")
    drawn = []
    for seed in (0, 1, 2, 3, 0):
        text = verify(*captioned, "--check-media", "1", "--seed", str(seed))[1]
        drawn.append(text.split("content than their media have: ")[1].split(":")[0])
    assert drawn[0] == drawn[-1]
    assert len(set(drawn)) > 1


def test_many_missing_are_counted_not_listed(tmp_path: Path, write_lines: WriteLines) -> None:
    row = {"data_name": "big", "json_url": "b.json", "root": "m", "task": "", "modality": "image", "total": 1000,
           "processed": 0, "remain": 1000, "shard_index": 0, "num_shards": 1, "start_idx": 0, "end_idx": 1000,
           "anno_file_key": "b.json", "assign_rank": 0}  # fmt: skip
    plan = write_lines(tmp_path / "plan.jsonl", [row])
    write_lines(tmp_path / "out" / "Rank0_node0_b.jsonl", [caption_record(0, name="big")])
    status, text = verify(plan, tmp_path / "out")
    assert status == 1
    assert "999  missing samples: big/1; big/2; big/3; big/4; big/5 …" in text


def test_scores(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    captions = [caption_record(index) for index in range(5)] + [failed(caption_record(5), "media_missing")]
    write_lines(out / "Rank0_node0_photos.jsonl", captions)
    scores = [score_record(index) for index in (0, 1, 2, 3)]
    path = write_lines(out / "score" / "Rank0_node0_photos.jsonl", scores)
    status, text = verify(plan, out, "--scores")
    assert status == 1
    assert "1  captions without a score: photos/4" in text
    write_lines(path, [*scores, score_record(4)])
    assert verify(plan, out, "--scores")[0] == 0
    write_lines(path, [*scores, score_record(4), score_record(4), score_record(8)])
    status, text = verify(plan, out, "--scores")
    assert status == 1
    assert "1  captions with several scores: photos/4" in text
    assert "1  scores without a caption: photos/8" in text
    write_lines(path, [score_record(0) | {"image": "other.jpg"}, *scores[1:], score_record(4)])
    status, text = verify(plan, out, "--scores")
    assert status == 1
    assert "1  scores of other media than their captions: photos/0" in text


def test_captions_in_the_score_folder_are_no_scores(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    for folder in (out, out / "score"):
        write_lines(folder / "Rank0_node0_photos.jsonl", [caption_record(index) for index in range(6)])
    status, text = verify(plan, out, "--scores")
    assert status == 1
    assert "6  records in the score folder that are no scores: photos/0 in Rank0_node0_photos.jsonl" in text
    assert "6  captions without a score" in text


def test_a_missing_folder_or_plan_is_one_line(tmp_path: Path, plan: Path) -> None:
    for bad_plan, folder in ((plan, tmp_path / "nowhere"), (tmp_path / "no.jsonl", tmp_path)):
        status, text = verify(bad_plan, folder)
        assert status == 1
        assert text.startswith("error: ")
        assert text.count("\n") == 1


def test_a_negative_number_is_a_bad_argument(tmp_path: Path, plan: Path) -> None:
    status, text = verify(plan, tmp_path, "--check-media", "-1")
    assert (status, text) == (2, "error: --check-media must be at least 0\n")


# --- mixtures


def test_records_that_are_not_all_made_alike_are_a_mixture(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    captions = [caption_record(index, stage="captionpipeline") for index in range(6)]
    captions[1] |= {"prompts": "q"}
    captions[4] |= {"model": "scripted"}
    del captions[5]["stage"]  # of an older version
    write_lines(out / "Rank0_node0_photos.jsonl", captions[:3])
    write_lines(out / "Rank1_node0_photos.jsonl", captions[3:])
    status, text = verify(plan, out)
    assert status == 1
    assert "2  records made otherwise than most: 1 records with other prompts (q, not p): photos/1; " in text
    assert "1 records with another model (scripted, not m): photos/4" in text
    assert verify(plan, out, "--keep")[0] == 0


def test_scores_that_are_not_all_made_alike_are_a_mixture(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    write_lines(out / "Rank0_node0_photos.jsonl", [caption_record(index) for index in range(6)])
    scores = [score_record(index) | {"model": "m", "prompts": "p"} for index in range(6)]
    scores[2] |= {"prompts": "q"}
    write_lines(out / "score" / "Rank0_node0_photos.jsonl", scores)
    status, text = verify(plan, out, "--scores")
    assert status == 1
    assert "1  records made otherwise than most: 1 scores with other prompts (q, not p): photos/2" in text
    assert verify(plan, out, "--scores", "--keep")[0] == 0


def test_that_media_could_not_be_compared_is_told(tmp_path: Path, plan: Path, write_lines: WriteLines) -> None:
    out = tmp_path / "out"
    write_lines(out / "Rank0_node0_photos.jsonl", [caption_record(index) for index in range(6)])
    status, text = verify(plan, out)
    assert status == 0
    assert "1  datasets whose annotation file cannot be read, so that media are not compared (no fault)" in text


def test_scores_with_other_dimensions_than_most_are_a_mixture(
    tmp_path: Path, plan: Path, write_lines: WriteLines
) -> None:
    out = tmp_path / "out"
    for rank in (0, 1):
        rows = range(3 * rank, 3 * rank + 3)
        write_lines(out / f"Rank{rank}_node0_photos.jsonl", [caption_record(index) for index in rows])
    scores = [judged(index, truth=4, style=4) for index in range(5)]
    path = write_lines(out / "score" / "Rank0_node0_photos.jsonl", [*scores, judged(5, style=4, truth=4)])
    assert verify(plan, out, "--scores")[0] == 0
    write_lines(path, [*scores, score_record(5)])
    status, text = verify(plan, out, "--scores")
    assert status == 1
    assert "1  scores with other dimensions than most: 1 have accuracy, completeness, fluency, " in text
    assert verify(plan, out, "--scores", "--keep")[0] == 0
