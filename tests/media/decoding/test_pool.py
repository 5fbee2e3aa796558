"""Decoding in helpers: what they may take, what their deaths cost, what they can reach, and that none is left."""

import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import DecodeError, ErrorKind, SampleError
from MetaCaptioner.media.decoding import pool
from MetaCaptioner.media.decoding import process as decoding_process
from MetaCaptioner.media.decoding.memory_budget import Memory
from MetaCaptioner.media.decoding.messages import END, ORDER, Facts, FromHelper, Misfit, Need, Ready, Refused, Shown
from MetaCaptioner.media.loader import Media, MediaBudget, load_media
from tests import hostile
from tests.helpers import make_clip, small_plan
from tests.pictures import tiff
from tests.pipeline.commands import environment, module

BUDGET = MediaBudget()
GIB = 2**30


@pytest.fixture(autouse=True)
def _no_helper_is_left() -> Iterator[None]:
    yield
    pool.end_helpers()
    assert not hostile.helpers()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (56, 84), (255, 0, 0)).save(path)
    return path


def load(path: Path, budget: MediaBudget = BUDGET) -> Media:
    modality = "video" if path.suffix == ".mp4" else "image"
    return load_media(Sample("set", 0, path.parent, path.name, modality), budget)  # type: ignore[arg-type]


def refused(path: Path, budget: MediaBudget = BUDGET) -> SampleError:
    with pytest.raises(SampleError) as raised:
        load(path, budget)
    assert "\n" not in raised.value.message
    assert str(path) in raised.value.message
    return raised.value


def is_red(media: Media) -> bool:
    return bool(np.asarray(media.data).reshape(-1, 3)[0].tolist() == [255, 0, 0])


def idle_helper() -> psutil.Process:
    [_, helper] = hostile.helpers()
    return helper


# --- time


def test_a_jpeg_of_thousands_of_empty_scans_is_an_error_at_once(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "scans.jpg").write_bytes(hostile.jpeg_of_many_scans(2000))
    load(picture)
    begin = hostile.processor_seconds()
    error = refused(tmp_path / "scans.jpg")
    assert hostile.processor_seconds() - begin < 1
    assert error.kind == "media_corrupt"
    assert "scans" in error.message


@pytest.mark.parametrize("name", ["large.png", "long.mp4"])
def test_what_takes_too_much_processor_time_costs_one_sample(tmp_path: Path, picture: Path, name: str) -> None:
    if name.endswith("png"):
        Image.effect_noise((3000, 3000), 50).save(tmp_path / name, compress_level=1)
    else:
        make_clip(tmp_path / name, 100, size=(640, 480))
    error = refused(tmp_path / name, replace(BUDGET, decode_seconds=0.005))
    assert error.kind == "media_too_slow"
    assert is_red(load(picture))
    load(tmp_path / name)


def in_thread(path: Path) -> "Future[Media]":
    thread = ThreadPoolExecutor(1)
    try:
        return thread.submit(load, path)
    finally:
        thread.shutdown(wait=False)


def test_a_helper_that_does_nothing_is_killed(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(picture)
    stopped = idle_helper()
    stopped.suspend()
    monkeypatch.setattr(decoding_process, "_MARGIN_SECONDS", 0.1)
    error = refused(picture, replace(BUDGET, decode_seconds=0.1))
    assert (error.kind, "--decode-seconds" in error.message) == ("media_too_slow", True)
    assert not stopped.is_running()
    assert is_red(load(picture))


# --- deaths


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (signal.SIGSEGV, "media_corrupt", "the decoder crashed (SIGSEGV)"),
        (signal.SIGABRT, "media_corrupt", "the decoder crashed (SIGABRT)"),
        (signal.SIGKILL, "media_too_large", "memory used up?"),
    ],
)
def test_a_helper_that_dies_costs_one_sample(picture: Path, number: signal.Signals, kind: str, reason: str) -> None:
    load(picture)
    helper = idle_helper()
    helper.suspend()
    waiting = in_thread(picture)
    time.sleep(0.2)
    helper.send_signal(number)
    with suppress(psutil.NoSuchProcess):  # SIGKILL does not wait until then
        helper.resume()
    error = waiting.exception(timeout=30)
    assert isinstance(error, SampleError)
    assert (error.kind, reason in error.message) == (kind, True)
    [server, *_] = hostile.helpers()
    assert is_red(load(picture))
    assert hostile.helpers()[0] == server


def test_the_death_of_the_fork_server_costs_no_sample(picture: Path) -> None:
    load(picture)
    server, helper = hostile.helpers()
    helper.suspend()
    waiting = in_thread(picture)
    time.sleep(0.2)
    server.kill()
    assert is_red(waiting.result(timeout=30))
    assert not {server, helper} & set(hostile.helpers())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_to_all_processes_of_a_rank_ends_no_helper(picture: Path, number: signal.Signals) -> None:
    """Ctrl-C and SLURM reach them too; what is in flight must still be finished."""
    load(picture)
    before = hostile.helpers()
    for process in before:
        process.send_signal(number)
    assert is_red(load(picture))
    assert hostile.helpers() == before


@pytest.mark.parametrize("ending", ["sys.exit()", "os.kill(os.getpid(), 9)", "os.abort()", "1 / 0"])
def test_no_helper_outlives_its_rank(picture: Path, ending: str) -> None:
    script = (
        "import os, sys; from pathlib import Path; from MetaCaptioner.media.loader import MediaBudget, load_media\n"
        "from MetaCaptioner.data.sample import Sample; from tests import hostile\n"
        f"load_media(Sample('set', 0, Path({str(picture.parent)!r}), 'a.png', 'image'), MediaBudget())\n"
        f"print(*[process.pid for process in hostile.helpers()], flush=True)\n{ending}\n"
    )
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
    numbers = [int(number) for number in ended.stdout.split()]
    assert len(numbers) == 2
    deadline = time.monotonic() + 10
    while any(alive(number) for number in numbers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_fork_server_whose_rank_never_reads_its_answer_ends_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """As where the rank is killed in that moment."""
    server = decoding_process.ForkServer()
    server._orders.sendall(ORDER.pack(END, 0))
    assert select.select([server._orders], [], [], 30)[0]
    server._orders.close()
    assert server._process.wait(30) == 0
    assert capfd.readouterr().err == ""


def test_helpers_that_were_ended_are_followed_by_others(picture: Path) -> None:
    for _ in range(3):
        assert is_red(load(picture))
        pool.end_helpers()
        assert not hostile.helpers()


def test_to_end_the_helpers_ends_what_they_are_at(picture: Path) -> None:
    load(picture)
    idle_helper().suspend()
    waiting = in_thread(picture)
    time.sleep(0.2)
    begin = time.monotonic()
    pool.end_helpers()
    assert waiting.exception(timeout=30) is not None
    assert time.monotonic() - begin < 5
    assert not hostile.helpers()


def test_a_signal_ends_a_rank_whose_decoders_hang(tmp_path: Path) -> None:
    """Within its grace time, and with all that it started."""
    plan = small_plan(tmp_path, 40)
    flags = ("--engine-arg", "delay=0.05", "--in-flight", "1", "--grace-seconds", "1", "--model", "x")
    rank = subprocess.Popen(
        [str(word) for word in module("captionpipeline", "--plan", plan, "--output-dir", tmp_path / "out", *flags)]
        + ["--engine", "scripted", "--decode-threads", "2"],
        env=environment(),
    )
    try:
        decoders = wait_for(lambda: hostile.helpers()[1:])
        wait_for(lambda: [*(tmp_path / "out").glob("Rank*.jsonl")])
        for decoder in decoders:
            decoder.suspend()
        time.sleep(0.5)
        rank.terminate()
        assert rank.wait(timeout=30) == 3
        assert not [decoder for decoder in decoders if alive(decoder.pid)]
    finally:
        rank.kill()
        rank.wait()


def wait_for(look: Callable[[], list[Any]]) -> list[Any]:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


# --- memory


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, name: str) -> None:
    """Both are below the most pixels of a source, and took over 5 GB."""
    content = (
        hostile.webp_of_one_colour(15000) if name == "a.webp" else hostile.png_of_one_colour(16000, 15000, rows=100)
    )
    (tmp_path / name).write_bytes(content)
    assert len(content) < 1_100_000
    budget = replace(BUDGET, decode_memory=GIB)
    errors: list[SampleError] = []
    assert hostile.peak_of_helpers(lambda: errors.append(refused(tmp_path / name, budget))) < GIB // 4
    assert errors[0].kind == "media_too_large"
    assert "over the 1.0 GiB of --decode-memory" in errors[0].message


def test_large_pictures_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(hostile.png_of_one_colour(4000, 4000))
    budget = replace(BUDGET, decode_memory=240_000_000)

    def load_all() -> None:
        with ThreadPoolExecutor(4) as threads:
            assert len(list(threads.map(lambda _: load(path, budget), range(4)))) == 4

    assert hostile.peak_of_helpers(load_all) < budget.decode_memory + 4 * 2**26


def test_a_file_that_takes_more_than_its_size_lets_expect_is_an_error(tmp_path: Path, picture: Path) -> None:
    """A TIFF of 32x32 pixels whose only tile is of 30000x30000."""
    content = bytearray(tiff(np.zeros((32, 32, 3), np.uint8), tile=(16, 16), compression="lzw", photometric="rgb"))
    for tag in (322, 323):  # width and height of a tile
        place = content.index(struct.pack("<HHI", tag, 4, 1)) + 8
        content[place : place + 4] = struct.pack("<I", 30000)
    (tmp_path / "a.tif").write_bytes(content)
    load(picture)
    errors: list[SampleError] = []
    assert hostile.peak_of_helpers(lambda: errors.append(refused(tmp_path / "a.tif"))) < 2**28
    assert errors[0].kind in ("media_too_large", "media_corrupt")
    assert is_red(load(picture))


def test_memory_goes_to_who_came_first_and_never_over_the_limit() -> None:
    memory = Memory()
    memory.take("a", 6, 10)
    order: list[str] = []

    def take(job: str, wanted: int) -> None:
        memory.take(job, wanted, 10)
        order.append(job)

    threads = []
    for job, wanted in (("b", 8), ("c", 2)):
        threads.append(threading.Thread(target=take, args=(job, wanted)))
        threads[-1].start()
        time.sleep(0.1)
    assert order == []
    memory.give_back("a")
    for thread in threads:
        thread.join(10)
    assert sorted(order) == ["b", "c"]
    with pytest.raises(DecodeError, match="--decode-memory"):
        memory.take("d", 11, 10)


def test_who_asks_for_more_gives_back_what_it_holds() -> None:
    """Or two that hold something would wait for each other for ever."""
    memory = Memory()
    memory.take("a", 5, 10)
    memory.take("b", 5, 10)
    both = [threading.Thread(target=memory.take, args=(job, 8, 10)) for job in "ab"]
    for thread in both:
        thread.start()
    time.sleep(0.1)
    memory.give_back("a")
    memory.give_back("b")
    for thread in both:
        thread.join(0.5)
    memory.give_back("a")
    memory.give_back("b")
    for thread in both:
        thread.join(10)
        assert not thread.is_alive()


# --- what they say


def messages_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, int]]:
    """What a helper says while it decodes, each with the bytes of memory that are held for it then."""
    found: list[tuple[object, int]] = []
    load(path)
    hear = decoding_process.receive

    def receive(connection: socket.socket) -> FromHelper:
        message = hear(connection)
        found.append((message, sum(pool._helpers._memory._held.values())))
        return message

    monkeypatch.setattr(decoding_process, "receive", receive)
    load(path)
    return found


def test_a_usual_picture_takes_one_turn_and_memory_is_held_for_it(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(shown, held)] = messages_of(picture, monkeypatch)
    assert isinstance(shown, Shown)
    assert held == 2**25


def test_a_large_picture_asks_for_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(hostile.png_of_one_colour(4000, 4000))
    (need, before), (shown, held) = messages_of(tmp_path / "a.png", monkeypatch)
    assert isinstance(need, Need)
    assert isinstance(shown, Shown)
    assert held == need.memory > 4000 * 4000 * 4 > before == 2**25


@pytest.mark.parametrize(
    "lie",
    [
        Shown(84, 56, 1, "hash", (56, 84)),  # of another size than it should have
        Shown(56, 84, 2, "hash", (56, 84)),
        Shown(56, 84, 1, "hash", (1, 1000)),  # of a shape that is refused
        Shown(56, 84, 1, "hash", (0, 0)),
        Misfit(56, 84),
        Misfit(0, 0),
        Facts(b"", 1.0, 56, 84),
        Ready(()),
    ],
)
def test_a_helper_that_lies_is_ended(picture: Path, monkeypatch: pytest.MonkeyPatch, lie: FromHelper) -> None:
    load(picture)
    liar = idle_helper()
    with monkeypatch.context() as patched:
        patched.setattr(decoding_process, "receive", lambda _: lie)
        error = refused(picture)
    assert (error.kind, "led astray" in error.message) == ("media_corrupt", True)
    assert not liar.is_running()
    assert is_red(load(picture))


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("unexpected", ErrorKind.UNEXPECTED),
        ("media_too_large", ErrorKind.MEDIA_TOO_LARGE),
        ("media_missing", ErrorKind.MEDIA_CORRUPT),  # of which a helper knows nothing
        ("no_media", ErrorKind.MEDIA_CORRUPT),
        ("\x1b[2J", ErrorKind.MEDIA_CORRUPT),
    ],
)
def test_a_helper_may_name_few_kinds_of_errors(
    picture: Path, monkeypatch: pytest.MonkeyPatch, told: str, kind: ErrorKind
) -> None:
    load(picture)
    with monkeypatch.context() as patched:
        patched.setattr(decoding_process, "receive", lambda _: Refused(told, "it is", retires=True))
        error = refused(picture)
    assert error.kind is kind
    assert error.message.endswith("it is")


# --- what they can reach


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5)")
def test_a_helper_is_shut_in_and_has_nothing_open_but_what_it_speaks_through(picture: Path) -> None:
    load(picture)
    helper = idle_helper()
    status = Path(f"/proc/{helper.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    open_ones = [str(entry.readlink()) for entry in Path(f"/proc/{helper.pid}/fd").iterdir()]
    kinds = sorted(name.partition(":")[0].replace(str(helper.pid), "N") for name in open_ones)
    assert kinds == ["/dev/null", "/dev/null", "/dev/null", "/dev/null", "/memfd", "/memfd", "/proc/N/statm", "socket"]


def test_helpers_load_no_model_libraries(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what vLLM has the processes of a model on processors preload."""
    library = Path(find_spec("torch").origin).parent / "lib" / "libgomp.so.1"  # type: ignore[union-attr, arg-type]
    monkeypatch.setenv("LD_PRELOAD", str(library))
    pool.end_helpers()
    load(picture)
    server, helper = hostile.helpers()
    libraries = Path(f"/proc/{server.pid}/maps").read_text() if sys.platform == "linux" else ""
    assert "torch" not in libraries
    assert helper.parent() == server


def test_a_clip_and_its_hash_are_those_of_the_file(tmp_path: Path) -> None:
    media = load(make_clip(tmp_path / "a.mp4", 10))
    assert np.asarray(media.data).shape[0] == 4
    assert media.content_hash == Sample("set", 0, tmp_path, "a.mp4", "video").source.hash()
