"""The demo, as a newcomer runs it: set-up done, on two ranks, with real vLLM."""

from pathlib import Path

import pytest

from tests.pipeline.commands import records, run, sample_ids
from tests.random_model import ROOT

DATASETS = ("natural_scenes", "structure_math", "infographic_documents", "medical_bio", "ui_screens", "code_snippets",
            "knowledge_education", "synthetic_art", "video_clips")  # fmt: skip


@pytest.mark.engine
def test_the_demo_runs_and_a_second_time_finds_all_done(tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    variables = {"DEMO": str(demo), "CUDA_VISIBLE_DEVICES": ""}
    command = ["bash", ROOT / "script" / "run_demo.sh"]
    first = run(command, variables, timeout=600)
    assert first.returncode == 0, first.stdout
    assert "RANDOM weights" in first.stdout
    assert "NOISE" in first.stdout
    ids = sample_ids(demo / "Domain")
    assert {name.split("/")[0] for name in ids} == set(DATASETS)
    assert ids == sample_ids(demo / "Caption") == sample_ids(demo / "Caption" / "score")
    assert len(ids) == len(set(ids)) >= 27
    assert all(record["status"] == "ok" for record in records(demo / "Domain") + records(demo / "Caption"))
    assert first.stdout.count(": complete:") == 2
    for made in ("split_plan.jsonl", "Domain", "Caption", "Caption/score", "Caption/filtered"):
        assert f"{demo}/{made}" in first.stdout
        assert (demo / made).exists()

    second = run(command, variables, timeout=120)
    assert second.returncode == 0, second.stdout
    assert "loading" not in second.stdout
    assert second.stdout.count(" 0 to do") == 6
    assert sample_ids(demo / "Caption") == ids
