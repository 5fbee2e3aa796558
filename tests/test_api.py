"""`Captioner`: what it takes and gives, how far ahead it goes, how it ends, and what it leaves alone."""

import asyncio
import gc
import inspect
import itertools
import json
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import MetaCaptioner
from MetaCaptioner import Captioner, CaptionRecord
from MetaCaptioner.api import worker
from MetaCaptioner.api.inputs import asked
from MetaCaptioner.api.messages import Ask, Begun, Done, Failed, Line, Ready, Setup
from MetaCaptioner.api.service import Service
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import EngineDead, ErrorKind, SampleError, UserError
from MetaCaptioner.media.loader import MediaBudget, load_media
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.utils.processes import members
from tests.conftest import INHERITED
from tests.helpers import (
    FakeEngine,
    Hook,
    Row,
    Runner,
    agent_of,
    all_records,
    completion,
    make_clip,
    picture_rows,
    plan_row,
    small_plan,
    write_annotation,
    write_plan,
    write_prompts,
)
from tests.pages import blocks, section
from tests.pipeline.commands import environment, module, succeed
from tests.random_model import ROOT, random_model  # noqa: F401

SCRIPTED = StageOptions(engine="scripted", decode_threads=2)
SLOW = StageOptions(engine="scripted", decode_threads=1, in_flight=1, engine_arg=["delay=0.2"])
ALL = {*CaptionRecord.__required_keys__, *CaptionRecord.__optional_keys__}
MADE = {"seconds", "engine_seconds"}


@pytest.fixture(autouse=True)
def as_a_program() -> None:
    """It is not used in one: what is said is what logging is set to say."""


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all temporary files are, of programs that tests start as well."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def captioner() -> Iterator[Captioner]:
    """A scripted one that scores, for all tests of this file that leave it as it is."""
    with Captioner(options=SCRIPTED, score=True) as one:
        yield one


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    picture_rows(tmp_path / "media", 1)
    return tmp_path / "media" / "0.png"


def service_of(captioner: Captioner) -> Service:
    return captioner._service


def is_there(process: int) -> bool:
    """Whether any process of that session is left."""
    return bool(members(process))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


# --- records


def test_records_are_those_of_the_command_line(tmp_path: Path, run: Runner, captioner: Captioner) -> None:
    """Pictures, a clip, one that is missing and one that is no picture: the same fields, and the same in them."""
    rows = picture_rows(tmp_path / "media", 3)
    make_clip(tmp_path / "media" / "clip.mp4", 8)
    (tmp_path / "media" / "broken.jpg").write_bytes(b"<html>")
    rows += [{"id": 3, "video": "clip.mp4"}, {"id": 4, "image": "gone.png"}, {"id": 5, "image": "broken.jpg"}]
    plan, out = small_plan(tmp_path, rows, task="auto"), tmp_path / "out"
    assert run.caption(plan, out).status == 0
    assert run.score(out).status == 0
    scores = {record["index"]: record for record in all_records(out / "score")}
    expected = sorted(all_records(out), key=lambda record: record["index"])
    paths = [tmp_path / "media" / (row.get("image") or row["video"]) for row in rows]
    found = list(captioner.caption(paths))
    assert [record["index"] for record in found] == list(range(len(rows)))
    for record, whole, path in zip(found, expected, paths, strict=True):
        score = scores.get(record["index"], {})
        marks = {name: score[name] for name in ("scores", "overall", "reason") if score}
        others = {"sample_id", "data_name", "id", "root", "stage"}
        wanted = {name: value for name, value in whole.items() if name not in others} | marks
        wanted[whole["modality"]] = str(path)
        assert without(record, *MADE) == without(wanted, *MADE)
        assert set(record) <= ALL
        assert json.loads(json.dumps(record)) == record
    assert [record["status"] for record in found] == ["ok"] * 4 + ["error"] * 2
    assert [record["error"]["kind"] for record in found[4:]] == ["media_missing", "media_corrupt"]
    assert all(1 <= record["overall"] <= 5 and record["task_confidence"] > 0 for record in found[:4])


def without(record: Any, *names: str) -> Row:
    return {name: value for name, value in record.items() if name not in names}


def test_a_task_is_that_of_all_inputs(picture: Path) -> None:
    with Captioner(options=SCRIPTED, task="medical") as one:
        [record] = one.caption([picture])
    assert (record["task"], record["task_source"]) == ("Medical & Bio-Imaging", "metafile")
    assert "task_confidence" not in record
    assert "scores" not in record


def test_claims_are_checked(picture: Path) -> None:
    with Captioner(options=SCRIPTED, task="natural", claims="check", score=True) as one:
        [record] = one.caption([picture])
        assert one._service._setup.options.claims == "check"
    assert set(record) <= ALL
    assert [claim["text"] for claim in record["claims"]] == [record["caption"]]
    assert record["claims"][0]["answer"] in ("supported", "contradicted", "not visible")
    assert 0 <= record["claims"][0]["supported"] <= 1
    assert record["claim_input_tokens"] > 0
    assert "scores" in record


def test_prompts_of_ones_own(tmp_path: Path, picture: Path) -> None:
    agents = [{"name": "only", "role": "summary", "prompt": "Say it.", "max_tokens": 5}]
    prompts = write_prompts(tmp_path / "prompts", maps={"domain": "Maps", "description": "maps", "agents": agents})
    with Captioner("some model", prompts_dir=prompts, task="maps", options=SCRIPTED) as one:
        [record] = one.caption([str(picture)])
    assert (record["task"], list(record["agents"])) == ("Maps", ["only"])


def test_an_image_an_array_and_a_file_of_the_same_pixels(
    tmp_path: Path, captioner: Captioner, small: Image.Image
) -> None:
    [image, array, again] = captioner.caption([small, np.asarray(small), small.copy()])
    assert image["image"] is None
    assert image["caption"] == array["caption"] == again["caption"]
    assert image["media_hash"] == array["media_hash"]
    assert not any(service_of(captioner).pictures.iterdir()), "what was spooled is left"


def turned(image: Image.Image) -> Image.Image:
    made = image.copy()
    made.getexif()[0x0112] = 6
    return made


def deep(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("I").point(lambda value: value * 200).convert("I;16")


def keyed(image: Image.Image, transparent: object) -> Image.Image:
    """As formats have it that name one value which is transparent."""
    made = image.copy()
    made.info["transparency"] = transparent
    return made


ODD: dict[str, Callable[[Image.Image], Image.Image]] = {
    "RGB": lambda image: image,
    "large": lambda image: image.resize((1600, 1200)),
    "grey": lambda image: image.convert("L"),
    "transparent": lambda image: Image.merge("RGBA", (*image.split(), image.convert("L"))),
    "palette": lambda image: image.convert("P"),
    "two colours": lambda image: image.convert("1"),
    "grey and transparent": lambda image: Image.merge("LA", (image.convert("L"), image.convert("L"))),
    "turned": turned,
    "a colour that is transparent": lambda image: keyed(image, image.getpixel((5, 5))),
    "a grey that is transparent": lambda image: keyed(image.convert("L"), 90),
    "a palette with a transparent colour": lambda image: keyed(image.convert("P"), 10),
    "16 bit": deep,
    "16 bit, one value transparent": lambda image: keyed(deep(image), 90 * 200),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_image_is_seen_as_its_file_is(tmp_path: Path, small: Image.Image, kind: str) -> None:
    """The same pixels come out of the decoder for a picture in memory as for a file that holds it without loss."""
    budget = MediaBudget()
    path = tmp_path / "file.png"
    image = ODD[kind](small)
    image.save(path, exif=image.getexif())
    with Image.open(path) as opened:
        given = asked(opened, tmp_path / "spooled", budget.shape(budget.max_pixels))
    assert given.problem is None
    seen = [load_media(Sample("x", 0, tmp_path, name, "image"), budget) for name in ("file.png", given.row["image"])]
    assert seen[0].data.size == seen[1].data.size
    assert np.array_equal(np.asarray(seen[0].data), np.asarray(seen[1].data))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "F", "I", "I;16", "HSV", "RGBX", "RGBa", "La"])
def test_images_of_odd_modes_are_read(captioner: Captioner, small: Image.Image, mode: str) -> None:
    way = {"I;16": ("L", "I"), "RGBa": ("RGBA",), "La": ("L", "LA")}.get(mode, ())
    given = small
    for step in (*way, mode):
        given = given.convert(step)
    [record] = captioner.caption([given])
    assert record["status"] == "ok", record["error"]


def test_a_picture_that_cannot_be_put_into_a_file_is_no_damaged_one(tmp_path: Path, small: Image.Image) -> None:
    given = asked(small, tmp_path / "gone" / "spooled", MediaBudget().shape(10**6))
    assert given.problem is not None
    assert given.problem[0] == ErrorKind.MEDIA_UNREADABLE
    assert "No such file" in given.problem[1]


# --- what is wrong with an input


def test_a_bad_input_is_one_record(tmp_path: Path, captioner: Captioner, picture: Path, small: Image.Image) -> None:
    cut_off = tmp_path / "cut.jpg"
    Image.effect_noise((400, 400), 50).save(cut_off)
    cut_off.write_bytes(cut_off.read_bytes()[:2000])
    small.save(tmp_path / "a picture.mp4", "PNG")
    inputs: dict[str, tuple[Any, str | None]] = {
        "a number": (7, "bad_row"),
        "nothing": (None, "bad_row"),
        "bytes": (b"\x89PNG", "bad_row"),
        "a dictionary": ({"image": "x.png"}, "bad_row"),
        "an address": ("https://example.org/x.png", "bad_row"),
        "frames": (np.zeros((4, 32, 32, 3), np.uint8), "bad_row"),
        "floats": (np.zeros((32, 32, 3)), "bad_row"),
        "no pixels": (np.zeros((0, 32, 3), np.uint8), "bad_row"),
        "a strip": (Image.new("RGB", (5000, 2)), "media_bad_shape"),
        "unreadable": (Image.open(cut_off), "media_corrupt"),
        "a folder": (tmp_path, "media_missing"),
        "nowhere": (tmp_path / "gone.png", "media_missing"),
        "no clip": (tmp_path / "a picture.mp4", "media_corrupt"),
        "a picture": (picture, None),
    }
    found = list(captioner.caption(given for given, _ in inputs.values()))
    kinds = {name: record.get("error", {}).get("kind") for name, record in zip(inputs, found, strict=True)}
    assert kinds == {name: kind for name, (_, kind) in inputs.items()}
    assert "(height, width, 3)" in found[0]["error"]["message"]
    assert "when they are shown" in found[5]["error"]["message"]
    assert all(record["index"] == number and set(record) <= ALL for number, record in enumerate(found))


def test_links_are_followed_and_names_may_be_odd(tmp_path: Path, captioner: Captioner, picture: Path) -> None:
    """The user has named the file, wherever it is; there is no root that it could lead out of."""
    link = tmp_path / "elsewhere" / "li nk%20#é.png"
    link.parent.mkdir()
    link.symlink_to(picture)
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "elsewhere") + b"/odd\xff.png"))
    odd.write_bytes(picture.read_bytes())
    found = list(captioner.caption([link, odd, os.path.relpath(picture)]))
    assert [record["status"] for record in found] == ["ok"] * 3
    assert [record["image"] for record in found] == [str(link), str(odd), os.path.relpath(picture)]
    assert all(record["overall"] for record in found)


@pytest.mark.parametrize("inputs", ["a.png", Path("a.png"), b"a", np.zeros((2, 8, 8, 3), np.uint8), 5, None])
def test_one_input_in_place_of_many_is_refused_at_once(captioner: Captioner, inputs: Any) -> None:
    with pytest.raises(TypeError, match="caption"):
        captioner.caption(inputs)
    with pytest.raises(TypeError, match="put it into a list"):
        captioner.caption(Image.new("RGB", (4, 4)))  # type: ignore[arg-type]


def test_what_iterating_over_inputs_raises_comes_after_the_records_before_it(
    captioner: Captioner, picture: Path
) -> None:
    def some() -> Iterator[Path]:
        yield picture
        yield picture
        raise ZeroDivisionError("the user's own")

    records = captioner.caption(some())
    assert [next(records)["index"], next(records)["index"]] == [0, 1]
    with pytest.raises(ZeroDivisionError, match="the user's own"):
        next(records)


# --- how far ahead, in which order, and how it is left


def test_records_come_in_order_each_as_soon_as_it_can(captioner: Captioner, picture: Path) -> None:
    """An input that is long in coming keeps no earlier record back."""
    had_first = threading.Event()

    def slow() -> Iterator[Path]:
        yield picture
        assert had_first.wait(20)
        yield picture

    records = captioner.caption(slow())
    assert next(records)["index"] == 0
    had_first.set()
    assert [record["index"] for record in records] == [1]


def test_an_endless_generator_is_taken_from_by_need(picture: Path) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield picture

    with Captioner(options=StageOptions(engine="scripted", in_flight=2, decode_threads=1)) as one:
        ahead = service_of(one).ready.ahead
        assert ahead == 8
        records = one.caption(endless())
        assert taken == 0
        for had, _ in zip(range(1, 30), records, strict=False):
            assert taken <= had + ahead + 1
        wait_until(lambda: taken >= 29 + ahead)
        time.sleep(0.3)
        assert taken <= 29 + ahead + 1
        records.close()  # type: ignore[attr-defined]


def resident(process: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_with_the_inputs(captioner: Captioner, small: Image.Image) -> None:
    processes = {os.getpid(), service_of(captioner).process.number}
    before: dict[int, int] = {}
    for number, record in enumerate(captioner.caption(itertools.repeat(small, 1000))):
        assert (record["index"], record["status"]) == (number, "ok")
        if number == 400:
            before = {process: resident(process) for process in processes}
    assert number == 999
    for process in processes:
        assert resident(process) - before[process] < 8 * 2**20
    assert not service_of(captioner)._calls


def feeders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "captioner inputs"]


def test_an_iteration_that_is_left_half_way_leaves_nothing(picture: Path) -> None:
    with Captioner(options=SLOW, task="natural") as one:
        for record in one.caption(itertools.repeat(picture)):
            assert record["status"] == "ok"
            break
        gc.collect()
        assert feeders() == []
        assert not service_of(one)._calls
        [record] = one.caption([picture])  # and goes on
        assert (record["index"], record["status"]) == (0, "ok")
        leader = service_of(one).process.number
        folder = service_of(one)._folder
        left = one.caption(itertools.repeat(picture))
        next(left)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    assert not is_there(leader)
    assert not folder.exists()
    with pytest.raises(UserError, match="is closed"):
        list(left)
    assert feeders() == []
    with pytest.raises(UserError, match="is closed"):
        list(one.caption([picture]))
    one.close()


def test_an_input_that_never_comes_keeps_nothing_from_ending(picture: Path) -> None:
    may_end = threading.Event()

    def stuck() -> Iterator[Path]:
        yield picture
        may_end.wait(20)

    with Captioner(options=SCRIPTED) as one:
        begin = time.monotonic()
        for _ in one.caption(stuck()):
            break
    assert time.monotonic() - begin < 10
    may_end.set()
    wait_until(lambda: not feeders())


def test_two_iterations_side_by_side(captioner: Captioner, tmp_path: Path) -> None:
    names = [tmp_path / "media" / row["image"] for row in picture_rows(tmp_path / "media", 6)]
    pairs = list(zip(captioner.caption(names), captioner.caption(reversed(names)), strict=True))
    assert [one["image"] for one, _ in pairs] == [str(name) for name in names]
    assert [other["image"] for _, other in pairs] == [str(name) for name in reversed(names)]
    assert {one["image"]: one["caption"] for one, _ in pairs} == {
        other["image"]: other["caption"] for _, other in pairs
    }
    assert list(captioner.caption([])) == []


def test_in_a_running_event_loop(picture: Path) -> None:
    """As in a notebook: called synchronously, by what an event loop runs."""

    async def main() -> list[CaptionRecord]:
        with Captioner(options=SCRIPTED) as one:
            return list(one.caption([picture, picture]))

    assert [record["status"] for record in asyncio.run(main())] == ["ok", "ok"]


def test_without_with_it_is_ended_by_close_or_when_nobody_has_it(picture: Path) -> None:
    one = Captioner(options=SCRIPTED)
    leader = service_of(one).process.number
    assert len(list(one.caption([picture]))) == 1
    del one
    gc.collect()
    assert not is_there(leader)


# --- what cannot be done


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"model": "/no/such/model"}, "model /no/such/model: there is no such folder"),
        ({"task": "natrual", "options": SCRIPTED}, "did you mean 'Natural'"),
        ({"prompts_dir": "/no/such/prompts", "options": SCRIPTED}, "/no/such/prompts"),
        ({"options": StageOptions(engine="scripted", engine_arg=["delai=1"])}, "--engine-arg delai"),
        ({"options": StageOptions(retry_errors=True)}, "option retry_errors is of runs"),
        ({"options": StageOptions(max_samples=3)}, "option max_samples is of runs"),
        ({"options": SCRIPTED, "log": "/proc/nowhere/log.txt"}, "log /proc/nowhere/log.txt: cannot be written"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(temporary: Path, how: dict[str, Any], told: str) -> None:
    before, files = threading.enumerate(), sorted(temporary.iterdir())
    with pytest.raises(UserError) as raised:
        Captioner(**how)
    assert told in str(raised.value)
    assert sorted(temporary.iterdir()) == files
    assert "\n" not in str(raised.value)
    assert threading.enumerate() == before


def test_options_of_another_form_are_refused() -> None:
    with pytest.raises(TypeError, match=r"options are a StageOptions of MetaCaptioner\.runner\.options, not dict"):
        Captioner(options={"engine": "scripted"})  # type: ignore[arg-type]


def test_prompts_of_a_second_pass_are_refused(tmp_path: Path) -> None:
    agents = [{"name": "short", "role": "summary", "prompt": "Shorten: {caption}"}]
    prompts = write_prompts(tmp_path / "prompts", short={"domain": "*", "agents": agents})
    with pytest.raises(UserError, match="only a second pass"):
        Captioner(prompts_dir=prompts, options=SCRIPTED)


def dying(*script: str, **options: Any) -> StageOptions:
    arguments = ["process=true", *script]
    return StageOptions(engine="scripted", decode_threads=2, engine_arg=arguments, **options)


def test_another_process_goes_on_where_one_dies(
    tmp_path: Path, captioner: Captioner, caplog: pytest.LogCaptureFixture
) -> None:
    """No record is lost, none comes twice, and all are as they would have been."""
    paths = [tmp_path / "media" / row["image"] for row in picture_rows(tmp_path / "media", 12)]
    options = StageOptions(engine="scripted", decode_threads=1, in_flight=2, engine_arg=["delay=0.1"])
    with Captioner(options=options) as one:
        records = one.caption(paths)
        found = [next(records)]
        first = service_of(one).process.number
        os.kill(first, signal.SIGKILL)
        found += records
        assert not is_there(first)
    assert [record["index"] for record in found] == list(range(12))
    assert [record["caption"] for record in found] == [record["caption"] for record in captioner.caption(paths)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "was killed by SIGKILL; another one is started" in caplog.text


def test_an_input_that_kills_the_engine_is_one_record(tmp_path: Path) -> None:
    """At its third death it was alone."""
    paths = [tmp_path / "media" / row["image"] for row in picture_rows(tmp_path / "media", 6)]
    with Captioner(options=dying('crash_on=["inputs/2"]')) as one:
        found = list(one.caption(paths))
    assert [record["status"] for record in found] == ["ok", "ok", "error", "ok", "ok", "ok"]
    assert (found[2]["error"]["kind"], found[2]["attempts"]) == ("engine_crash", 3)


def test_an_engine_that_hangs_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [tmp_path / "media" / row["image"] for row in picture_rows(tmp_path / "media", 2)]
    log = tmp_path / "log.txt"
    options = dying("hang_after=12", "delay=0.01", stall_seconds=1.0, in_flight=1)
    with Captioner(options=options, task="natural", log=log) as one:
        found = list(one.caption(itertools.chain(paths, paths)))
    assert [record["status"] for record in found] == ["ok"] * 4
    assert "no token for 1 s" in log.read_text()
    assert "another one is started" in caplog.text


def test_a_process_that_dies_again_and_again_is_given_up_with_its_log(picture: Path) -> None:
    options = dying("hang_after=0", max_deaths=2, stall_seconds=1.0)
    with Captioner(options=options) as one:
        with pytest.raises(EngineDead, match=r"given up after 2 deaths .*SIGKILL; what was printed is in ") as raised:
            list(one.caption([picture]))
        with pytest.raises(EngineDead):
            list(one.caption([picture]))
    log = Path(str(raised.value).rpartition(" ")[2])
    assert "no token for 1 s" in log.read_text()
    assert not (log.parent / "pictures").exists()


# --- as a program of the user's

USES_IT = """
import logging, os, signal, sys, threading
from PIL import Image
Image.init()
def state():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    root = logging.getLogger()
    threads = [thread.name for thread in threading.enumerate()]
    streams = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]
    found = len(os.listdir("/proc/self/fd"))
    return {"handlers": handlers, "logging": (root.handlers[:], root.level), "folder": os.getcwd(), "path": sys.path[:],
            "environment": dict(os.environ), "threads": threads, "streams": (streams, sys.stdout, sys.stderr),
            "open files": found, "images": (Image.MAX_IMAGE_PIXELS, dict(Image.OPEN), dict(Image.EXTENSION))}

before = state()
from MetaCaptioner import Captioner
from MetaCaptioner.runner.options import StageOptions

captioner = Captioner(options=StageOptions(engine="scripted", decode_threads=1, in_flight=1, engine_arg=["delay=0.2"]))
print("leader", captioner._service.process.number, flush=True)
"""


def test_it_leaves_its_process_as_it_was(tmp_path: Path, picture: Path) -> None:
    program = tmp_path / "program.py"
    ends = f"print(len(list(captioner.caption([{str(picture)!r}]))))\ncaptioner.close()\nafter = state()\n"
    ends += "print([name for name in before if before[name] != after[name]])\n"
    program.write_text(USES_IT + ends)
    here = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["1", "[]"]
    assert sorted(tmp_path.rglob("*")) == here


@contextmanager
def using(tmp_path: Path, picture: Path) -> Iterator["tuple[subprocess.Popen[str], int]"]:
    """(a program that captions for ever, the process that works for it)."""
    program = tmp_path / "program.py"
    goes_on = (
        f"import itertools\nwith captioner:\n    for record in captioner.caption(itertools.repeat({str(picture)!r})):\n"
    )
    program.write_text(f"{USES_IT}{goes_on}        print('record', flush=True)\n")
    started = subprocess.Popen(
        [sys.executable, program],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell has started in the background, as these tests may be, takes no notice of a Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert started.stdout is not None
    leader = int(started.stdout.readline().split()[1])
    assert started.stdout.readline() == "record\n"
    try:
        yield started, leader
    finally:
        started.kill()
        started.communicate()


def test_ctrl_c_ends_all(tmp_path: Path, picture: Path) -> None:
    with using(tmp_path, picture) as (started, leader):
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert not is_there(leader)


def caption_until_stopped(captioner: Captioner, picture: Path, seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    for _ in captioner.caption(itertools.repeat(picture)):
        pass


@pytest.mark.timeout(120)
def test_ctrl_c_at_any_moment_is_no_deadlock(captioner: Captioner, picture: Path) -> None:
    """Also in the midst of what keeps the inputs from running ahead."""
    was = signal.signal(signal.SIGALRM, signal.default_int_handler)
    dice = random.Random(0)
    try:
        for _ in range(60):
            with pytest.raises(KeyboardInterrupt):
                caption_until_stopped(captioner, picture, dice.uniform(0.002, 0.03))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, was)
    assert [record["status"] for record in captioner.caption([picture])] == ["ok"]


def test_a_program_that_is_killed_leaves_no_process(tmp_path: Path, picture: Path) -> None:
    with using(tmp_path, picture) as (started, leader):
        assert is_there(leader)
        started.kill()
        wait_until(lambda: not is_there(leader), 15)


def test_the_package_is_light_until_it_is_asked_for_more() -> None:
    """`--help` has to answer at once."""
    program = "import sys, MetaCaptioner; sys.exit(bool({'numpy', 'pydantic', 'PIL', 'asyncio'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True, timeout=60)
    # What changes a process is for those that are a rank, or work for a Captioner.
    others = {"MetaCaptioner.runner.stage", "MetaCaptioner.media.picture", "vllm", "torch"}
    program = f"import sys; from MetaCaptioner import Captioner; sys.exit(bool({others} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True, timeout=60)
    assert {"Captioner", "CaptionRecord"} <= set(MetaCaptioner.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Captionner'"):
        _ = MetaCaptioner.Captionner  # type: ignore[attr-defined]


# --- the process that works for it, with an engine whose answers are known


@contextmanager
def working(monkeypatch: pytest.MonkeyPatch, hook: Hook, options: StageOptions = SCRIPTED) -> Iterator[Line]:
    """The other end of `worker.work`, run in a thread here, with the router left out."""
    monkeypatch.setattr(worker, "open_engine", lambda *arguments: FakeEngine(hook))
    ours, theirs = socket.socketpair()
    line, end = Line(ours), Line(theirs)

    def run() -> None:
        try:
            asyncio.run(worker.work(end, Setup(options, "natural", True, Path("log")), os.getppid(), lambda: None))
        except UserError as error:
            end.send(Failed(error))

    thread = threading.Thread(target=run)
    thread.start()
    assert isinstance(heard(line), Ready)
    yield line
    line.end()
    thread.join(20)
    assert not thread.is_alive()


def heard(line: Line) -> object:
    """What is said next, but for what has begun."""
    while isinstance(message := line.receive(), Begun):
        pass
    return message


def ask(line: Line, path: Path, index: int = 0) -> None:
    shape = MediaBudget().shape(10**6)
    line.send(Ask(0, index, asked(path, Path("none"), shape)))


def test_a_caption_whose_judge_fails_is_a_caption(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    tried = 0

    def hook(request: Request) -> Completion | None:
        nonlocal tried
        tried += agent_of(request) == "judge"
        return completion("no JSON") if agent_of(request) == "judge" else None

    with working(monkeypatch, hook) as line:
        ask(line, picture)
        done = heard(line)
    assert isinstance(done, Done)
    assert (done.record["status"], done.record["attempts"]) == ("ok", 1)
    assert done.record["caption"]
    assert done.record["score_error"]["kind"] == "bad_verdict"
    assert "scores" not in done.record


def test_an_empty_answer_is_asked_for_again_as_in_a_stage(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    """One agent's and the judge's, once each: the caption is not made again for the judge's sake."""
    had: set[str] = set()

    def hook(request: Request) -> Completion | None:
        name = agent_of(request)
        is_first = name not in had and name in ("judge", "summary")
        had.add(name)
        return completion("") if is_first else None

    with working(monkeypatch, hook) as line:
        ask(line, picture)
        done = heard(line)
    assert isinstance(done, Done)
    assert done.record["attempts"] == 1 + ("summary" in had)
    assert done.record["overall"]


def test_a_dead_engine_ends_all_with_its_reason(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    def hook(request: Request) -> None:
        raise EngineDead("the engine has died; what it printed is in log")

    with working(monkeypatch, hook) as line:
        ask(line, picture)
        failed = heard(line)
    assert isinstance(failed, Failed)
    assert str(failed.error) == "the engine has died; what it printed is in log"


def test_failures_of_most_samples_end_nothing(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    def hook(request: Request) -> None:
        raise SampleError(ErrorKind.ENGINE_ERROR, "no")

    with working(monkeypatch, hook) as line:
        for index in range(300):
            ask(line, picture, index)
        found = [heard(line) for _ in range(300)]
    assert {one.record["error"]["kind"] for one in found if isinstance(one, Done)} == {"engine_error"}
    assert len(found) == 300


def test_what_the_package_has_for_programs_is_listed() -> None:
    assert {"Captioner", "CaptionRecord", "__version__"} <= {*dir(MetaCaptioner)}


# --- real vLLM


@pytest.mark.engine
def test_captions_of_a_model_are_those_of_the_command_line(
    tmp_path: Path,
    random_model: Path,  # noqa: F811
    small: Image.Image,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model of random weights, whose answers depend on every pixel and on the seed, which goes by the sample's id."""
    for name in os.environ.keys() - INHERITED.keys() - {"PYTEST_CURRENT_TEST"}:
        monkeypatch.delenv(name)  # what an engine has set that other tests have loaded in this process
    media = tmp_path / "media"
    rows = picture_rows(media, 2)
    small.save(media / "small.png")
    make_clip(media / "clip.mp4", 8)
    rows += [{"id": 2, "image": "small.png"}, {"id": 3, "video": "clip.mp4"}]
    annotation = write_annotation(tmp_path / "inputs.json", rows)
    plan = write_plan(tmp_path / "plan.jsonl", plan_row(annotation, media, 0, len(rows), task="auto"))
    said = StageOptions(seed=5, in_flight=1, max_output_tokens=12, max_model_len=4096)
    flags = ("--seed", "5", "--in-flight", "1", "--max-output-tokens", "12", "--max-model-len", "4096")
    model = ("--model", random_model, *flags)
    succeed(
        module("captionpipeline", "--plan", plan, "--output-dir", tmp_path / "out", *model),
        {"CUDA_VISIBLE_DEVICES": ""},
    )
    expected = sorted(all_records(tmp_path / "out"), key=lambda record: record["index"])
    log = tmp_path / "log" / "engine.txt"
    paths = [media / (row.get("image") or row["video"]) for row in rows]
    handlers = [*logging.getLogger("metacaptioner").handlers]  # those of tests, if any
    with caplog.at_level(logging.INFO, "metacaptioner"), Captioner(random_model, options=said, log=log) as one:
        leader = service_of(one).process.number
        found = list(one.caption(paths))
        [image] = [*one.caption([paths[0], paths[1], Image.open(paths[2])])][2:]
    assert not is_there(leader)
    for record, whole in zip(found, expected, strict=True):
        assert record["status"] == whole["status"], record
        same = ("caption", "agents", "task", "subdomain", "task_confidence", "prompts", "media_hash", "error")
        assert [record.get(name) for name in same] == [whole.get(name) for name in same]
    assert {record["status"] for record in found} == {"ok"}
    assert image["caption"] == found[2]["caption"]
    assert "vllm" in log.read_text().lower()
    assert any("loading: " in told for told in caplog.messages), "whoever wants to see it sees what a load is at"
    assert logging.getLogger("metacaptioner").handlers == handlers


@pytest.mark.engine
def test_a_model_that_vllm_cannot_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"architectures": ["NoSuchModel"], "model_type": "none"}')
    with pytest.raises(UserError, match=r"cannot be loaded: .*what it printed is in ") as raised:
        Captioner(tmp_path / "model")
    assert "\n" not in str(raised.value)
    log = Path(str(raised.value).rpartition(" ")[2])
    assert "process" in log.read_text()


@pytest.mark.engine
def test_the_example_runs_as_a_script(tmp_path: Path) -> None:
    """One without a main guard, whose cells run one after another."""
    done = subprocess.run(
        [sys.executable, ROOT / "demo" / "api_example.py"],
        cwd=tmp_path,
        env=environment({"CUDA_VISIBLE_DEVICES": ""}),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "A holiday photo shows people" in done.stdout
    assert "media_missing" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_example_runs_as_cells_of_a_notebook(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Each cell by itself, in a running event loop; with the scripted engine."""
    cells = (ROOT / "demo" / "api_example.py").read_text().split("# %%")[1:]
    assert len(cells) > 3
    scripted(monkeypatch)
    run_cells(f"#{cell}" for cell in cells)
    assert "A scripted answer" in capsys.readouterr().out


def test_the_page_is_true(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path, picture: Path) -> None:
    """Its programs run, its table has every field, and no other."""
    parameters = list(inspect.signature(Captioner).parameters)
    make_clip(tmp_path / "lecture.mp4", 8)
    (tmp_path / "street.jpg").write_bytes(picture.read_bytes())
    monkeypatch.chdir(tmp_path)
    scripted(monkeypatch)
    programs = blocks("python")
    assert len(programs) == 2
    run_cells(programs)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["0", "ok"], ["1", "ok"]]
    rows = re.findall(r"^\| (`.+?) \|", section("docs/api.md", "## What comes out"), re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(ALL)
    arguments = re.findall(r"^\| `(\w+)` \|", section("docs/api.md", "## What goes in"), re.MULTILINE)
    assert arguments == parameters


def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every model that is named be answered for by the scripted engine."""
    whole = MetaCaptioner.Captioner.__init__

    def init(self: Captioner, *arguments: Any, **named: Any) -> None:
        options = (named.pop("options", None) or StageOptions()).model_copy(update={"engine": "scripted"})
        said = StageOptions.model_validate(options.model_dump(exclude_defaults=True))
        whole(self, *arguments, options=said, **named)

    monkeypatch.setattr(Captioner, "__init__", init)


def run_cells(cells: Iterable[str]) -> None:
    async def main() -> None:
        names: Row = {"__name__": "__main__", "__file__": str(ROOT / "demo" / "api_example.py")}
        for cell in cells:
            exec(compile(cell, "cell", "exec"), names)

    asyncio.run(main())


def test_agents_ask_several_models(tmp_path: Path, small: Image.Image) -> None:
    agents = [
        {"name": "objects", "prompt": "List them.", "model": "look"},
        {"name": "summary", "role": "summary", "prompt": "Write: {objects}", "requires": ["objects"], "model": "write"},
    ]
    prompts = write_prompts(tmp_path / "prompts", every={"domain": "*", "agents": agents})
    models = {"look": {"model": "A", "engine": "scripted"}, "write": {"model": "B", "engine": "scripted"}}
    given = {"engine": "scripted", "decode_threads": 2, "prompts_dir": prompts}
    with Captioner(options=StageOptions.model_validate({**given, "models": models}), task="Natural") as captioner:
        [record] = captioner.caption([small])
    assert record["models"] == {"look": "scripted", "write": "scripted"}
    assert {name: answer["model"] for name, answer in record["agents"].items()} == {
        "objects": "scripted",
        "summary": "scripted",
    }
    served = {**models, "write": {"model": "B", "serve": {}}}
    with pytest.raises(UserError, match="models: write: serve: this process was not started by metacaptioner"):
        Captioner(options=StageOptions.model_validate({**given, "models": served}), task="Natural")
    with pytest.raises(UserError, match="agent 'summary' asks the model 'write', which"):
        Captioner(options=StageOptions.model_validate({**given, "models": {"look": models["look"]}}), task="Natural")
