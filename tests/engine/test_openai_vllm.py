"""Captions by vLLM's own API server: the same as by vLLM in process."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import numpy as np
import pytest

from benchmarks.served_model import served
from MetaCaptioner.engine.base import Completion, Request, Sampling
from MetaCaptioner.engine.openai import OpenAiEngine
from MetaCaptioner.engine.options import EngineOptions, Servers
from MetaCaptioner.engine.server_media import encoded
from MetaCaptioner.engine.server_requests import Dialect, body_of
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media.loader import Media
from tests.helpers import some_media
from tests.pipeline.commands import module, records, succeed
from tests.random_model import ROOT

pytestmark = pytest.mark.engine

DEMO = ROOT / "data" / "demo"
CONTEXT = 4096


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("server") / "log"
    limits = ("--limit-mm-per-prompt", '{"image": 8, "video": 1}')
    with served(DEMO / "model", "demo", log, f"--max-model-len={CONTEXT}", *limits) as address:
        yield address


def demo(folder: Path, *datasets: str) -> Path:
    """A Metafile of some of the demo's datasets."""
    entries = json.loads((DEMO / "Metafile.json").read_text())
    chosen = {name: {**entries[name], "root": str(DEMO / name)} for name in datasets}
    for name, entry in chosen.items():
        entry["annotation"] = str(DEMO / f"{name}.json")
    path = folder / "Metafile.json"
    path.write_text(json.dumps(chosen))
    return path


def run(metafile: Path, output: Path, *more: str) -> str:
    prompts = ("--routes", "--prompts-dir", DEMO / "prompts")
    return succeed(module("run", metafile, "--output", output, *prompts, *more), {"NPROC": "1"})


def test_pictures_and_clips_are_routed_captioned_and_judged_as_in_process(tmp_path: Path, address: str) -> None:
    metafile = demo(tmp_path, "natural_scenes", "code_snippets", "video_clips")
    said = run(metafile, tmp_path / "served", "--engine", "openai", "--model", "demo", "--endpoint", address)
    assert "note:" not in said
    run(metafile, tmp_path / "own", "--model", str(DEMO / "model"))
    told = ("status", "task", "subdomain", "runner_up", "task_confidence", "caption", "agents", "scores", "reason")
    for part in ("Domain", "Caption", "Caption/score"):
        own, others = (
            {
                record["sample_id"]: {name: record.get(name) for name in (*told, "input_tokens", "output_tokens")}
                for record in of
            }
            for of in (records(tmp_path / "own" / part), records(tmp_path / "served" / part))
        )
        assert len(own) == 11
        assert others == own
        assert {record["status"] for record in own.values()} == {"ok"}


def ask(address: str, *requests: Request) -> list[Completion | BaseException]:
    async def answers() -> list[Completion | BaseException]:
        engine = OpenAiEngine(EngineOptions("demo", "openai", servers=Servers((address,))), print)
        return await asyncio.gather(*map(engine.generate, requests), return_exceptions=True)

    return asyncio.run(answers())


def test_an_answer_is_cut_where_the_context_ends_and_a_prompt_that_does_not_fit_is_one_error(address: str) -> None:
    endless = Sampling(max_tokens=10 * CONTEXT, temperature=1.0, seed=3)
    cut, long = ask(
        address,
        Request("cut", "word " * 40, some_media(), endless),
        Request("long", "word " * CONTEXT, some_media(), Sampling(max_tokens=4)),
    )
    assert isinstance(cut, Completion)
    assert 0 < cut.output_tokens <= CONTEXT - cut.input_tokens
    assert isinstance(long, SampleError)
    assert long.kind == "prompt_too_long"
    assert str(CONTEXT) in long.message


def test_tokens_that_the_server_had_are_counted(address: str) -> None:
    request = Request("cached", "What is this? " * 40, some_media(), Sampling(max_tokens=2))
    ask(address, request)
    [again] = ask(address, request)
    assert isinstance(again, Completion)
    assert 0 < again.cached_tokens < again.input_tokens


def test_frames_that_go_as_pictures_stand_in_the_prompt_each_after_its_time(address: str) -> None:
    """As a server is sent them that takes no times of frames."""
    from transformers import AutoTokenizer

    frames = np.zeros((2, 56, 56, 3), np.uint8)
    clip = Media("video", frames, "v", "v", 56, 56, 3.0, 10.0, 30, (0, 25), (0.0, 2.5))
    dialect = Dialect("demo", {"return_token_ids": True}, is_vllm=True, left_out={"media_io_kwargs"})
    body = body_of(Request("frames", "Look.", clip, Sampling(max_tokens=1)), encoded(clip), dialect)
    content = msgspec.json.encode(body)
    headers = {"Content-Type": "application/json"}
    answer = httpx2.post(f"{address}/chat/completions", content=content, headers=headers, timeout=60).json()
    text = AutoTokenizer.from_pretrained(DEMO / "model").decode(answer["prompt_token_ids"])
    frame = "<|vision_start|><|image_pad|>*4<|vision_end|>"
    shown = re.sub(r"(<.image_pad.>)+", lambda found: f"<|image_pad|>*{len(found[0]) // len(found[1])}", text)
    assert f"user\nAt 0.0 s:{frame}At 2.5 s:{frame}Look.<|im_end|>" in shown
