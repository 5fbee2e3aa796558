import json
from pathlib import Path

from MetaCaptioner.data.metafile import Dataset
from MetaCaptioner.export.routed import output_names
from tests.made_records import Record, WriteLines, caption_record
from tests.pipeline.commands import module, run, sample_ids, script, succeed, write_json


def route(index: int, task: str, confidence: float, name: str = "photos") -> Record:
    identity = {"sample_id": f"{name}/{index}", "data_name": name, "index": index, "status": "ok"}
    return {**identity, "task": task, "subdomain": "Chart", "task_confidence": confidence}


def make(folder: Path, write_lines: WriteLines) -> Path:
    """Four rows: a sure route, an unsure one over a row with a task, a failed one, and one without a route."""
    (folder / "media").mkdir()
    rows: list[Record] = [{"id": index, "image": f"{index}.png", "note": "é"} for index in range(4)]
    rows[1]["task"] = "Natural"
    write_json(folder / "photos.json", rows)
    routes = [route(0, "Structure & Math", 0.9), route(1, "Structure & Math", 0.5), route(0, "Natural", 1.0, "other")]
    routes.append({**route(2, "Natural", 1.0), "status": "error"})
    write_lines(folder / "Domain" / "Rank0_node0_photos.jsonl", routes)
    entry = {"root": "media", "annotation": "photos.json", "task": "auto", "length": 4, "sample_count": 3}
    return write_json(folder / "Metafile.json", {"photos": entry})


def test_sure_routes_are_written_into_rows_and_a_new_metafile(tmp_path: Path, write_lines: WriteLines) -> None:
    metafile = make(tmp_path, write_lines)
    routed = tmp_path / "routed"
    text = succeed(script("apply_domains", "--domain-folder", tmp_path / "Domain", "--metafile", metafile,
                          "--output-dir", routed, "--min-confidence", "0.7"))  # fmt: skip
    assert "1 rows routed, 3 left as they were" in text
    rows = json.loads((routed / "photos.json").read_text())
    sure = {"task": "Structure & Math", "subdomain": "Chart", "task_confidence": 0.9}
    assert rows[0] == {"id": 0, "image": "0.png", "note": "é", **sure}
    assert rows[1]["task"] == "Natural"
    assert "task" not in rows[2]
    assert "task" not in rows[3]
    entry = json.loads((routed / "Metafile.json").read_text())["photos"]
    assert entry["root"] == str(tmp_path / "media")
    assert (entry["length"], entry["sample_count"], entry["task"]) == (4, 3, "auto")


def test_the_new_metafile_can_be_planned(tmp_path: Path, write_lines: WriteLines) -> None:
    metafile = make(tmp_path, write_lines)
    routed = tmp_path / "routed"
    common = script("apply_domains", "--domain-folder", tmp_path / "Domain", "--metafile", metafile)
    succeed([*common, "--output-dir", routed, "--drop-uncertain"])
    assert len(json.loads((routed / "photos.json").read_text())) == 1
    plan = tmp_path / "plan.jsonl"
    succeed(module("plan", "--metafile", routed / "Metafile.json", "--num-ranks", "1", "--output", plan))
    row = json.loads(plan.read_text())
    assert (row["total"], row["root"]) == (1, str(tmp_path / "media"))
    out = tmp_path / "out"
    succeed(module("captionpipeline", "--plan", plan, "--output-dir", out, "--model", "x", "--engine", "scripted"))
    assert sample_ids(out) == ["photos/0"]


def test_annotation_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path, write_lines: WriteLines) -> None:
    entries = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "train.json", [{"id": name, "image": f"{name}.png"}])
        entries[name] = {"root": name, "annotation": f"{name}/train.json", "task": "auto"}
    metafile = write_json(tmp_path / "Metafile.json", entries)
    write_lines(tmp_path / "Domain" / "Rank0_node0_train.jsonl", [route(0, "Natural", 1.0, "one")])
    succeed(script("apply_domains", "--domain-folder", tmp_path / "Domain", "--metafile", metafile,
                   "--output-dir", tmp_path / "routed"))  # fmt: skip
    made = json.loads((tmp_path / "routed" / "Metafile.json").read_text())
    files = {name: json.loads((tmp_path / "routed" / entry["annotation"]).read_text()) for name, entry in made.items()}
    assert {name: rows[0]["id"] for name, rows in files.items()} == {"one": "one", "two": "two"}


def test_a_folder_without_routes_is_one_line(tmp_path: Path, write_lines: WriteLines) -> None:
    metafile = make(tmp_path, write_lines)
    done = run(script("apply_domains", "--domain-folder", tmp_path / "none", "--metafile", metafile,
                      "--output-dir", tmp_path / "routed"))  # fmt: skip
    assert done.returncode == 1
    assert "holds no route results" in done.stdout
    assert "Traceback" not in done.stdout


def test_routes_of_other_media_than_the_rows_name_are_refused(tmp_path: Path, write_lines: WriteLines) -> None:
    metafile = make(tmp_path, write_lines)
    routes = [{**route(index, "Natural", 1.0), "image": f"{index}.png"} for index in range(4)]
    write_lines(tmp_path / "Domain" / "Rank0_node0_photos.jsonl", routes)
    apply = script("apply_domains", "--domain-folder", tmp_path / "Domain", "--metafile", metafile)
    succeed([*apply, "--output-dir", tmp_path / "routed"])
    rows = json.loads((tmp_path / "photos.json").read_text())
    write_json(tmp_path / "photos.json", [rows[1], rows[0], *rows[2:]])
    done = run([*apply, "--output-dir", tmp_path / "again"])
    assert done.returncode == 1
    assert (
        "2 of 4 routes are of other media than their rows name now, such as row 0: 1.png, routed as 0.png"
        in done.stdout
    )
    assert not (tmp_path / "again").exists()


def test_captions_are_no_routes(tmp_path: Path, write_lines: WriteLines) -> None:
    metafile = make(tmp_path, write_lines)
    write_lines(tmp_path / "Caption" / "Rank0_node0_photos.jsonl", [caption_record(0)])
    done = run(script("apply_domains", "--domain-folder", tmp_path / "Caption", "--metafile", metafile,
                      "--output-dir", tmp_path / "routed"))  # fmt: skip
    assert done.returncode == 1
    assert "holds records that are no routes (Rank0_node0_photos.jsonl, photos/0)" in done.stdout
    assert "Traceback" not in done.stdout


def test_names_of_outputs_are_files_of_the_folder_and_no_two_the_same(tmp_path: Path) -> None:
    def dataset(stem: str) -> Dataset:
        return Dataset(root=tmp_path, annotation=tmp_path / stem / "set.json")

    datasets = {name: dataset(str(n)) for n, name in enumerate(("../../up", "a/b", "a_b", "A/B", "n" * 300, ".."))}
    datasets["own"] = Dataset(root=tmp_path, annotation=tmp_path / "Metafile.jsonl")
    names = output_names(datasets)
    assert len({name.casefold() for name in names.values()} | {"metafile.json"}) == len(datasets) + 1
    for name in names.values():
        (tmp_path / name).write_text("")
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
