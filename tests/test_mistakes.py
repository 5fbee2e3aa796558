"""Mistakes typed at `metacaptioner run`, as one list: each ends at once, in one line that says what to mend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from MetaCaptioner import __main__
from tests.helpers import Runner, picture_rows

RUN = ("run", "photos", "--output", "out", "--engine", "scripted")
HUB = {"HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Mistake:
    """What is typed in a folder that has `photos`, and the beginning of the line; `{}` is that folder."""

    typed: tuple[str, ...]
    told: str
    status: int = 2
    variables: Mapping[str, str] = field(default_factory=dict)
    file: str = ""


LIST = {
    "command": Mistake(("runn", "photos"), "there is no command 'runn'; did you mean 'run'?"),
    "no input": Mistake(("run", "--output", "out"), "missing: INPUT (a folder, a Metafile,"),
    "no output": Mistake(("run", "photos"), "missing: --output (where all that is made lies)"),
    "folder": Mistake(("run", "photo", *RUN[2:]), "input photo: there is no such file or folder", 1),
    "empty folder": Mistake(("run", "empty", *RUN[2:]), "input empty: is empty", 1),
    "no media in it": Mistake(("run", "notes", *RUN[2:]), "input notes: none of its 1 files is a picture,", 1),
    "a picture": Mistake(("run", "photos/0.png", *RUN[2:]), "input photos/0.png: is neither a folder nor", 1),
    "two inputs": Mistake((*RUN, "notes"), "unrecognized arguments: notes; "),
    "output is a file": Mistake((*RUN, "--output", "notes/a.docx"), "output notes/a.docx: is a file; name a folder", 1),
    "output of others": Mistake((*RUN, "--output", "notes"), "output notes: holds what this command has not made", 1),
    "no permission": Mistake((*RUN, "--output", "/proc/out"), "output /proc/out: cannot be written: ", 1),
    "flag": Mistake((*RUN, "--max-pixles", "3"), "unrecognized arguments: --max-pixles 3; did you mean --max-pixels?"),
    "flag without its value": Mistake((*RUN, "--max-pixels"), "argument --max-pixels: expected one argument"),
    "type": Mistake((*RUN, "--max-pixels", "1e6"), "--max-pixels must be a whole number, not '1e6'"),
    "range": Mistake((*RUN, "--min-overall", "7"), "--min-overall must be from 1 to 5"),
    "choice": Mistake((*RUN, "--export", "text"), "--export must be one of conversations, jsonl,"),
    "flags together": Mistake((*RUN, "--beside"), "--beside goes with --export txt"),
    "both words": Mistake((*RUN, "--keep", "--redo"), "argument --redo: not allowed with argument --keep"),
    "format of something else": Mistake((*RUN, "--format", "coco"), "input {}/photos: cannot be read: Is a dir", 1),
    "domain": Mistake((*RUN, "--task", "cooking"), "--task: "),
    "prompts folder": Mistake((*RUN, "--prompts-dir", "prompt"), "prompts folder prompt: is not a folder", 1),
    "prompts folder without prompts": Mistake(
        (*RUN, "--prompts-dir", "notes"), "prompts folder notes: holds no .yaml file", 1
    ),
    "engine argument": Mistake((*RUN, "--engine-arg", "eager"), "--engine-arg 'eager' is not NAME=VALUE"),
    "ranks": Mistake((*RUN, "--ranks", "none"), "--ranks must be a whole number, not 'none'"),
    "machines": Mistake(RUN, "run is for the GPUs of one machine", 2, {"NNODES": "2"}),
    "variable": Mistake(
        RUN,
        "METACAPTIONER_MAXPIXELS: there is no such option; did you mean max_pixels?",
        2,
        {"METACAPTIONER_MAXPIXELS": "3"},
    ),
    "value of a variable": Mistake(RUN, "TP must be a whole number, not 'two'", 2, {"TP": "two"}),
    "no file": Mistake((*RUN, "--config", "nun.yaml"), "--config {}/nun.yaml: cannot be read: No such file"),
    "key": Mistake(
        (*RUN, "--config", "run.yaml"), "{}/run.yaml: max_pixles: there is no such option; did", file="max_pixles: 3"
    ),
    "key of a part": Mistake(
        (*RUN, "--config", "run.yaml"),
        "{}/run.yaml: routes: is an option of run, caption alone: write it",
        file="routes: x",
    ),
    "key that is a part": Mistake(
        (*RUN, "--config", "run.yaml"), "{}/run.yaml: export: must be options with values", file="export: txt"
    ),
    "value of a key": Mistake(
        (*RUN, "--config", "run.yaml"), "{}/run.yaml: seed must be a whole number,", file="seed: many"
    ),
    "no YAML": Mistake((*RUN, "--config", "run.yaml"), "{}/run.yaml: is no sound YAML", file="seed: 1: 2"),
}


@pytest.mark.parametrize("name", LIST)
def test_a_mistake_is_one_line(name: str, tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake = LIST[name]
    picture_rows(tmp_path / "photos", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.docx").touch()
    (tmp_path / "run.yaml").write_text(mistake.file)
    monkeypatch.chdir(tmp_path)
    for variable, value in mistake.variables.items():
        monkeypatch.setenv(variable, value)
    outcome = run.main(__main__.main, *mistake.typed)
    assert outcome.status == mistake.status
    assert len(outcome.errors) == 1
    assert outcome.said.splitlines()[-1].startswith(f"error: {mistake.told.format(tmp_path)}"), outcome.said
    assert "== route" not in outcome.said
    assert "Traceback" not in outcome.said
