"""The demo, as a newcomer runs it: set-up done, on two ranks, with real vLLM."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.metrics import FactCount, count_facts
from demo.drawing import STATEMENTS
from demo.scene import read_caption
from tests.pages import PAGES, typed
from tests.pipeline.commands import records, run, sample_ids, script, succeed
from tests.random_model import ROOT

DATASETS = ("natural_scenes", "structure_math", "infographic_documents", "medical_bio", "ui_screens", "code_snippets",
            "knowledge_education", "synthetic_art", "video_clips")  # fmt: skip


def check_captions(demo: Path) -> None:
    """The captions say what is in the pictures, as the annotation files do, and the filter keeps most of them."""
    counts = []
    for record in records(demo / "Caption"):
        rows = json.loads((ROOT / "data" / "demo" / f"{record['data_name']}.json").read_text())
        known = STATEMENTS[record["task"]]
        truth, _ = read_caption(rows[record["index"]]["conversations"][1]["value"], known)
        said, strange = read_caption(record["caption"], known)
        counts.append(count_facts(said, strange, truth))
    assert sum(counts, FactCount()).f1 >= 0.9
    assert min(count.f1 for count in counts) >= 0.5
    summary = json.loads((demo / "Caption" / "filtered" / "summary.json").read_text())
    assert summary["kept"] >= 0.75 * len(counts), summary


def check_readme(demo: Path) -> None:
    """README shows a picture with what this model says of it, and its marks."""
    readme = PAGES["README.md"]
    [picture] = re.findall(r'src="data/demo/\w+/(\S+)"', readme)
    [routed], [captioned], [scored] = (
        [record for record in records(demo / folder) if record.get("image") == picture]
        for folder in ("Domain", "Caption", "Caption/score")
    )
    assert f"*{routed['task']}*, *{routed['subdomain']}*" in readme
    assert " ".join(re.findall(r"^> (.+)", readme, re.MULTILINE)) == captioned["caption"]
    names, marks = (" | ".join(map(str, part)) for part in (scored["scores"], scored["scores"].values()))
    assert re.search(rf"^\| {re.escape(names)} \|\n.+\n\| {re.escape(marks)} \|$", readme, re.MULTILINE)
    assert f"“{scored['reason']}”" in " ".join(readme.split())


def check_routes(demo: Path, routed: Path) -> None:
    """Every picture and clip has its place and how sure the router was, and its row can be told."""
    routes = {record["sample_id"]: record for record in records(demo / "Domain")}
    for record in routes.values():
        assert record["task_source"] == "router"
        assert 0 < record["task_confidence"] <= 1
        assert record["subdomain"]
        assert record["runner_up"] is None or record["runner_up"]["task"] != record["task"]
    assert any(record["runner_up"] for record in routes.values())
    assert {route["task"] for name, route in routes.items() if "video_clips" in name} == {"Video & Temporal"}
    metafile = ROOT / "data" / "demo" / "Metafile.json"
    succeed(script("apply_domains", "--domain-folder", demo / "Domain", "--metafile", metafile, "--output-dir", routed,
                   "--min-confidence", "0"))  # fmt: skip
    for name in DATASETS:
        rows = json.loads((routed / f"{name}.json").read_text())
        assert [row["task"] for row in rows] == [routes[f"{name}/{number}"]["task"] for number in range(len(rows))]


@pytest.mark.engine
def test_the_demo_runs_and_a_second_time_finds_all_done(tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    variables = {"DEMO": str(demo), "CUDA_VISIBLE_DEVICES": ""}
    command = ["bash", "-c", f'cd "{ROOT}"\n{typed("the demo")}']
    first = run(command, variables, timeout=600)
    assert first.returncode == 0, first.stdout
    assert "data/demo/model" in first.stdout
    assert first.stdout.count(": loading data/demo/model on ") == 2  # once a rank, for all stages
    for rank in range(2):  # what a load is at is told, in place of what the engine prints, which is kept
        for phase in ("importing vLLM", "starting its process", "making the model"):
            assert f"rank {rank}: loading: {phase} (" in first.stdout
        assert "Loading weights took" in (demo / "Domain" / "runs" / f"Rank{rank}_node0.engine.log").read_text()
    assert "pid=" not in first.stdout
    ids = sample_ids(demo / "Domain")
    assert {name.split("/")[0] for name in ids} == set(DATASETS)
    assert ids == sample_ids(demo / "Caption") == sample_ids(demo / "Caption" / "score")
    assert len(ids) == len(set(ids)) >= 27
    assert all(record["status"] == "ok" for record in records(demo / "Domain") + records(demo / "Caption"))
    assert first.stdout.count(": complete:") == 2
    check_captions(demo)
    check_readme(demo)
    check_routes(demo, tmp_path / "routed")
    cost = json.loads((demo / "Caption" / "filtered" / "summary.json").read_text())["cost"]
    assert [stage["images"] + stage["videos"] for stage in cost["stages"].values()] == [len(ids)] * 3
    assert all(stage["tokens_a_second"] > 0 and stage["runs"] == 2 for stage in cost["stages"].values())
    assert "cost: no GPU was used" in first.stdout
    for made in ("split_plan.jsonl", "Domain", "Caption", "Caption/score", "Caption/filtered", "Caption/report.html"):
        assert f"{demo}/{made}" in first.stdout
        assert (demo / made).exists()

    second = run(command, variables, timeout=120)
    assert second.returncode == 0, second.stdout
    assert "loading" not in second.stdout
    assert second.stdout.count(" 0 to do") == 6
    assert sample_ids(demo / "Caption") == ids
