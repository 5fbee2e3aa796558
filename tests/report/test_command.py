"""The page's figures against the result files; what the page does in a browser is in test_report_page.py."""

import base64
import hashlib
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from MetaCaptioner.records.row_map import caption_hash
from tests.made_records import WriteLines, caption_record, failed, judged, score_record
from tests.pipeline.commands import run, script, succeed
from tests.random_model import ROOT

HOSTILE = "<script>window.hacked = 1</script> <!-- <img src=x onerror='window.hacked = 1'> & \u2028 \ud800 {{ data }}"


class Scripts(HTMLParser):
    """The script elements of a page, as a browser cuts them out of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[dict[str, str | None], str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        if self._inside:
            self.elements.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.elements[-1]
            self.elements[-1] = (attributes, text + data)


def page_data(page: Path) -> dict[str, Any]:
    """What the page's own script is given."""
    [text] = [text for attributes, text in Scripts(page.read_text()).elements if attributes.get("id") == "data"]
    found: dict[str, Any] = json.loads(text)
    return found


def report(folder: Path, *more: str | Path) -> dict[str, Any]:
    said = succeed(script("report", "--data-folder", folder, *more))
    page = Path(more[more.index("--output") + 1]) if "--output" in more else folder / "report.html"
    assert str(page) in said
    return page_data(page)


def marks_of(number: int) -> dict[str, int]:
    names = ("accuracy", "completeness", "hallucination", "reasoning", "fluency")
    return {name: max(1, 5 - number * (place + 3) % 11 // 2) for place, name in enumerate(names)}


def make_run(folder: Path, write_lines: WriteLines, count: int = 60, **fields: object) -> Path:
    """Captions on two ranks, in two domains; every tenth failed, every tenth has no score, every seventh was cut."""
    tasks = ("Natural", "Code & Programming")
    captions = [
        caption_record(
            n,
            truncated=n % 7 == 0,
            task=tasks[n % 2],
            caption=" ".join(f"word{number}" for number in range(n + 1)),
            **fields,
        )
        for n in range(count)
    ]
    captions = [failed(one, "media_corrupt") if one["index"] % 10 == 3 else one for one in captions]
    scores = [score_record(n, **marks_of(n)) for n in range(count) if n % 10 not in (3, 4)]
    for rank, first in enumerate((0, count // 2)):
        rows = range(first, first + count // 2)
        write_lines(folder / f"Rank{rank}_node0_photos.jsonl", [one for one in captions if one["index"] in rows])
        write_lines(folder / f"score/Rank{rank}_node0_photos.jsonl", [one for one in scores if one["index"] in rows])
    return folder


def cells(run_data: dict[str, Any]) -> list[dict[str, Any]]:
    names = [
        "state",
        "overall",
        "lowest",
        "truncated",
        "below",
        "count",
        "input",
        "cached",
        "output",
        "words",
        "seconds",
    ]
    return [dict(zip(names, row, strict=True)) for group in run_data["groups"] for row in group["cells"]]


@pytest.mark.parametrize(
    ("overall", "lowest", "whole"), [(1.0, 1, False), (3.0, 2, False), (2.6, 3, True), (5.0, 5, False)]
)
def test_every_threshold_keeps_what_the_filter_keeps(
    tmp_path: Path, write_lines: WriteLines, overall: float, lowest: int, whole: bool
) -> None:
    folder = make_run(tmp_path / "Caption", write_lines)
    found = cells(report(folder, "--gallery", "0")["runs"][0])
    kept = sum(
        cell["count"]
        for cell in found
        if cell["state"] == "marked" and cell["overall"] >= overall and cell["lowest"] >= lowest
        and not (whole and cell["truncated"])
    )  # fmt: skip
    flags = ["--min-overall", str(overall), "--min-dim-score", str(lowest), *(["--drop-truncated"] if whole else [])]
    said = succeed(script("filterd_by_score", "--data-folder", folder, *flags))
    assert f"kept {kept} of 60 captions" in said
    assert 0 < kept < 60


def test_marks_lengths_and_errors_are_those_of_the_records(tmp_path: Path, write_lines: WriteLines) -> None:
    data = report(make_run(tmp_path / "Caption", write_lines))
    assert data["domains"] == ["Natural", "Code & Programming"]
    natural = next(group for group in data["runs"][0]["groups"] if group["domain"] == 0)
    even = [n for n in range(0, 60, 2) if n % 10 != 4]
    expected = [sum(marks_of(n)["accuracy"] == mark for n in even) for mark in range(1, 6)]
    assert natural["marks"]["accuracy"] == expected
    assert natural["words"] == [[n + 1, 1] for n in range(0, 60, 2)]
    code = next(group for group in data["runs"][0]["groups"] if group["domain"] == 1)
    assert code["errors"] == [["caption", "media_corrupt", 6]]
    [[stage, kind, examples]] = data["runs"][0]["examples"]
    assert (stage, kind) == ("caption", "media_corrupt")
    assert examples[0] == {"id": "photos/3", "message": "…"}


def test_rows_without_media_are_no_failed_captions(tmp_path: Path, write_lines: WriteLines) -> None:
    records = [caption_record(0), failed(caption_record(1), "media_missing"), failed(caption_record(2), "no_media")]
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", records)
    data = report(tmp_path)
    [run] = data["runs"]
    cells = [cell for group in run["groups"] for cell in group["cells"]]
    errors = [error for group in run["groups"] for error in group["errors"]]
    assert [cell[0] for cell in cells].count("failed") == 1
    assert len(cells) == 2
    assert sorted(errors) == [["caption", "media_missing", 1], ["caption", "no_media", 1]]
    assert {one["id"] for one in data["gallery"]} == {"photos/0", "photos/1"}


def test_tokens_come_from_the_record_or_its_agents_and_hours_from_the_run_log(
    tmp_path: Path, write_lines: WriteLines
) -> None:
    agent = {"text": "t", "finish_reason": "stop", "input_tokens": 10, "cached_tokens": 4, "output_tokens": 3}
    captions = [
        caption_record(0, agents={"one": agent, "two": agent}, seconds=2.5),
        caption_record(1, agents={"one": agent}, input_tokens=1000, cached_tokens=500, output_tokens=300),
    ]
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", captions)
    write_lines(tmp_path / "score/Rank0_node0_photos.jsonl", [score_record(0) | {"output_tokens": 7}])
    line = {"run": "a", "gpus": 2, "loading_seconds": 600, "working_seconds": 3000, "money": 1.5}
    write_lines(tmp_path / "runs/Rank0_node0.jsonl", [{**line, "working_seconds": 9}, line, {"run": "b", "gpus": 0}])
    data = report(tmp_path)
    stages = data["runs"][0]["stages"]
    assert stages["caption"] == {
        "records": 2, "input": 1020, "cached": 508, "output": 306, "seconds": 2.5, "gpuHours": 2.0, "money": 1.5
    }  # fmt: skip
    assert (stages["score"]["output"], stages["score"]["gpuHours"]) == (7, None)
    assert sum(cell["output"] for cell in cells(data["runs"][0])) == 313


def test_what_was_sampled_again_costs_beside_the_first_caption(tmp_path: Path, write_lines: WriteLines) -> None:
    name, source = "Rank0_node0_photos.jsonl", {"caption_hash": caption_hash("caption 0")}
    line = {"run": "a", "gpus": 2, "loading_seconds": 600, "working_seconds": 3000}
    marks = {key: score_record(0)[key] for key in ("scores", "overall", "reason")}
    again = caption_record(0, caption="new", caption_hash=caption_hash("new"), source=source, **marks)
    again |= {"round": 1, "rounds": [{"round": 1, "rejected": []}], "input_tokens": 50, "output_tokens": 40}
    write_lines(tmp_path / name, [caption_record(0, input_tokens=20, output_tokens=10)])
    write_lines(tmp_path / "score" / name, [score_record(0, accuracy=1) | {"output_tokens": 7}])
    write_lines(tmp_path / "score" / "resample" / "1" / name, [again])
    for number, folder in enumerate((tmp_path, tmp_path / "score", tmp_path / "score" / "resample" / "1")):
        write_lines(folder / "runs" / "Rank0_node0.jsonl", [line | {"run": number, "gpus": 2 + number}])
    [shown], stages = report(tmp_path)["gallery"], report(tmp_path)["runs"][0]["stages"]
    assert shown["captions"][0]["caption"] == "new"
    outputs = {stage: (told["output"], told["gpuHours"]) for stage, told in stages.items()}
    assert outputs == {"caption": (10, 2.0), "score": (7, 3.0), "resample": (40, 4.0)}
    assert sum(cell["output"] for cell in cells(report(tmp_path)["runs"][0])) == 57


def test_the_named_domain_is_held_against_the_routers(tmp_path: Path, write_lines: WriteLines) -> None:
    captions = [caption_record(n) for n in range(4)]
    captions += [caption_record(4, task_source="router", task="UI & Interaction", task_confidence=0.31)]
    write_lines(tmp_path / "Caption/Rank0_node0_photos.jsonl", captions)
    routes = [
        caption_record(n, task_source="router", task=task, task_confidence=confidence)
        for n, (task, confidence) in enumerate([("Natural", 1.0), ("Natural", 0.97), ("Code & Programming", 0.52)])
    ]
    write_lines(tmp_path / "Domain/Rank0_node0_photos.jsonl", [*routes, failed(caption_record(3), "bad_route")])
    groups = {group["domain"]: group for group in report(tmp_path / "Caption")["runs"][0]["groups"]}
    assert groups[0]["routed"] == [["Code & Programming", 1], ["Natural", 2]]
    assert {name: sum(bins) for name, bins in groups[0]["confidence"].items()} == {"agrees": 2, "differs": 1}
    assert groups[0]["confidence"]["agrees"][19] == 2
    assert groups[0]["confidence"]["differs"][10] == 1
    assert groups[1]["confidence"]["unnamed"][6] == 1
    elsewhere = report(tmp_path / "Caption", "--domain-folder", tmp_path / "Domain", "--output", tmp_path / "page.html")
    assert elsewhere["runs"][0]["groups"] == report(tmp_path / "Caption")["runs"][0]["groups"]


def test_the_gallery_is_bounded_and_gives_every_domain_and_level_its_share(
    tmp_path: Path, write_lines: WriteLines
) -> None:
    common = ["Natural"] * 4 + ["Code & Programming"] * 4 + ["Medical & Bio-Imaging"] * 2
    tasks = ["UI & Interaction" if n == 1234 else common[n % 10] for n in range(3000)]
    captions = [caption_record(n, task=tasks[n]) for n in range(3000)]
    scores = [score_record(n, **dict.fromkeys(marks_of(0), 1 + n // 7 % 5)) for n in range(3000)]
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", captions)
    write_lines(tmp_path / "score/Rank0_node0_photos.jsonl", scores)
    strata = Counter((tasks[n], int(scores[n]["overall"])) for n in range(3000))
    data = report(tmp_path, "--gallery", "125")
    chosen = [int(sample["id"].split("/")[1]) for sample in data["gallery"]]
    shares = Counter((tasks[n], int(scores[n]["overall"])) for n in chosen)
    assert len(chosen) == len(set(chosen)) == 125
    assert len(strata) == len(shares) == 16
    taken_whole = {stratum for stratum in strata if shares[stratum] == strata[stratum]}
    assert 0 < len(taken_whole) < len(strata)
    others = [share for stratum, share in shares.items() if stratum not in taken_whole]
    assert max(others) - min(others) <= 1
    assert max(strata[stratum] for stratum in taken_whole) <= max(others)
    again = [sample["id"] for sample in report(tmp_path, "--gallery", "125")["gallery"]]
    assert again == [sample["id"] for sample in data["gallery"]]
    assert sum(cell["count"] for cell in cells(data["runs"][0])) == 3000


def test_pictures_and_texts_are_bounded_in_size(tmp_path: Path, write_lines: WriteLines) -> None:
    noise = Image.effect_noise((1500, 1000), 200).convert("RGB")
    noise.save(tmp_path / "0.png")
    long = caption_record(0, root=str(tmp_path), caption="long " * 50_000, agents={"one": {"text": "text " * 50_000}})
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [long])
    [sample] = report(tmp_path)["gallery"]
    assert 5_000 < len(sample["picture"]) < 45_000
    assert sample["width"] / sample["height"] == pytest.approx(1.5, rel=0.02)
    assert sample["captions"][0]["caption"].endswith("… (246,000 more characters)")
    assert (tmp_path / "report.html").stat().st_size < 500_000


def test_pictures_are_shown_as_the_model_saw_them(tmp_path: Path, write_lines: WriteLines) -> None:
    """Here of 12-bit values in a 16-bit file, which would be black."""
    Image.fromarray(np.linspace(0, 4095, 64 * 64).astype(np.uint16).reshape(64, 64)).save(tmp_path / "0.png")
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [caption_record(0, root=str(tmp_path))])
    [sample] = report(tmp_path)["gallery"]
    with Image.open(io.BytesIO(base64.b64decode(sample["picture"].split(",")[1]))) as shown:
        assert np.asarray(shown.convert("L")).max() > 240


def test_media_that_cannot_be_shown_are_told_of(tmp_path: Path, write_lines: WriteLines) -> None:
    (tmp_path / "1.png").write_bytes(b"<html>not found</html>")
    captions = [caption_record(n, root=str(tmp_path)) for n in range(2)]
    captions += [caption_record(2, image=None), caption_record(3, image="a\0b.png")]
    captions += [caption_record(4, modality="video", video="clip.mp4", root=str(tmp_path))]
    captions += [caption_record(5, image="x" * 5000 + ".png")]
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", captions)
    problems = {sample["id"]: sample["problem"] for sample in report(tmp_path)["gallery"]}
    assert "no such file" in problems["photos/0"]
    assert "is a web page (HTML or XML), not an image" in problems["photos/1"]
    assert "no such file" in problems["photos/4"]
    assert all(problems.values())


def test_what_models_wrote_cannot_end_its_element(tmp_path: Path, write_lines: WriteLines) -> None:
    hostile = caption_record(0, name="</script>", caption=HOSTILE, agents={HOSTILE: {"text": HOSTILE}}, task=HOSTILE)
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [hostile, failed(caption_record(1), HOSTILE)])
    data = report(tmp_path)
    seen = HOSTILE.replace("\ud800", r"\ud800")
    entry = next(sample for sample in data["gallery"] if sample["dataset"] == "</script>")["captions"][0]
    assert (entry["caption"], entry["agents"][0]["text"]) == (seen, seen)
    page = (tmp_path / "report.html").read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    scripts = Scripts(page).elements
    assert len(scripts) == 3
    assert not re.search(r"[<>&\u2028]", scripts[0][1])


def test_two_runs_are_joined_by_sample(tmp_path: Path, write_lines: WriteLines) -> None:
    one, other = make_run(tmp_path / "one", write_lines), tmp_path / "other"
    captions = [caption_record(n, caption=f"other {n}") for n in range(10, 70)]
    write_lines(other / "Rank0_node0_photos.jsonl", captions)
    write_lines(other / "score/Rank0_node0_photos.jsonl", [score_record(n) for n in range(10, 70)])
    data = report(one, "--compare", other, "--gallery", "1000")
    comparison = data["comparison"]
    assert (comparison["common"], comparison["onlyA"], comparison["onlyB"]) == (50, 10, 10)
    before = {n: sum(marks_of(n).values()) * 20 for n in range(10, 60) if n % 10 not in (3, 4)}
    better = sum(pair[4] for pair in comparison["pairs"] if 0 < pair[2] // 32 < pair[3] // 32)
    assert better == sum(overall < 400 for overall in before.values()) > 0
    captions_of = {sample["id"]: sample["captions"] for sample in data["gallery"]}
    assert len(captions_of) == 60
    assert captions_of["photos/5"][1] is None
    assert captions_of["photos/15"][1]["caption"] == "other 15"
    assert [run_data["folder"] for run_data in data["runs"]] == [str(one), str(other)]


def test_captions_without_any_scores_are_shown(tmp_path: Path, write_lines: WriteLines) -> None:
    write_lines(tmp_path / "Rank0_node0_photos.jsonl", [caption_record(n) for n in range(3)])
    data = report(tmp_path)
    assert {cell["state"] for cell in cells(data["runs"][0])} == {"unmarked"}
    assert len(data["gallery"]) == 3


def test_wrong_folders_and_values_are_told_in_one_line(tmp_path: Path, write_lines: WriteLines) -> None:
    good = make_run(tmp_path / "Caption", write_lines)
    write_lines(tmp_path / "Other/Rank0_node0_b.jsonl", [caption_record(0, "b")])
    write_lines(tmp_path / "Domain/Rank0_node0_b.jsonl", [caption_record(0, "b", task_source="router", caption=None)])
    wrong = {
        ("--data-folder", tmp_path): "holds no caption results",
        ("--data-folder", tmp_path / "Domain"): "has no caption",
        ("--data-folder", good, "--compare", tmp_path): "holds no caption results",
        ("--data-folder", good, "--compare", tmp_path / "Other"): "share no sample",
        ("--data-folder", good, "--domain-folder", tmp_path): "holds no route results",
        ("--data-folder", good, "--gallery", "5000"): "--gallery must be",
        ("--data-folder", good, "--min-dim-score", "6"): "--min-dim-score must be from 1 to 5",
        ("--data-folder", good, "--min-dim-score", "acuracy=4"): "did you mean accuracy?",
    }
    for arguments, message in wrong.items():
        done = run(script("report", *arguments))
        assert (done.returncode, done.stdout.count("\n")) == (2 if "must be" in message else 1, 1), done.stdout
        assert message in done.stdout


def own_marks(folder: Path, write_lines: WriteLines, *scores: dict[str, Any]) -> Path:
    name = "Rank0_node0_photos.jsonl"
    write_lines(folder / name, [caption_record(index) for index in range(len(scores))])
    write_lines(folder / "score" / name, list(scores))
    return folder


def test_dimensions_and_their_thresholds_are_those_of_the_scores(tmp_path: Path, write_lines: WriteLines) -> None:
    scores = (judged(0, truth=5, style=2), judged(1, truth=4, style=4), judged(2, truth=5, style=5))
    folder = own_marks(tmp_path, write_lines, *scores)
    data = report(folder)
    assert (data["dimensions"], data["judges"]) == (["truth", "style"], [])
    assert data["runs"][0]["groups"][0]["marks"] == {"truth": [0, 0, 0, 1, 2], "style": [0, 1, 0, 1, 1]}
    flags = ("--min-dim-score", "1", "--min-dim-score", "truth=5")
    data = report(folder, *flags)
    assert data["thresholds"] == {"overall": 3.0, "lowest": 1, "ofDimension": {"truth": 5}, "claim": None}
    kept = sum(cell["count"] for cell in cells(data["runs"][0]) if not cell["below"] and cell["overall"] >= 3)
    assert f"kept {kept} of 3" in succeed(script("filterd_by_score", "--data-folder", folder, *flags))
    assert {cell["overall"]: cell["lowest"] for cell in cells(data["runs"][0])} == {3.5: 2, 4.0: 4, 5.0: 5}
    shown = {one["id"]: one["captions"][0] for one in data["gallery"]}
    assert {name: one["below"] for name, one in shown.items()} == {
        "photos/0": False,
        "photos/1": True,
        "photos/2": False,
    }
    assert shown["photos/0"]["scores"] == {"truth": 5, "style": 2}


def test_scores_of_two_judges_are_told(tmp_path: Path, write_lines: WriteLines) -> None:
    folder = own_marks(tmp_path, write_lines, judged(0, truth=5, style=2), score_record(1))
    said = succeed(script("report", "--data-folder", folder))
    assert "note: marks are of judges with different dimensions" in said
    data = page_data(folder / "report.html")
    assert data["dimensions"][:3] == ["truth", "style", "accuracy"]
    assert len(data["judges"]) == 1


def test_claims_are_shown_and_counted_as_the_filter_counts_them(tmp_path: Path, write_lines: WriteLines) -> None:
    found = [
        {"text": "<b>A cat.</b>", "answer": "supported", "supported": 0.9, "contradicted": 0.04},
        {"text": "A dog.", "answer": "not visible", "dropped": True},
    ]
    name = "Rank0_node0_photos.jsonl"
    captions = [caption_record(0, claims=found), caption_record(1, claims=found[:1]), caption_record(2)]
    write_lines(tmp_path / name, captions)
    write_lines(tmp_path / "score" / name, [score_record(index) for index in range(3)])
    data = report(tmp_path)
    shown = {one["id"]: one["captions"][0] for one in data["gallery"]}
    assert shown["photos/2"]["claims"] is None
    first, second = shown["photos/0"]["claims"]
    assert first["shares"] == pytest.approx({"supported": 0.9, "contradicted": 0.04, "not visible": 0.06})
    assert second == {"text": "A dog.", "answer": "not visible", "shares": {}, "dropped": True}
    assert data["runs"][0]["groups"][0]["claims"] == {"supported": 2, "not visible": 1}
    assert not any(cell["below"] for cell in cells(data["runs"][0]))
    data = report(tmp_path, "--min-claim", "0.7")
    assert data["thresholds"]["claim"] == 0.7
    assert {cell["below"]: cell["count"] for cell in cells(data["runs"][0])} == {True: 2, False: 1}
    assert "kept 1 of 3" in succeed(script("filterd_by_score", "--data-folder", tmp_path, "--min-claim", "0.7"))


def test_the_vendored_library_is_what_its_readme_says() -> None:
    vendor = ROOT / "MetaCaptioner" / "report" / "vendor"
    rows = re.findall(
        r"^\| `([^`]+)` \|.* `([0-9a-f]{64})` \|$", (vendor / "README.md").read_text(), flags=re.MULTILINE
    )
    assert [name for name, _ in rows] == [path.name for path in sorted(vendor.glob("*.js"))] != []
    for name, checksum in rows:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == checksum
