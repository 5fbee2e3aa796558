import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_records import Record, WriteLines, caption_record, failed, judged, run_record, score_record
from tests.pipeline.commands import environment, run, script, succeed


def lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def make_results(folder: Path, write_lines: WriteLines) -> None:
    """Seven captions on two ranks; photos/5 has no score, photos/6 failed, photos/3 has a failed score."""
    captions = [caption_record(index, truncated=index == 0) for index in range(6)]
    captions.append(failed(caption_record(6), "media_corrupt"))
    write_lines(folder / "Rank0_node0_photos.jsonl", captions[:3])
    write_lines(folder / "Rank1_node0_photos.jsonl", captions[3:])
    scores = [score_record(0), score_record(1, accuracy=2), score_record(2, fluency=1, reasoning=1, completeness=2)]
    write_lines(folder / "score" / "Rank0_node0_photos.jsonl", scores[:2])
    write_lines(folder / "score" / "Rank0_node1_photos~1.jsonl", scores[2:])
    rest = [failed(score_record(3), "bad_verdict"), score_record(4, accuracy=3)]
    write_lines(folder / "score" / "Rank1_node0_photos.jsonl", rest)


def test_every_caption_is_kept_or_rejected_with_its_reasons(tmp_path: Path, write_lines: WriteLines) -> None:
    make_results(tmp_path, write_lines)
    command = script("filterd_by_score", "--data-folder", tmp_path, "--min-overall", "3", "--min-dim-score", "3")
    assert "kept 2 of 7 captions" in succeed(command)
    kept, rejected = lines(tmp_path / "filtered" / "kept.jsonl"), lines(tmp_path / "filtered" / "rejected.jsonl")
    assert [record["sample_id"] for record in kept] == ["photos/0", "photos/4"]
    assert kept[0]["caption"] == "caption 0"
    assert kept[0]["overall"] == 4
    assert kept[0]["reason"] == "reason 0"
    reasons = {record["sample_id"]: record["rejected"] for record in rejected}
    assert reasons == {
        "photos/1": ["accuracy too low (2 < 3)"],
        "photos/2": [
            "overall too low (2.4 < 3)",
            "completeness too low (2 < 3)",
            "reasoning too low (1 < 3)",
            "fluency too low (1 < 3)",
        ],
        "photos/3": ["score failed (bad_verdict)"],
        "photos/5": ["no score"],
        "photos/6": ["caption failed (media_corrupt)"],
    }
    summary = json.loads((tmp_path / "filtered" / "summary.json").read_text())
    assert (summary["total"], summary["kept"], summary["rejected"]) == (7, 2, 5)
    assert summary["domains"] == {"Natural": {"total": 7, "kept": 2}}
    assert summary["datasets"] == {"photos": {"total": 7, "kept": 2}}
    assert summary["scores"]["accuracy"] == {"2": 1, "3": 1, "4": 3}


def test_thresholds_are_lowest_values_that_pass(tmp_path: Path, write_lines: WriteLines) -> None:
    make_results(tmp_path, write_lines)
    loose = script("filterd_by_score", "--data-folder", tmp_path, "--min-overall", "2.4", "--min-dim-score", "1")
    assert "kept 4 of 7" in succeed(loose)
    strict = script("filterd_by_score", "--data-folder", tmp_path, "--min-overall", "3.9", "--min-dim-score", "4")
    assert "kept 1 of 7" in succeed(strict)
    assert "kept 0 of 7" in succeed([*strict, "--drop-truncated"])


def test_bad_arguments_and_folders_are_told_in_one_line(tmp_path: Path) -> None:
    done = run(script("filterd_by_score", "--data-folder", tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("error: data folder")
    assert done.stdout.count("\n") == 1
    done = run(script("filterd_by_score", "--data-folder", tmp_path, "--min-overall", "7"))
    assert done.returncode == 2
    assert "--min-overall must be from 1 to 5" in done.stdout


def test_the_cost_of_what_was_kept_is_that_of_all_runs(tmp_path: Path, write_lines: WriteLines) -> None:
    captions = tmp_path / "Caption"
    make_results(captions, write_lines)
    early, late = run_record(images=2, working_seconds=10.0, state="working"), run_record()
    write_lines(captions / "runs" / "Rank0_node0.jsonl", [early, late])
    write_lines(captions / "score" / "runs" / "Rank0_node0.jsonl", [run_record(run="s", stage="inferscore", images=4)])
    routed = run_record(run="d", stage="inferdomain", gpus=2, state="working")
    write_lines(tmp_path / "Domain" / "runs" / "Rank0_node0.jsonl", [routed])
    said = succeed(script("filterd_by_score", "--data-folder", captions))
    assert "cost: 2,000.00 GPU hours per thousand kept captions (4.00 in all)" in said
    assert (
        "  inferdomain: 1 run, 8 images an hour, 2 tokens a second a rank; 2.00 GPU hours; 1 killed or going on" in said
    )
    assert "  captionpipeline: 1 run, 8 images an hour, 2 tokens a second a rank; 1.00 GPU hours\n" in said
    assert "the run logs tell of" not in said
    cost = json.loads((captions / "filtered" / "summary.json").read_text())["cost"]
    assert (cost["gpu_hours"], cost["gpu_hours_per_thousand_kept"]) == (4, 2000)
    assert list(cost["stages"]) == ["inferdomain", "captionpipeline", "inferscore"]
    assert cost["stages"]["captionpipeline"]["output_tokens"] == 6000
    elsewhere = script("filterd_by_score", "--data-folder", captions, "--domain-folder", tmp_path / "none")
    assert "(2.00 in all)" in succeed(elsewhere)


def test_what_is_not_known_of_the_cost_is_said(tmp_path: Path, write_lines: WriteLines) -> None:
    make_results(tmp_path, write_lines)
    command = script("filterd_by_score", "--data-folder", tmp_path)
    assert "cost: not known, since there are no run logs beside the results" in succeed(command)
    write_lines(tmp_path / "runs" / "Rank0_node0.jsonl", [run_record(gpus=0, device=None, images=5)])
    said = succeed(command)
    assert "cost: no GPU was used" in said
    assert "the run logs tell of 5 of the 7 captions; the rest cost more than this" in said
    write_lines(tmp_path / "runs" / "Rank0_node0.jsonl", [run_record(), run_record(run="cpu", gpus=0)])
    said = succeed([*command, "--min-overall", "5"])
    assert "cost: 1.00 GPU hours, and no caption was kept" in said
    assert "1 without a GPU" in said


def test_captions_in_the_score_folder_are_refused(tmp_path: Path, write_lines: WriteLines) -> None:
    for folder in (tmp_path, tmp_path / "score"):
        write_lines(folder / "Rank0_node0_photos.jsonl", [caption_record(0)])
    for tool in ("filterd_by_score", "report"):
        done = run(script(tool, "--data-folder", tmp_path))
        assert (done.returncode, done.stdout.count("\n")) == (1, 1)
        assert "Rank0_node0_photos.jsonl holds no scores (photos/0 has none" in done.stdout
    assert not (tmp_path / "filtered" / "kept.jsonl").exists()


def test_of_a_sample_with_several_captions_one_is_counted_and_written(tmp_path: Path, write_lines: WriteLines) -> None:
    make_results(tmp_path, write_lines)
    succeed(script("filterd_by_score", "--data-folder", tmp_path))
    once = {name: (tmp_path / "filtered" / name).read_bytes() for name in ("kept.jsonl", "rejected.jsonl")}
    write_lines(tmp_path / "Rank2_node0_photos.jsonl", [caption_record(0, caption="another"), caption_record(0)])
    write_lines(tmp_path / "Rank0_node00_photos.jsonl", [failed(caption_record(0), "engine_error")])
    said = succeed(script("filterd_by_score", "--data-folder", tmp_path))
    assert "note: 3 records of samples that have another one are passed over" in said
    assert {name: (tmp_path / "filtered" / name).read_bytes() for name in once} == once
    assert json.loads((tmp_path / "filtered" / "summary.json").read_text())["duplicates"] == 3


EDITED: dict[str, dict[str, object]] = {
    "no marks": {"scores": None},
    "a mark is missing": {"scores": {"accuracy": 5}},
    "a mark is text": {"scores": dict.fromkeys(score_record(0)["scores"], "5")},
    "a mark out of range": {"scores": dict.fromkeys(score_record(0)["scores"], 10**30)},
    "no mean": {"overall": None},
    "an error that is text": {"status": "error", "error": "text"},
    "another type altogether": {"scores": [5], "overall": {}},
}


@pytest.mark.parametrize("edited", EDITED.values(), ids=EDITED)
def test_a_score_that_somebody_edited_is_no_reason_to_keep_nor_to_stop(
    tmp_path: Path, write_lines: WriteLines, edited: dict[str, object]
) -> None:
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [caption_record(n) for n in range(2)])
    scores = [score_record(0), {**score_record(1), **edited}]
    write_lines(tmp_path / "score" / "Rank0_node0_photos.jsonl", scores)
    said = succeed(script("filterd_by_score", "--data-folder", tmp_path))
    assert "kept 1 of 2 captions" in said
    assert "Traceback" not in said


_OPENS = """
import builtins, os, sys
from pathlib import Path
from MetaCaptioner import filter as command
opened = []
sys.addaudithook(lambda event, given: opened.append(given[0]) if event == "open" else None)
command.main(["--data-folder", sys.argv[1]])
print(sum("score/Rank" in str(name) for name in opened))
"""


def test_the_score_file_is_not_opened_for_each_caption(tmp_path: Path, write_lines: WriteLines) -> None:
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [caption_record(n) for n in range(300)])
    write_lines(tmp_path / "score" / "Rank0_node0_photos.jsonl", [score_record(n) for n in range(300)])
    command = [sys.executable, "-c", _OPENS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    assert int(done.stdout.split()[-1]) < 12  # each time it is looked up first, then opened


# --- what is marked is what the scores say


def own_marks(folder: Path, write_lines: WriteLines) -> None:
    """Three captions of a judge with two dimensions."""
    write_lines(folder / "Rank0_node0_photos.jsonl", [caption_record(index) for index in range(3)])
    scores = [judged(0, truth=5, style=2), judged(1, truth=4, style=4), judged(2, truth=5, style=5)]
    write_lines(folder / "score" / "Rank0_node0_photos.jsonl", scores)


def test_each_dimension_may_have_a_mark_of_its_own(tmp_path: Path, write_lines: WriteLines) -> None:
    own_marks(tmp_path, write_lines)
    command = script("filterd_by_score", "--data-folder", tmp_path)
    assert "kept 2 of 3" in succeed(command)
    assert "kept 3 of 3" in succeed([*command, "--min-dim-score", "style=2"])
    said = succeed([*command, "--min-dim-score", "2", "--min-dim-score", "truth=5"])
    assert "kept 2 of 3" in said
    assert "note: marks" not in said
    [rejected] = lines(tmp_path / "filtered" / "rejected.jsonl")
    assert (rejected["sample_id"], rejected["rejected"]) == ("photos/1", ["truth too low (4 < 5)"])
    summary = json.loads((tmp_path / "filtered" / "summary.json").read_text())
    assert summary["thresholds"] == {
        "min_overall": 3.0, "min_dim_score": 2, "drop_truncated": False, "min_dim_score_of": {"truth": 5},
    }  # fmt: skip
    assert summary["scores"]["style"] == {"2": 1, "4": 1, "5": 1}
    assert summary["judged"] == [{"dimensions": ["truth", "style"], "marks": 3}]


def test_a_dimension_that_no_score_has_is_one_line(tmp_path: Path, write_lines: WriteLines) -> None:
    own_marks(tmp_path, write_lines)
    done = run(script("filterd_by_score", "--data-folder", tmp_path, "--min-dim-score", "truht=4"))
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert (
        f"--min-dim-score truht: the judge of {tmp_path / 'score'} marks truth, style; did you mean truth?"
        in done.stdout
    )
    assert not (tmp_path / "filtered" / "summary.json").exists()


def test_scores_of_two_judges_are_told_and_none_passes_for_want_of_a_mark(
    tmp_path: Path, write_lines: WriteLines
) -> None:
    own_marks(tmp_path, write_lines)
    write_lines(tmp_path / "Rank1_node0_photos.jsonl", [caption_record(3)])
    write_lines(tmp_path / "score" / "Rank1_node0_photos.jsonl", [score_record(3)])
    command = script("filterd_by_score", "--data-folder", tmp_path)
    said = succeed([*command, "--min-dim-score", "truth=4"])
    told = "3 have style, truth; 1 have accuracy, completeness, fluency, hallucination, reasoning"
    assert f"note: marks are of judges with different dimensions, and hardly compare: {told}" in said
    reasons = {one["sample_id"]: one["rejected"] for one in lines(tmp_path / "filtered" / "rejected.jsonl")}
    assert reasons == {"photos/0": ["style too low (2 < 3)"], "photos/3": ["no mark for truth"]}
    assert "kept 3 of 4" in succeed(command)


def claim(answer: str, **fields: object) -> Record:
    return {"text": f"It is {answer}.", "answer": answer, **fields}


def make_claims(folder: Path, write_lines: WriteLines) -> None:
    """Captions with 3 of 4, 1 of 2, no and unanswered claims, one made without the check, and one that failed."""
    some = [claim("supported")] * 3 + [claim("contradicted", dropped=True)]
    half = [claim("supported", supported=0.8, contradicted=0.1), claim("not visible"), {"text": "?", "error": {}}]
    claims = [some, half, [], [{"text": "?", "error": {"kind": "refused", "message": "…"}}]]
    captions = [caption_record(index, claims=found) for index, found in enumerate(claims)]
    captions += [caption_record(4), failed(caption_record(5), "unsupported")]
    write_lines(folder / "Rank0_node0_photos.jsonl", captions)
    write_lines(folder / "score" / "Rank0_node0_photos.jsonl", [score_record(index) for index in range(5)])


def test_captions_are_kept_by_the_share_of_their_claims_that_are_supported(
    tmp_path: Path, write_lines: WriteLines
) -> None:
    make_claims(tmp_path, write_lines)
    command = script("filterd_by_score", "--data-folder", tmp_path)
    said = succeed([*command, "--min-claim", "0.7"])
    assert "kept 2 of 6 captions" in said
    assert "claims of 4 captions: 4 supported, 1 contradicted, 1 not visible, 2 unanswered, 1 dropped" in said
    assert "  made without --claims: 1 caption\n" in said
    reasons = {record["sample_id"]: record["rejected"] for record in lines(tmp_path / "filtered" / "rejected.jsonl")}
    assert reasons == {
        "photos/1": ["too few claims are supported (0.50 < 0.7)"],
        "photos/3": ["no claim was answered"],
        "photos/4": ["claims were not checked"],
        "photos/5": ["caption failed (unsupported)"],
    }
    summary = json.loads((tmp_path / "filtered" / "summary.json").read_text())
    assert summary["thresholds"]["min_claim"] == 0.7
    assert summary["claims"]["captions"] == 4
    assert summary["claims"]["unchecked"] == 1
    assert "kept 5 of 6" in succeed(command)
    assert "kept 1 of 6" in succeed([*command, "--min-claim", "0.8"])


def test_a_share_of_claims_is_not_asked_of_captions_without_any(tmp_path: Path, write_lines: WriteLines) -> None:
    make_results(tmp_path, write_lines)
    for tool in ("filterd_by_score", "report"):
        done = run(script(tool, "--data-folder", tmp_path, "--min-claim", "0.5"))
        assert (done.returncode, done.stdout.count("\n")) == (1, 1)
        assert "has claims; caption with --claims" in done.stdout
    done = run(script("filterd_by_score", "--data-folder", tmp_path, "--min-claim", "2"))
    assert done.returncode == 2
