from pathlib import Path

import pytest

from MetaCaptioner.agents.thresholds import Thresholds
from MetaCaptioner.records.caption_records import resample_folder, resample_folders
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.worklist.best_caption import Candidate, Candidates, best, marked_dimensions
from tests.helpers import write_lines
from tests.made_records import Record, caption_record, failed, judged, score_record

THRESHOLDS = Thresholds(3.0, 3, whole=False)


def candidate(*marks: int, rounds: int = 0, **fields: object) -> Candidate:
    names = ("accuracy", "completeness", "hallucination", "reasoning", "fluency")
    return Candidate(caption_record(0, **fields), score_record(0, **dict(zip(names, marks, strict=True))), rounds)


def again(index: int, of: str, text: str, rounds: int, **marks: int) -> Record:
    """A record of a caption that was sampled again."""
    score = score_record(index, **marks)
    marked = {name: score[name] for name in ("scores", "overall", "reason")}
    source = {"caption_hash": caption_hash(of)}
    told = {"source": source, "round": rounds, "rounds": [{"round": rounds}], "caption_hash": caption_hash(text)}
    return caption_record(index, caption=text, **marked, **told)


def test_the_best_is_good_enough_then_well_marked_then_even_then_first() -> None:
    lopsided, even = candidate(5, 5, 5, 5, 2), candidate(4, 4, 4, 4, 4)
    assert best([lopsided, even]) is lopsided
    assert best([lopsided, even], THRESHOLDS) is even
    flat, uneven = candidate(3, 3, 3, 3, 3), candidate(5, 1, 3, 3, 3)
    assert best([uneven, flat]) is flat
    twin = candidate(3, 3, 3, 3, 3)
    assert best([flat, twin]) is flat


@pytest.mark.parametrize(
    "unmarked",
    [
        Candidate(caption_record(0), None),
        Candidate(caption_record(0), failed(score_record(0), "bad_verdict")),
        Candidate(caption_record(0), {**score_record(0), "caption_hash": "0" * 16}),
        Candidate(failed(caption_record(0), "media_corrupt"), None),
    ],
)
def test_what_has_no_marks_is_worse_than_any(unmarked: Candidate) -> None:
    worst = candidate(1, 1, 1, 1, 1)
    assert best([unmarked, worst]) is worst
    assert unmarked.against(THRESHOLDS) != []


def test_candidates_are_found_in_all_folders_and_only_those_of_the_caption_as_it_is(tmp_path: Path) -> None:
    scores = tmp_path / "score"
    name = "Rank3_node0_photos.jsonl"
    write_lines(scores / name, [score_record(0), score_record(1), score_record(2)])
    one, two = resample_folder(scores, 1), resample_folder(scores, 10)
    write_lines(one / name, [again(0, "caption 0", "new", 1, accuracy=5), again(1, "another", "old", 1)])
    write_lines(two / name, [again(0, "caption 0", "newer", 2), failed(caption_record(2), "empty_output")])
    (scores / "resample" / "notes").mkdir()
    assert resample_folders(scores) == {1: one, 10: two}
    candidates = Candidates(scores, 3)
    found = candidates.of(caption_record(0))
    assert [(c.record["caption"], c.rounds) for c in found] == [("caption 0", 0), ("new", 1), ("newer", 2)]
    assert [c.against(THRESHOLDS) for c in found] == [[], [], []]
    assert best(found).record["caption"] == "new"
    assert [len(candidates.of(caption_record(number))) for number in (1, 2, 7)] == [1, 1, 1]
    assert candidates.of(caption_record(7))[0].score is None
    assert Candidates(scores, 4).of(caption_record(0))[0].score is None


def test_a_failed_caption_has_no_other_candidates(tmp_path: Path) -> None:
    write_lines(resample_folder(tmp_path, 1) / "Rank0_node0_photos.jsonl", [again(0, "caption 0", "new", 1)])
    record = {**failed(caption_record(0), "media_corrupt"), "caption": None}
    assert Candidates(tmp_path, 0).of(record) == [Candidate(record, None)]


def test_marks_and_captions_of_other_media_count_as_none(tmp_path: Path) -> None:
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [score_record(0) | {"image": "before.jpg"}])
    made = again(0, "caption 0", "new", 1) | {"image": "before.jpg"}
    write_lines(resample_folder(tmp_path, 1) / "Rank0_node0_photos.jsonl", [made])
    [now] = Candidates(tmp_path, 0).of(caption_record(0) | {"image": "now.jpg"})
    assert now.against(THRESHOLDS) == ["score of other media"]
    assert len(Candidates(tmp_path, 0).of(caption_record(0) | {"image": "before.jpg"})) == 2


def test_marks_in_other_dimensions_are_not_compared() -> None:
    """A judge that marks fewer things, or milder ones, would win every time."""
    first = candidate(2, 3, 3, 3, 3)
    other = Candidate(caption_record(0, caption="new"), judged(0, truth=5, style=5), 1)
    assert best([first, other]) is first
    assert best([first, other], THRESHOLDS) is first
    assert best([other, first]) is other
    failed_one = Candidate(failed(caption_record(0), "media_corrupt"), None)
    assert best([failed_one, other]) is other


def test_what_is_marked_is_looked_up_as_far_as_needed(tmp_path: Path) -> None:
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [failed(score_record(0), "bad_verdict"), score_record(1)])
    write_lines(tmp_path / "Rank1_node0_photos.jsonl", [judged(2, truth=5, style=5)])
    five = ["accuracy", "completeness", "hallucination", "reasoning", "fluency"]
    assert marked_dimensions(tmp_path, []) == []
    assert marked_dimensions(tmp_path, ["fluency"]) == five
    assert (
        marked_dimensions(tmp_path, ["fluency", "style"])
        == marked_dimensions(tmp_path, ["x"])
        == [*five, "truth", "style"]
    )
