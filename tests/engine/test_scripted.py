import asyncio
from pathlib import Path

from MetaCaptioner.engine import Request, Sampling
from MetaCaptioner.engine.scripted import ScriptedEngine
from MetaCaptioner.options import EngineOptions


def test_the_log_names_every_request_and_grows_from_run_to_run(tmp_path: Path) -> None:
    log = tmp_path / "requests"
    for name in ("set/0/summary/0.1", "set/1/summary/1.1"):
        engine = ScriptedEngine(EngineOptions("none", extra={"log": str(log)}))
        asyncio.run(engine.generate(Request(name, "Look.", None, Sampling())))
    assert log.read_text() == "set/0/summary/0.1\nset/1/summary/1.1\n"
