import json
from pathlib import Path

from benchmarks.planner_data import describe_datasets, make_data, make_results
from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.sample import glance
from MetaCaptioner.planning.plan_file import read_plan
from tests.helpers import Runner, all_records


def test_datasets_have_as_many_rows_as_asked_in_files_of_both_kinds(tmp_path: Path) -> None:
    datasets = describe_datasets(5000, 40)
    assert sum(dataset.rows for dataset in datasets) == 5000
    make_data(tmp_path / "work", datasets)
    for dataset in datasets:
        file = AnnotationFile(tmp_path / "work" / f"{dataset.name}.{'json' if dataset.is_list else 'jsonl'}")
        assert len(file) == dataset.rows
        assert all(glance(texts) is not None for _, texts in file.blocks(0, len(file)))
    assert {dataset.is_list for dataset in datasets} == {dataset.is_video for dataset in datasets} == {True, False}


def test_the_data_is_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        make_data(tmp_path / folder, describe_datasets(300, 3))
    for path in (tmp_path / "one").glob("*.json*"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_results_are_records_with_holes_that_a_second_plan_fills(tmp_path: Path, run: Runner) -> None:
    metafile, plan = make_data(tmp_path / "work", describe_datasets(2000, 3)), tmp_path / "plan.jsonl"
    run.plan(metafile, plan, num_ranks=8)
    made = make_results(tmp_path / "results", read_plan(plan)[0], 600)
    assert 500 < made < 700
    assert len(all_records(tmp_path / "results")) == made
    run.plan(metafile, plan, "--results", tmp_path / "results", num_ranks=3)
    rows = [json.loads(line) for line in plan.read_text().splitlines()]
    assert sum(row["end_idx"] - row["start_idx"] for row in rows) == 2000 - made
    assert len(rows) > 15  # 5 without holes
