import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MetaCaptioner.agents.prompts import Prompts, load_prompts
from MetaCaptioner.data.annotation import parse_row
from MetaCaptioner.data.metafile import Dataset
from MetaCaptioner.data.sample import sample_from_row
from MetaCaptioner.errors import UserError
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.planning.cost import BAD_ROW, NO_MEDIA_ROW, Estimator
from MetaCaptioner.planning.survey import DatasetWork, survey, survey_all
from MetaCaptioner.utils import parallel
from tests.data.test_metafile import ODD_ROWS
from tests.helpers import pack, write_annotation

BUDGET = MediaBudget()


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return load_prompts()


def dataset(folder: Path, name: str, count: int, **entry: object) -> Dataset:
    rows = [{"id": n, "image": f"{n}.jpg", "width": 100 + n, "height": 200} for n in range(count)]
    return Dataset(root=folder, annotation=write_annotation(folder / name, rows), **entry)  # type: ignore[arg-type]


def test_a_survey_gives_a_cost_for_each_selected_row(tmp_path: Path, prompts: Prompts) -> None:
    work = survey("a", dataset(tmp_path, "a.json", 9, sample_count=7), prompts, BUDGET)
    assert work.costs.shape == work.pending.shape == (7,)
    assert (np.diff(work.costs) > 0).all()
    assert work.pending.all()
    assert work.notes == ()


@pytest.mark.parametrize("task", ["auto", "Natural"])
def test_costs_are_those_of_the_samples_that_ranks_will_see(tmp_path: Path, prompts: Prompts, task: str) -> None:
    """However odd a row: the fast look at it and the thorough one come to the same."""
    path, texts = tmp_path / "a.jsonl", [text for text in ODD_ROWS if text]
    path.write_bytes(b"\n".join(texts) + b"\n")
    work = survey("a", Dataset(root=tmp_path, annotation=path, task=task), prompts, BUDGET)
    wanted, problems, outside = Estimator(prompts, BUDGET, tmp_path), [], 0
    for index, text in enumerate(texts):
        row = sample_from_row(parse_row(text), "a", index, tmp_path, "image", task, prompts.domains)
        pixels = max(row.width or 0, 0) * max(row.height or 0, 0)
        domain = row.task if row.problem is None else NO_MEDIA_ROW if row.problem_kind == "no_media" else BAD_ROW
        outside += row.problem_kind == "media_outside_root"
        wanted.add([domain], [row.media_name], [row.problem is None and row.modality == "video"], [pixels], [row.tar])
        problems += [row.problem] if row.problem_kind == "bad_row" and row.problem else []
    assert work.costs.tolist() == wanted.costs().tolist()
    assert f"{len(problems)} rows will end as bad_row records (first: {problems[0]})" in work.notes
    assert any(note.startswith(f"{outside} rows will end as media_outside_root records") for note in work.notes)


def test_pictures_in_a_tar_cost_what_they_cost_as_files(tmp_path: Path, prompts: Prompts) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(files):
        Image.new("RGB", (200 + 300 * number, 300)).save(path)
    places = pack(tmp_path / "a.tar", *files)
    alone = write_annotation(tmp_path / "alone.json", [{"image": path.name} for path in files])
    rows = [{"image": path.name, "tar": places[path.name]} for path in files]
    packed = write_annotation(tmp_path / "packed.json", rows)
    for path in files:
        path.rename(path.with_suffix(".moved"))
    packed_costs = survey("a", Dataset(root=tmp_path, annotation=packed), prompts, BUDGET).costs
    for path in files:
        path.with_suffix(".moved").rename(path)
    costs = survey("a", Dataset(root=tmp_path, annotation=alone), prompts, BUDGET).costs
    assert packed_costs.tolist() == costs.tolist()
    assert (np.diff(costs) > 0).all()


def test_a_task_that_is_no_domain_is_a_bad_row_each_time(tmp_path: Path, prompts: Prompts) -> None:
    rows: list[object] = [
        {"id": n, "image": "a.jpg", "task": task} for n, task in enumerate(["vqa", "natural", "vqa", "auto"])
    ]
    rows += [{"image": "a.jpg", "width": 99, "height": 99, "task": "vqa"}, {"video": "a.mp4", "task": "vqa"}]
    annotation = write_annotation(tmp_path / "a.json", rows)
    work = survey("a", Dataset(root=tmp_path, annotation=annotation), prompts, BUDGET)
    [note] = work.notes
    assert note.startswith("4 rows will end as bad_row records (first: row 0: task 'vqa' is no domain")
    assert (work.costs == 1).tolist() == [True, False, True, False, True, True]


def test_side_by_side_comes_to_the_same_as_one_by_one(
    tmp_path: Path, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = {
        "small": dataset(tmp_path, "small.jsonl", 3, length=4),
        "broken": Dataset(root=tmp_path, annotation=tmp_path / "none.json"),
        "large": dataset(tmp_path, "large.json", 500),
        "no root": Dataset(root=tmp_path / "nowhere", annotation=tmp_path / "large.json"),
    }
    one_by_one = list(survey_all(datasets, prompts, BUDGET))
    monkeypatch.setattr(parallel, "_FROM_BYTES", 0)
    in_processes = list(survey_all(datasets, prompts, BUDGET))
    for first, second in zip(one_by_one, in_processes, strict=True):
        if isinstance(first, DatasetWork) and isinstance(second, DatasetWork):
            assert (first.name, first.notes) == (second.name, second.notes)
            assert first.costs.tolist() == second.costs.tolist()
        else:
            assert first == second
    assert isinstance(one_by_one[0], DatasetWork)
    assert one_by_one[0].notes == ("length says 4, the annotation file has 3 rows",)
    assert one_by_one[1] == f"annotation file {tmp_path / 'none.json'}: cannot be read: No such file or directory"
    assert one_by_one[3] == f"root {tmp_path / 'nowhere'} is not a folder"


def test_many_rows_are_kept_as_arrays(tmp_path: Path, prompts: Prompts) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(json.dumps({"id": n // 2, "image": "a.jpg", "width": 9, "height": 9}) + "\n" for n in range(5000))
    )
    work = survey("a", Dataset(root=tmp_path, annotation=path, task="Natural"), prompts, BUDGET)
    assert work.costs.nbytes + work.pending.nbytes == 5 * 5000
    assert work.notes == ("2500 ids occur more than once (first in row 0); each row counts by itself",)


def test_rows_without_media_cost_nothing_and_are_counted(tmp_path: Path, prompts: Prompts) -> None:
    rows: list[object] = [{"id": n, "image": "a.jpg", "width": 99, "height": 99, "video": ""} for n in range(300)]
    rows += [{"id": 300 + n, "conversations": []} for n in range(1200)]
    rows[7] = {"id": 7, "image": None, "task": "none such"}
    work = survey("a", Dataset(root=tmp_path, annotation=write_annotation(tmp_path / "a.json", rows)), prompts, BUDGET)
    assert (work.costs > 0).sum() == 299
    assert work.costs[7] == 0
    assert not work.costs[300:].any()
    assert work.notes == (
        "1,201 rows have neither image nor video and are left out: no stage can use them (first: row 7: has neither "
        "'image' nor 'video', so no stage can use it (it has 'id', 'image', 'task'))",
    )


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"id": 0, "file_name": "a.jpg"}, {"id": 1}],
            "none of 2 rows can be used (first: row 0: has neither 'image' nor",
        ),
        (
            [{"image": ["a.jpg", "b.jpg"]}] * 3,
            "none of 3 rows can be used (first: row 0: has 2 images; one sample is one",
        ),
        ([{"id": 0}, {"image": "a.jpg", "task": "vqa"}], "none of 2 rows can be used (first: row 0: has neither "),
        ([{"image": "a.jpg", "task": "vqa"}, {"id": 0}], "none of 2 rows can be used (first: row 0: task 'vqa'"),
    ],
)
def test_a_dataset_of_which_no_row_can_be_used_is_broken(
    tmp_path: Path, prompts: Prompts, rows: list[object], told: str
) -> None:
    path = write_annotation(tmp_path / "a.json", rows)
    with pytest.raises(UserError) as raised:
        survey("a", Dataset(root=tmp_path, annotation=path), prompts, BUDGET)
    assert str(raised.value).startswith(f"annotation file {path}: {told}")


def test_root_and_annotation_file_are_both_told(tmp_path: Path, prompts: Prompts) -> None:
    for name in ("none", "a\0b", "\ud800", "x" * 300):
        wrong = Dataset(root=tmp_path / name, annotation=tmp_path / f"{name}.json")
        with pytest.raises(UserError, match=r"is not a folder; annotation file .* cannot be read: "):
            survey("a", wrong, prompts, BUDGET)


def test_unknown_keys_are_named_with_the_known_ones(tmp_path: Path, prompts: Prompts) -> None:
    more = {"image_root": "x", "comment": "y"}
    assert survey("a", dataset(tmp_path, "a.json", 2, **more), prompts, BUDGET).notes == (
        "unknown keys are left alone: 'image_root' (do you mean 'root'?), 'comment'",
    )


def test_a_file_without_rows_is_noted(tmp_path: Path, prompts: Prompts) -> None:
    path = tmp_path / "a.json"
    path.write_text("[]")
    work = survey("a", Dataset(root=tmp_path, annotation=path), prompts, BUDGET)
    assert work.notes == (f"annotation file {path} has no rows",)
