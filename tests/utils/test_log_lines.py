"""The form of every line that is said, on a terminal, in a log file and in another's program."""

import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from MetaCaptioner.utils.cli import complain, note, say
from MetaCaptioner.utils.log_lines import LOGGER, NOTE, speak
from tests.helpers import Runner, plain, small_plan
from tests.pipeline.commands import environment, module, run
from tests.utils.test_json_text import ODD_TEXT

DATED = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
SPEAKS = """
import sys
from MetaCaptioner.utils.cli import complain, note, run_main, say
def main():
    say("one")
    note("two")
    complain("three")
    return 0
run_main(main)
"""


def test_a_line_has_date_time_and_level_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("loading")
    note("look")
    complain("wrong")
    said = capsys.readouterr().err
    assert re.fullmatch(f"{DATED}info: loading\n{DATED}note: look\n{DATED}error: wrong\n", said)


def test_on_a_terminal_the_date_is_left_out() -> None:
    mine, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", SPEAKS], env=environment(), stderr=theirs, check=True)
    os.close(theirs)
    said = os.read(mine, 1000).decode()
    os.close(mine)
    when = r"\d\d:\d\d:\d\d "
    assert re.fullmatch(f"{when}info: one\r\n{when}note: two\r\n{when}error: three\r\n", said)


def test_the_time_is_that_of_the_place() -> None:
    program = "from MetaCaptioner.utils.log_lines import NOTE, line; print(line(NOTE, 'x', 90.0))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment({"TZ": "XXX-3"}), capture_output=True, text=True, check=True
    )
    assert done.stdout == "1970-01-01 03:01:30 note: x\n"


def test_nothing_in_a_line_acts_whoever_says_it() -> None:
    """In a process of its own, for what is said in this one is reported, and a report holds no halves of surrogates."""
    program = (
        "import logging; from MetaCaptioner.utils.cli import say; from MetaCaptioner.utils.log_lines import speak\n"
        "speak()\n"
        "for tell in (say, logging.getLogger('metacaptioner.child').warning):\n"
        f"    tell('file ' + {ODD_TEXT!a} + '\\n2026-11-29 01:04:50 error: forged')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    for said, level in zip(done.stderr.splitlines(keepends=True), ("info", "note"), strict=True):
        assert re.match(f"{DATED}{level}: file ", said)
        assert said.endswith("\\n2026-11-29 01:04:50 error: forged\n")
        assert not [c for c in said[:-1] if ord(c) < 32 or 0x7F <= ord(c) <= 0x9F or "\u202a" <= c <= "\u202e"]


def test_what_looks_like_a_format_is_said_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say("100%s of {x} %(name)s")
    assert capsys.readouterr().err.endswith(" info: 100%s of {x} %(name)s\n")


@pytest.mark.parametrize("length", [10, 3000, 100_000])
def test_each_line_is_one_write(length: int) -> None:
    """So that lines of several processes do not get into each other; each write is a message of this socket."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = SPEAKS.replace('"two"', f'"2" * {length}')
    subprocess.run([sys.executable, "-c", program], env=environment(), stderr=theirs, check=True)
    theirs.close()
    told = [mine.recv(200_000).decode() for _ in range(4)]
    mine.close()
    assert [plain(one) for one in told] == ["one\n", f"note: {'2' * length}\n", "error: three\n", ""]


def test_an_exception_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        LOGGER.exception("it failed")
    first, second, *_, last = capsys.readouterr().err.splitlines()
    assert (plain(first), second, last) == ("error: it failed", "Traceback (most recent call last):", "ValueError: x")


def test_it_is_said_once_whatever_a_library_has_set_up() -> None:
    program = f"import logging; logging.basicConfig(level=0)\n{SPEAKS}"
    done = run([sys.executable, "-c", program])
    assert done.stdout == "one\nnote: two\nerror: three\n"


def test_a_line_that_cannot_be_written_reaches_whoever_says_it() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", SPEAKS], env=environment(), stderr=full, check=False)
    assert done.returncode != 0


# --- in another's program


def test_an_import_sets_nothing_up() -> None:
    program = (
        "import logging, MetaCaptioner.captionpipeline, MetaCaptioner.run\n"
        "logger = logging.getLogger('metacaptioner')\n"
        "print(logger.handlers, logger.level, logger.propagate, logging.getLogger().handlers)\n"
    )
    assert run([sys.executable, "-c", program]).stdout == "[] 0 True []\n"


def test_there_its_settings_decide() -> None:
    program = (
        "import logging, sys\n"
        "from MetaCaptioner.utils.cli import complain, note, say\n"
        "say('a'); note('b')\n"
        "logging.basicConfig(level='INFO', stream=sys.stdout, format='%(levelname)s %(filename)s %(message)s')\n"
        "say('c\\x1b'); note('d'); complain('e')\n"
        "logging.getLogger('metacaptioner').setLevel('ERROR')\n"
        "note('f'); complain('g')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    said = "INFO <string> c\\x1b\nWARNING <string> d\nERROR <string> e\n"
    assert done.stdout == f"{said}ERROR <string> g\n"
    assert done.stderr == "b\n"  # as Python says warnings of which nobody has said how


# --- less


def test_quiet_leaves_notes_and_errors(tmp_path: Path, run: Runner) -> None:
    assert run.caption(small_plan(tmp_path), tmp_path / "out", "--quiet").said == ""
    failed = run.caption(tmp_path / "none", tmp_path / "out", "--quiet")
    assert failed.said.startswith("error: rank 0: plan ")
    assert "0 to do" in run.caption(tmp_path / "plan.jsonl", tmp_path / "out").said


def test_quiet_reaches_the_ranks_of_a_launch_and_helpers(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    flags = ("--plan", plan, "--output-dir", tmp_path / "out", "--engine", "scripted", "--ranks", "2")
    done = run([*module("__main__", "caption"), *flags], {"METACAPTIONER_QUIET": "true", "CUDA_VISIBLE_DEVICES": ""})
    assert (done.returncode, done.stdout) == (0, "")
    assert len([*(tmp_path / "out").glob("Rank*")]) == 1


def test_how_much_is_said_is_no_part_of_how_it_was_made(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 2)
    run.caption(plan, out, "--quiet", "--max-samples", 2)
    assert len([*(out / "runs").glob("config-*.yaml")]) == 1


@pytest.mark.parametrize("least", [NOTE, None])
def test_speak_again_is_not_said_twice(capsys: pytest.CaptureFixture[str], least: int | None) -> None:
    speak()
    if least is not None:
        speak(least)
    say("a")
    note("b")
    assert plain(capsys.readouterr().err) == ("note: b\n" if least else "a\nnote: b\n")
