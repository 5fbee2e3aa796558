import asyncio
import os
import signal
from pathlib import Path

import pytest

from MetaCaptioner.engine.base import Request, Sampling
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.scripted import ScriptedEngine
from MetaCaptioner.errors import BadArguments, EngineDead
from tests.helpers import Runner, small_plan


def scripted(**script: object) -> ScriptedEngine:
    return ScriptedEngine(EngineOptions("none", extra=script))


def request(sample: str = "set/0", agent: str = "objects") -> Request:
    return Request(f"{sample}/{agent}/0.1", "What is there?", None, Sampling())


async def soon(engine: ScriptedEngine, *requests: Request, within: float = 0.5) -> int:
    """How many of the requests are answered in that time."""
    tasks = [asyncio.create_task(engine.generate(one)) for one in requests]
    done, waiting = await asyncio.wait(tasks, timeout=within)
    for task in waiting:
        task.cancel()
    for task in done:
        task.result()
    return len(done)


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [("max_num_seqs=4", "max_num_seqs: Extra inputs"), ("delay=slow", "delay: "), ("crash_on=set/1", "crash_on: ")],
)
def test_an_argument_that_it_does_not_take_is_one_line(
    tmp_path: Path, run: Runner, argument: str, complaint: str
) -> None:
    plan = small_plan(tmp_path, 1)
    outcome = run.caption(plan, tmp_path / "out", "--engine-arg", argument)
    assert outcome.status == 2
    [error] = outcome.errors
    assert error.startswith(f"error: --engine-arg {complaint}")
    assert error.endswith("(the scripted engine takes delay, log, hang_after, crash_on, process)")
    assert run.caption(plan, tmp_path / "out", "--engine-arg", "delay=0.001").status == 0


def test_it_refuses_in_a_known_way() -> None:
    with pytest.raises(BadArguments):
        scripted(delay="slow")


def test_the_log_names_every_request_and_grows_from_run_to_run(tmp_path: Path) -> None:
    for name in ("set/1", "set/2"):
        asyncio.run(soon(scripted(log=str(tmp_path / "log")), request(name), request(name, "summary")))
    lines = [f"{name}/{agent}/0.1" for name in ("set/1", "set/2") for agent in ("objects", "summary")]
    assert (tmp_path / "log").read_text().splitlines() == lines


def test_tokens_come_while_an_answer_is_on_its_way() -> None:
    engine = scripted(delay=30)
    assert asyncio.run(soon(engine, request(), within=0.3)) == 0
    assert engine.progress() >= 2


def test_it_hangs_after_so_many_requests() -> None:
    engine = scripted(hang_after=2)
    assert asyncio.run(soon(engine, request(), request(), request(), request(), within=0.3)) == 2
    assert engine.progress() == 0


def test_a_process_of_its_own_takes_the_engine_with_it() -> None:
    engine = scripted(process=True, delay=30)
    assert engine._process is not None

    async def kill() -> None:
        waiting = asyncio.create_task(engine.generate(request()))
        await asyncio.sleep(0.1)
        os.kill(engine._process.pid, signal.SIGKILL)
        await waiting

    with pytest.raises(EngineDead):
        asyncio.run(kill())
    with pytest.raises(EngineDead):
        asyncio.run(engine.generate(request()))


def test_a_sample_can_kill_the_engines_process() -> None:
    engine = scripted(process=True, crash_on=["set/3"])
    assert asyncio.run(soon(engine, request("set/2"))) == 1
    with pytest.raises(EngineDead):
        asyncio.run(soon(engine, request("set/3")))


def test_closing_ends_the_process() -> None:
    engine = scripted(process=True)
    engine.close()
    assert engine._process is not None
    engine._process.join(timeout=20)
    assert not engine._process.is_alive()
