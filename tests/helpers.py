"""Datasets, plans, engines and runs for the unit tests."""

import errno
import inspect
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
import pytest
import yaml
from PIL import Image

from MetaCaptioner import captionpipeline, inferdomain, inferscore, plan
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import Completion, Engine, Request
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.registry import open_engine
from MetaCaptioner.engine.scripted import ScriptedEngine
from MetaCaptioner.errors import UserError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.records.reader import PATTERN
from MetaCaptioner.runner import stage
from MetaCaptioner.runtime.heartbeat import Heartbeat
from MetaCaptioner.utils.cli import run_main

Row = dict[str, Any]
Hook = Callable[[Request], Awaitable[Completion | None] | Completion | None]

PLAN_KEYS = [
    *("data_name", "json_url", "root", "task", "modality", "total", "processed", "remain"),
    *("shard_index", "num_shards", "start_idx", "end_idx", "anno_file_key", "assign_rank"),
]


def picture_rows(root: Path, count: int, **fields: object) -> list[Row]:
    """The annotation rows of `count` small pictures, all different, that are written below `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        colour = (number * 37 % 256, number * 91 % 256, number // 256)
        Image.new("RGB", (56, 56), colour).save(root / f"{number}.png")
    return [{"id": n, "image": f"{n}.png", "width": 56, "height": 56, **fields} for n in range(count)]


def write_annotation(path: Path, rows: Sequence[object]) -> Path:
    """An annotation file: JSONL if its name ends so, else a JSON list."""
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    text = "\n".join(texts) if path.suffix == ".jsonl" else "[" + ",\n".join(texts) + "]"
    path.write_text(text, encoding="utf-8")
    return path


def plan_row(annotation: Path, root: Path, start: int, end: int, rank: int = 0, **changes: object) -> Row:
    """A row of a plan with the keys of the contract and no others."""
    row = {
        "data_name": annotation.stem,
        "json_url": str(annotation),
        "root": str(root),
        "task": "Natural",
        "modality": "image",
        "total": end,
        "processed": 0,
        "remain": end,
        "shard_index": 0,
        "num_shards": 1,
        "start_idx": start,
        "end_idx": end,
        "anno_file_key": annotation.name,
        "assign_rank": rank,
    }
    return row | changes


def write_plan(path: Path, *rows: object) -> Path:
    """A plan of `rows`; a row that is text goes in as it is."""
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def small_plan(folder: Path, rows: int | Sequence[object] = 4, **changes: object) -> Path:
    """A plan of one rank for pictures `set/0` … in `folder`/media; `rows` are their number, or the annotation rows."""
    root = folder / "media"
    found = picture_rows(root, rows) if isinstance(rows, int) else rows
    annotation = write_annotation(folder / "set.json", found)
    return write_plan(folder / "plan.jsonl", plan_row(annotation, root, 0, len(found)) | changes)


def write_metafile(folder: Path, **datasets: Row) -> Path:
    path = folder / "Metafile.json"
    path.write_text(json.dumps(datasets))
    return path


def write_lines(path: Path, records: Sequence[Row]) -> Path:
    """A file of records, a line each; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def all_records(folder: Path) -> list[Row]:
    """The records of all result files of `folder`; each line must be whole."""
    paths = sorted(folder.glob("Rank*_node*_*.jsonl"))
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    assert all(line.endswith(b"\n") for line in lines)
    return [json.loads(line) for line in lines]


def records(folder: Path) -> dict[str, Row]:
    """The records by sample; no sample may have two."""
    found = all_records(folder)
    twice = [name for name, count in Counter(record["sample_id"] for record in found).items() if count > 1]
    assert not twice
    return {record["sample_id"]: record for record in found}


def replace_record(folder: Path, sample: str, **changes: object) -> None:
    """Change the record of one sample of rank 0, as a run with other prompts would have made it."""
    [path] = folder.glob("Rank0_*.jsonl")
    write_lines(path, [record | changes if name == sample else record for name, record in records(folder).items()])


def error_kinds(folder: Path) -> dict[str, str]:
    return {name: r["error"]["kind"] for name, r in records(folder).items() if r["status"] == "error"}


def names(count: int, data_name: str = "set") -> set[str]:
    return {f"{data_name}/{number}" for number in range(count)}


def make_clip(path: Path, frames: int, size: tuple[int, int] = (96, 64), rate: int = 10) -> Path:
    """A clip that begins with a red frame and ends with a blue one, with greens that grow brighter between them."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"threads": "1", "crf": "10"})
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = size
        container.start_encoding()
        for number in range(frames):
            colour = (0, 255 * number // frames, 0)
            colour = (255, 0, 0) if number == 0 else (0, 0, 255) if number == frames - 1 else colour
            picture = np.full((size[1], size[0], 3), colour, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if frames:
            container.mux(stream.encode())
    return path


def pack(tar: Path, *files: Path, names: Sequence[str] = ()) -> dict[str, Row]:
    """A tar file of `files`, by their own names or by `names`; where the content of each lies, as rows have it."""
    with tarfile.open(tar, "w") as packed:
        for path, name in zip(files, names or [path.name for path in files], strict=True):
            packed.add(path, name)
    with tarfile.open(tar) as packed:
        members = packed.getmembers()
    return {one.name: {"file": tar.name, "offset": one.offset_data, "size": one.size} for one in members}


def some_media(modality: Modality = "image") -> Media:
    data = Image.new("RGB", (56, 56)) if modality == "image" else np.zeros((2, 56, 56, 3), dtype=np.uint8)
    return Media(modality, data, f"{modality}-1", "hash", 56, 56)


def completion(text: str, finish_reason: Any = "stop", **probabilities: float) -> Completion:
    return Completion(text, finish_reason, 10, 0, 5, probabilities)


def sample_of(request: Request) -> str:
    return request.request_id.rsplit("/", 2)[0]


def agent_of(request: Request) -> str:
    return request.request_id.rsplit("/", 2)[1]


class FakeEngine:
    """The scripted engine, with a hook that sees every request first and may answer it, wait or raise."""

    pixel_multiple = 28
    cache_tokens: int | None = None
    arguments: Mapping[str, object] = MappingProxyType({})
    chosen_for_speed: tuple[str, ...] = ()

    def __init__(self, hook: Hook | None = None) -> None:
        self.requests: list[Request] = []
        self.closed = self.gave_up_waiting = False
        self._hook = hook
        self._scripted = ScriptedEngine(EngineOptions("fake"))

    @property
    def samples(self) -> set[str]:
        return {sample_of(request) for request in self.requests}

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        answer = self._hook(request) if self._hook else None
        answer = await answer if inspect.isawaitable(answer) else answer
        return answer or await self._scripted.generate(request)

    def prompt_text(self, instruction: str, modality: Modality | None) -> str:
        return self._scripted.prompt_text(instruction, modality)

    def media_tokens(self, media: Media) -> int | None:
        return None

    def progress(self) -> int:
        return len(self.requests)

    def stop_waiting(self) -> None:
        self.gave_up_waiting = True

    def close(self) -> None:
        self.closed = True


_BEGIN = re.compile(r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|^\d\d:\d\d:\d\d) (?:info: |(?=note: |error: ))", re.MULTILINE)


def plain(said: str) -> str:
    """What programs say without the times, and without the level of what is but told; notes and errors keep theirs."""
    return _BEGIN.sub("", said)


@dataclass(frozen=True)
class Outcome:
    """What a program said (`plain`) and how it ended."""

    status: int
    said: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if "error: " in line]


@dataclass(frozen=True)
class Runner:
    """Runs the programs in this process, as their command lines do.

    `engine` takes the place of the one that the flags name; an error is raised when it is opened. `rank` is (rank,
    world size), told as torchrun does.
    """

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def main(
        self,
        main: Callable[[Sequence[str]], int],
        *arguments: object,
        engine: Engine | UserError | None = None,
        engine_opens: bool = True,
        rank: tuple[int, int] | None = None,
    ) -> Outcome:
        def opened(options: EngineOptions, on_gpu: bool, log: Path, say: Callable[[str], None]) -> Engine:
            assert engine_opens, "the engine was opened"
            if isinstance(engine, UserError):
                raise engine
            return engine or open_engine(options, on_gpu, log, say)

        self.monkeypatch.setattr(stage, "open_engine", opened)
        for name, value in zip(("RANK", "WORLD_SIZE"), rank or (), strict=False):
            self.monkeypatch.setenv(name, str(value))
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_main(lambda: main([str(argument) for argument in arguments]))
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, plain(self.capsys.readouterr().err))

    def restarted(self, heartbeat: Heartbeat) -> Heartbeat:
        """Until further notice, run as the next worker after one that died under the same supervisor."""
        heartbeat.deaths, heartbeat.begun = heartbeat.deaths + 1, 1
        self.monkeypatch.setattr(stage, "inherited_heartbeat", lambda environment: heartbeat)
        return heartbeat

    def plan(self, metafile: Path, output: Path, *more: object, num_ranks: int = 1) -> Outcome:
        return self.main(plan.main, "--metafile", metafile, "--output", output, "--num-ranks", num_ranks, *more)

    def caption(self, plan: Path, output: Path, *more: object, **how: Any) -> Outcome:
        return self.main(captionpipeline.main, "--plan", plan, "--output-dir", output, *SCRIPTED, *more, **how)

    def second_pass(self, earlier: Path, output: Path, *more: object, **how: Any) -> Outcome:
        return self.main(captionpipeline.main, "--input", earlier, "--output-dir", output, *SCRIPTED, *more, **how)

    def route(self, plan: Path, output: Path, *more: object, **how: Any) -> Outcome:
        return self.main(inferdomain.main, "--plan", plan, "--output-dir", output, *SCRIPTED, *more, **how)

    def score(self, folder: Path, *more: object, **how: Any) -> Outcome:
        return self.main(inferscore.main, "--data-folder", folder, *SCRIPTED, *more, **how)


SCRIPTED = ("--model", "none", "--engine", "scripted", "--decode-threads", "2")


def make_read_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let every change below `folder` fail as on a read-only mount (permission bits would not stop root)."""

    def guarded(function: Callable[..., Any], changes: Callable[..., bool]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **named: Any) -> Any:
            is_open = str(path).startswith("/proc/self/fd/")  # what was looked up before it is opened
            if folder in (Path(path).readlink() if is_open else Path(path)).parents and changes(*arguments, **named):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return function(path, *arguments, **named)

        return call

    def always(*_: Any, **__: Any) -> bool:
        return True

    for name in ("unlink", "mkdir", "replace", "touch"):
        monkeypatch.setattr(Path, name, guarded(getattr(Path, name), always))
    monkeypatch.setattr(Path, "open", guarded(Path.open, lambda mode="r", *_, **__: not set(mode).isdisjoint("wax+")))
    monkeypatch.setattr(
        os, "open", guarded(os.open, lambda flags=0, *_, **__: bool(flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)))
    )


def fill_disk(monkeypatch: pytest.MonkeyPatch, whole_lines: int) -> None:
    """After `whole_lines` records the disk is full: half of the next line gets through, then nothing."""
    write, left, halves = os.write, [whole_lines], [1]

    def limited(descriptor: int, data: bytes) -> int:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.suffix != ".jsonl":
            return write(descriptor, data)
        if left[0] > 0:
            left[0] -= path.match(PATTERN)
            return write(descriptor, data)
        if halves[0] > 0:
            halves[0] -= 1
            return write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", limited)


MAPS = {
    "domain": "Maps",
    "description": "Drawn maps.",
    "subdomains": ["City", "Relief"],
    "aliases": ["cartography"],
    "agents": [
        {"name": "places", "prompt": "List the places."},
        {"name": "summary", "role": "summary", "requires": ["places"], "prompt": "Describe the map. {places}"},
    ],
}
"""A tenth domain, as a prompt file."""


def write_prompts(folder: Path, **files: object) -> Path:
    """A prompts folder; a file that is text goes in as it is."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (folder / f"{name}.yaml").write_text(text)
    return folder
