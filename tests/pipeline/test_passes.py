"""Second passes and sampling again, with the demo's model; and in a process that is killed on the way."""

import json
import os
import signal
from pathlib import Path

import pytest

from MetaCaptioner.metrics.usage import runs_of
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.row_map import caption_hash
from tests.helpers import names, small_plan, write_lines, write_prompts
from tests.pipeline.commands import Record, module, records, sample_ids, script, succeed
from tests.pipeline.test_kill import children, start, wait_for_lines, wait_until_gone
from tests.random_model import ROOT
from tests.running_engine import LoadedStages

DEMO = ROOT / "data" / "demo"
MODEL = ("--model", DEMO / "model")
PROMPTS = ("--prompts-dir", DEMO / "prompts")


def by_sample(folder: Path) -> dict[str, Record]:
    found = records(folder)
    assert len(found) == len({record["sample_id"] for record in found})
    return {record["sample_id"]: record for record in found}


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory, demo_model: LoadedStages) -> tuple[Path, Path]:
    """(plan, captions): the demo's landscapes, people and animals as its model captions them."""
    folder = tmp_path_factory.mktemp("demo")
    metafile = json.loads((DEMO / "Metafile.json").read_text())
    scenes = metafile["natural_scenes"]
    scenes |= {name: str(DEMO / scenes[name]) for name in ("root", "annotation")}
    (folder / "Metafile.json").write_text(json.dumps({"natural_scenes": scenes}))
    plan, out = folder / "plan.jsonl", folder / "Caption"
    succeed(module("plan", "--metafile", folder / "Metafile.json", "--num-ranks", "1", "--output", plan, *PROMPTS))
    demo_model.caption("--plan", plan, "--output-dir", out, *MODEL, *PROMPTS)
    return plan, out


@pytest.mark.engine
def test_captions_of_the_demo_are_shortened_by_a_second_pass(
    tmp_path: Path, captioned: tuple[Path, Path], demo_model: LoadedStages
) -> None:
    """The demo's model can put notes into sentences, and nothing else: it does so again, and is cut short."""
    plan, first = captioned
    prompt = "Notes: {agents.setting}; {agents.things}; {agents.relations}\nWrite the caption of this scene."
    short = {"name": "short", "role": "summary", "sees_media": False, "temperature": 0.0, "prompt": prompt}
    prompts = write_prompts(tmp_path / "prompts", short={"domain": "*", "agents": [{**short, "max_tokens": 24}]})
    out = tmp_path / "Short"
    second = ("--input", first, "--output-dir", out, *MODEL, "--prompts-dir", prompts)
    assert "loading" in demo_model.caption(*second)
    long, shortened = by_sample(first), by_sample(out)
    assert set(shortened) == set(long)
    for name, record in shortened.items():
        assert (record["status"], record["truncated"]) == ("ok", True)
        assert list(record["agents"]) == ["short"]
        assert record["source"]["caption_hash"] == caption_hash(long[name]["caption"])
        assert record["source"]["prompts"] == long[name]["prompts"] != record["prompts"]
        assert 20 < len(record["caption"]) < len(long[name]["caption"])
        assert long[name]["caption"].startswith(record["caption"])  # so the notes of the first pass were in the prompt
    assert "loading" not in demo_model.caption(*second)
    succeed(module("inferscore", "--data-folder", out, "--model", "x", "--engine", "scripted"))
    check_folder(plan, out, len(long))


def check_folder(plan: Path, out: Path, count: int) -> None:
    """Filter, verify, status, report and export take the folder as they take any."""
    assert f"of {count} captions" in succeed(script("filterd_by_score", "--data-folder", out))
    assert ": complete:" in succeed(script("verify", "--plan", plan, "--data-folder", out, "--scores"))
    told = json.loads(succeed(module("status", "--plan", plan, "--output-dir", out, "--json")))
    assert (told["done"], told["total"]) == (count, count), told
    succeed(script("report", "--data-folder", out))
    exported = out / "export"
    succeed(script("export", "--data-folder", out, "--format", "jsonl", "--output", exported, "--all"))
    [rows] = [path.read_text().splitlines() for path in exported.glob("*.jsonl")]
    texts = {row["sample_id"]: row["conversations"][1]["value"] for row in map(json.loads, rows)}
    assert texts == {name: record["caption"] for name, record in by_sample(out).items()}


@pytest.mark.engine
def test_rejected_captions_of_the_demo_are_sampled_again(
    tmp_path: Path, captioned: tuple[Path, Path], demo_model: LoadedStages
) -> None:
    """Two pictures have each other's caption, which the judge rejects; the other two are not touched."""
    first = swapped(captioned[1], tmp_path / "Caption", "natural_scenes/0", "natural_scenes/2")
    scores, again = first / "score", first / "score" / "resample" / "3"
    score = ("--data-folder", first, "--resample", "3", "--seed", "1", *MODEL, *PROMPTS)
    said = demo_model.score(*score)
    assert said.count("rank 0: loading ") == 1
    marks, made = by_sample(scores), by_sample(again)
    assert set(made) == {"natural_scenes/0", "natural_scenes/2"}
    for name, record in made.items():
        assert record["status"] == "ok", record
        assert record["overall"] == max(told["overall"] for told in record["rounds"]) > marks[name]["overall"]
        assert record["source"]["overall"] == marks[name]["overall"]
    assert "loading" not in demo_model.score(*score)
    said = succeed(script("filterd_by_score", "--data-folder", first))
    told = json.loads((first / "filtered" / "summary.json").read_text())["resampled"]
    assert told["captions"] == told["replaced"] == 2 >= told["rescued"]
    assert told["output_tokens"] == sum(one.output_tokens for one in runs_of([again])) > 0
    assert f"sampled again: 2 captions, of which {told['rescued']} were rescued and 2 replaced" in said
    kept = [json.loads(line) for line in (first / "filtered" / "kept.jsonl").read_text().splitlines()]
    assert sum("source" in record for record in kept) == told["rescued"]
    page = succeed(script("report", "--data-folder", first))
    assert "report.html" in page


def swapped(folder: Path, copy: Path, one: str, other: str) -> Path:
    """A copy of captions in which two samples have each other's."""
    [(path, _)] = result_files(folder)
    found = by_sample(folder)
    found[one]["caption"], found[other]["caption"] = found[other]["caption"], found[one]["caption"]
    write_lines(copy / path.name, list(found.values()))
    return copy


def whole_lines(folder: Path) -> set[str]:
    """The samples that have a whole record just now."""
    texts = [path.read_bytes() for path in folder.glob("Rank*")]
    return {json.loads(line)["sample_id"] for text in texts for line in text.split(b"\n")[:-1]}


def test_resampling_that_is_killed_loses_nothing_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    count, log, out = 30, tmp_path / "requests", tmp_path / "Caption"
    scores, again = out / "score", out / "score" / "resample" / "2"
    scripted = ("--model", "x", "--engine", "scripted", "--in-flight", "3", "--decode-threads", "1")
    succeed(module("captionpipeline", "--plan", small_plan(tmp_path, count), "--output-dir", out, *scripted))
    slowly = ("--engine-arg", "delay=0.02", "--engine-arg", f"log={log}")
    score = module("inferscore", "--data-folder", out, *scripted, *slowly, "--resample", "2")
    finished: list[tuple[set[str], int]] = []
    for folder, lines in ((scores, 9), (again, 3), (again, 9)):
        process = start(score, tmp_path / "log")
        wait_for_lines(folder, lines, process)
        worker = children(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until_gone(worker)
        finished.append((whole_lines(again), len(log.read_text().splitlines())))
    succeed(score)
    assert sample_ids(scores) == sorted(names(count))
    rejected = {name for name, record in by_sample(scores).items() if record["overall"] < 3 or lowest(record) < 3}
    assert sample_ids(again) == sorted(rejected)
    asked = [line.rsplit("/", 2) for line in log.read_text().splitlines()]
    assert [len(samples) > 0 for samples, _ in finished] == [False, True, True]
    for samples, so_far in finished:
        assert not samples & {sample for sample, agent, _ in asked[so_far:] if "@" in agent}
    assert " 0 to do" in succeed(score)
    assert len(log.read_text().splitlines()) == len(asked)


def lowest(score: Record) -> int:
    return min(score["scores"].values())
