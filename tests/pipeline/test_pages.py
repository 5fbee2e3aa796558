"""What README and the pages tell their readers to type and to write."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import datasets
import pytest
import yaml

from MetaCaptioner.runner.options import DEFAULT_MODEL
from tests.helpers import pack, picture_rows
from tests.openai_server import serving
from tests.pages import DOCS, PAGES, blocks, inline_code, section, typed
from tests.pipeline.commands import module, records, run, sample_ids, succeed, write_json
from tests.question_files import SHAPES, write_tsv
from tests.random_model import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository, so that its default folders can be written."""
    for name in ("MetaCaptioner", "script", "dataprocess", "data"):
        shutil.copytree(ROOT / name, tmp_path / "repository" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "repository"


def type_in(checkout: Path, commands: str, extra: dict[str, str]) -> str:
    """Run commands of a page in a checkout, without a model: stages get `--engine scripted`, set-up is left out."""
    stage = r"(bash script/run_(?:domain|caption|filter|eval)\.sh)\b"
    without_model = re.sub(stage, r"\1 --engine scripted", commands)
    lines = [line for line in without_model.splitlines() if "script/setup.sh" not in line and "activate" not in line]
    path = f"{checkout.parent / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {"PATH": path, "PYTHONPATH": str(checkout), "CUDA_VISIBLE_DEVICES": "", **extra}
    return succeed(["bash", "-c", f'set -e; cd "{checkout}"\n' + "\n".join(lines)], variables)


def test_the_real_run_on_one_node(checkout: Path) -> None:
    # The scripted judge marks at random; the thresholds are the README's.
    log = type_in(checkout, typed("a real run on one node"), {"NPROC": "1", "MODEL": "none"})
    assert "12 samples of 3 datasets" in log
    assert "complete: 12 samples expected, 12 ok" in log
    assert "kept" in log
    assert "cost: no GPU was used" in log
    kept = (checkout / "Output/Caption/filtered/kept.jsonl").read_text().splitlines()
    assert (checkout / "Output/Caption/report.html").stat().st_size > 300_000
    exported = json.loads((checkout / "data/captioned/Metafile.json").read_text())
    assert sum(entry["length"] for entry in exported.values()) == len(kept)


def test_a_folder_to_captions_beside_its_pictures(checkout: Path) -> None:
    picture_rows(checkout / "photos", 3)
    command = typed("a folder to captions").replace(
        "--beside", "--beside --engine scripted --min-overall 1 --min-dim-score 1"
    )
    log = type_in(checkout, command, {})
    assert "captions: 3 in Output/photos/Caption; 0 failed" in log
    assert len(list((checkout / "photos").glob("*.txt"))) == 3


def test_captions_from_servers(checkout: Path) -> None:
    picture_rows(checkout / "photos", 3)
    command = typed("captions from servers")
    with serving(model=DEFAULT_MODEL) as one, serving(model=DEFAULT_MODEL) as other:
        for host, server in (("gpu1:8000", one), ("gpu2:8000", other)):
            command = command.replace(host, f"127.0.0.1:{server.port}")
        log = type_in(checkout, command, {})
        assert one.answered + other.answered > 6
    assert "captions: 3 in Output/photos/Caption; 0 failed" in log
    assert "no GPU was used" in log


def test_options_in_three_places(checkout: Path) -> None:
    """What is typed, said by a variable or in the file of the page; a variable says that no model is needed."""
    picture_rows(checkout / "photos", 3)
    [block] = [block for block in blocks("yaml") if block.startswith("# run.yaml\n")]
    (checkout / "run.yaml").write_text(block)
    said = {"ENGINE": "scripted", "ENGINE_ARG": "delay=0", "MIN_OVERALL": "1", "MIN_DIM_SCORE": "1"}
    variables = {f"METACAPTIONER_{name}": value for name, value in said.items()}
    log = type_in(checkout, typed("options in three places"), variables)
    assert "3 ok" in log
    assert log.count("captions: 3 in Output/photos/Caption; 0 failed") == 3
    assert log.count("options of ") == 1
    configuration = yaml.safe_load((checkout / "Output/photos/config.yaml").read_text())
    assert (configuration["max_pixels"], configuration["run"]["export"]) == (802816, "txt")


def test_the_commands_within_lines(checkout: Path) -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "", "MODEL": "none", "NPROC": "1"}
    succeed(["bash", checkout / "script/run_plan.sh"], variables)
    shutil.copytree(checkout / "data/demo/prompts", checkout / "my_prompts")
    codes = [code for page in DOCS for code in inline_code(PAGES[f"docs/{page.name}"])]
    kind = r"((RESULTS|NUM_RANKS)=\S+ )*bash script/run_(caption|plan)\.sh( --|$)|python dataprocess/"
    commands = {code for code in codes if re.match(kind, code)}
    assert len(commands) == 7
    in_turn = sorted(commands, key=lambda code: (code.startswith("python"), "RESULTS=" in code, code))
    other_prompts = "OUTPUT=Output/Mine bash script/run_caption.sh --prompts-dir"
    typed_in = "\n".join(in_turn).replace("bash script/run_caption.sh --prompts-dir", other_prompts)
    log = type_in(checkout, typed_in, {"MODEL": "none", "NPROC": "1"})
    assert "12 samples: 12 ok, 0 errors" in log
    assert "complete: 12 samples expected, 12 ok" in log
    assert (checkout / "Output/Caption/report.html").exists()


def test_two_machines_share_a_plan(checkout: Path) -> None:
    succeed(["bash", checkout / "script/run_plan.sh"], {"NUM_RANKS": "2", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""})
    each_for_itself = typed("two machines").replace("run_caption.sh", "run_caption.sh --takeover-chunk 0")
    type_in(checkout, each_for_itself, {"MODEL": "none", "NPROC": "1"})
    assert len(set(sample_ids(checkout / "Output/Caption"))) == len(sample_ids(checkout / "Output/Caption")) == 12
    assert {path.name.split("_")[1] for path in (checkout / "Output/Caption").glob("Rank*.jsonl")} == {"node0", "node1"}


def test_routing_alone_and_writing_the_domains_back(checkout: Path) -> None:
    succeed(["bash", checkout / "script/run_plan.sh"], {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""})
    log = type_in(checkout, typed("sorting first"), {"NPROC": "1", "MODEL": "none"})
    assert "4 rows routed" in log
    assert json.loads((checkout / "data/routed/Metafile.json").read_text()).keys() == {
        "natural_scenes",
        "knowledge_education",
        "video_clips",
    }


def test_data_in_other_shapes(checkout: Path, tmp_path: Path) -> None:
    """The commands as they stand, on small data of the shapes that they name; `/data` is a folder of the test."""
    commands, update = typed("data in other shapes"), typed("data that have grown")
    data = tmp_path / "data"
    picture_rows(data / "photos", 3)
    (data / "photos" / "1.txt").write_text("A caption.")
    (data / "paths.csv").write_text("path,caption\n0.png,A\n2.png,\n")
    (data / "shards").mkdir()
    for number in range(100):
        pack(data / "shards" / f"train-{number:06d}.tar", data / "photos" / "0.png")
    listed = {"images": [{"id": 7, "file_name": "0.png"}], "annotations": [{"image_id": 7, "caption": "A."}]}
    write_json(data / "captions_train2017.json", listed)
    (data / "train2017").symlink_to(data / "photos")
    images = [(data / "photos" / "0.png").read_bytes()] * 2
    made = datasets.Dataset.from_dict({"image": [{"bytes": image, "path": None} for image in images]})
    made = made.cast_column("image", datasets.Image())
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(checkout / "user" / "name")
    type_in(checkout, commands.replace("/data/", f"{data}/"), {})
    metafile = checkout / "data" / "my" / "Metafile.json"
    assert {name: entry["length"] for name, entry in json.loads(metafile.read_text()).items()} == {
        **{"photos": 3, "train": 100, "name": 2, "paths": 2, "captions_train2017": 1}
    }
    log = succeed(module("plan", "--metafile", metafile, "--num-ranks", "1", "--output", tmp_path / "plan.jsonl"))
    assert "108 samples of 5 datasets" in log
    picture_rows(data / "photos", 4)
    (checkout / "Output" / "Caption").mkdir(parents=True)
    log = type_in(checkout, update.replace("/data/", f"{data}/", 1), {})
    assert "note: rows: 3 as before; 1 new, at the end" in log
    assert "109 samples of 5 datasets" in log


def test_taking_captions_out(checkout: Path) -> None:
    commands = typed("exports")
    variables = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "", "MODEL": "none", "NPROC": "1"}
    succeed(["bash", checkout / "script/run_plan.sh"], variables)
    succeed(["bash", checkout / "script/run_caption.sh", "--engine", "scripted"], variables)
    kept = checkout / "Output/Caption/filtered/kept.jsonl"
    kept.parent.mkdir()
    kept.write_text("".join(json.dumps(record) + "\n" for record in records(checkout / "Output/Caption")))
    (kept.parent / "summary.json").write_text('{"thresholds": {}}')
    log = type_in(checkout, commands, {})
    assert log.count("12 captions written to data/") == commands.count("export.py") == 5


def test_a_second_pass_and_sampling_again(checkout: Path) -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "", "MODEL": "none", "NPROC": "1"}
    succeed(["bash", checkout / "script/run_plan.sh"], variables)
    succeed(["bash", checkout / "script/run_caption.sh", "--engine", "scripted"], variables)
    log = type_in(checkout, typed("sampling again"), {"NPROC": "1", "MODEL": "none"})
    assert re.search(r"sampled again: \d+ captions, of which \d+ were rescued and \d+ replaced by a better one; ", log)
    assert (checkout / "Output/Caption/score/resample/2").is_dir()
    log = type_in(checkout, typed("a second pass"), {"NPROC": "1", "MODEL": "none"})
    assert "complete: 12 samples expected, 12 ok" in log
    assert "12 captions written to data/short" in log
    assert all("source" in record for record in records(checkout / "Output/Short"))
    refused = run(["bash", checkout / "script/run_caption.sh"], {**variables, "INPUT": "Output/Caption"})
    assert refused.returncode == 1
    assert "OUTPUT: the folder of the second pass" in refused.stdout


def test_claims_are_checked_and_kept_by(checkout: Path) -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "", "MODEL": "none", "NPROC": "1"}
    succeed(["bash", checkout / "script/run_plan.sh"], variables)
    log = type_in(checkout, typed("claims"), {"NPROC": "1", "MODEL": "none"})
    assert re.search(r"claims: .*\d+ supported.*, for which [\d,]+ input and \d+ output tokens of these", log)
    assert "claims of 12 captions: " in log
    captions = records(checkout / "Output/Caption")
    assert all(len(record["claims"]) == 1 for record in captions)
    summary = json.loads((checkout / "Output/Caption/filtered/summary.json").read_text())
    assert summary["thresholds"]["min_claim"] == 0.9
    assert summary["kept"] <= summary["claims"]["supported"] < 12


def test_planning_what_remains_for_other_ranks(checkout: Path) -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "", "MODEL": "none", "NPROC": "1"}
    succeed(["bash", checkout / "script/run_plan.sh"], {**variables, "NUM_RANKS": "3"})
    caption = ["bash", checkout / "script/run_caption.sh", "--engine", "scripted"]
    succeed([*caption, "--max-samples", "5"], variables)
    [command] = re.findall(r"`(RESULTS=\S+ NUM_RANKS=\d+ bash script/run_plan\.sh)`", PAGES["docs/cluster.md"])
    assert "7 samples of 3 datasets (5 of 12 are done)" in type_in(checkout, command, {})
    succeed(caption, variables)
    assert len(sample_ids(checkout / "Output/Caption")) == len(set(sample_ids(checkout / "Output/Caption"))) == 12


def test_the_tenth_domain_needs_one_file_and_no_code(tmp_path: Path) -> None:
    [content] = [block for block in blocks("yaml") if block.startswith("# my_prompts/maps.yaml\n")]
    prompts = tmp_path / "my_prompts"
    prompts.mkdir()
    (prompts / "maps.yaml").write_text(content)
    rows = [{"id": number, "image": "farm_aerial.jpg", "task": "maps"} for number in range(2)]
    root = ROOT / "data/demo/natural_scenes"
    rows[0]["image"] = rows[1]["image"] = sorted(path.name for path in root.iterdir())[0]
    write_json(tmp_path / "maps.json", rows)
    metafile = write_json(tmp_path / "Metafile.json", {"maps": {"root": str(root), "annotation": "maps.json"}})
    plan, out, own = tmp_path / "plan.jsonl", tmp_path / "out", ("--prompts-dir", prompts)
    succeed(module("plan", "--metafile", metafile, "--num-ranks", "1", "--output", plan, *own))
    common = ("--plan", plan, "--output-dir", out, "--model", "x", "--engine", "scripted")
    succeed(module("captionpipeline", *common, *own))
    for record in records(out):
        assert (record["task"], record["status"]) == ("Maps", "ok")
        assert list(record["agents"]) == ["places", "summary"]


def test_the_json_examples_are_what_the_program_takes(tmp_path: Path) -> None:
    [metafile] = [json.loads(block) for block in blocks("json") if "ADE20K.json" in block or '"annotation"' in block]
    [row] = [json.loads(block) for block in blocks("json") if block.startswith('{"id"')]
    root = tmp_path / "ade"
    root.mkdir()
    shutil.copy(next((ROOT / "data/demo/natural_scenes").iterdir()), root / row["image"])
    write_json(tmp_path / "ade.json", [row])
    entry = metafile["ADE20K"] | {"root": "ade", "annotation": "ade.json"}
    path = write_json(tmp_path / "Metafile.json", {"ADE20K": entry})
    log = succeed(module("plan", "--metafile", path, "--num-ranks", "1", "--output", tmp_path / "plan.jsonl"))
    assert "1 sample of 1 dataset" in log
    assert "length says 100000, the annotation file has 1 rows" in log


def test_every_flag_of_the_stages_exists() -> None:
    stages = ("inferdomain", "captionpipeline", "inferscore")
    helps = {name: run(module(name, "--help")).stdout for name in stages}
    table = section("docs/cluster.md", "## Flags of the stages")
    flags = set(re.findall(r"--[a-z][a-z-]+", table)) - {"--help"}
    assert len(flags) > 12
    for name, text in helps.items():
        assert [flag for flag in sorted(flags) if flag not in text] == [], name


def test_an_evaluation(checkout: Path) -> None:
    for name in ("MMMU_DEV_VAL.tsv", "AI2D_TEST.tsv"):
        write_tsv(checkout / name, SHAPES[name])
    log = type_in(checkout, typed("an evaluation"), {"NPROC": "1"})
    assert re.search(r"^\| +\| MMMU +\| AI2D +\| Mean +\| Cost +\|$", log, re.MULTILINE)
    assert (checkout / "Output/Eval/answers/table.md").is_file()
