"""Several engines as one."""

import asyncio

import pytest

from MetaCaptioner.engine.base import Completion, Request, Sampling
from MetaCaptioner.engine.by_model import EngineByModel, Part
from tests.helpers import FakeEngine, some_media


def request(model: str) -> Request:
    return Request(f"set/0/{model}/0.1", "What?", None, Sampling(), model=model)


class Slow(FakeEngine):
    """Answers when it is told to, and moves when it is told to."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.tokens = 0
        super().__init__(self._wait)

    async def _wait(self, request: Request) -> None:
        await self.answer.wait()

    def progress(self) -> int:
        return self.tokens


def engine_of(**engines: FakeEngine) -> EngineByModel:
    several = EngineByModel()
    for name, engine in engines.items():
        several.add(name, Part(name, engine, f"model {name}", looks=name != "write"))
    return several


def test_a_request_goes_to_the_model_that_it_names_and_its_answer_tells_which() -> None:
    look, write, default = FakeEngine(), FakeEngine(), FakeEngine()
    several = engine_of(look=look, write=write)
    several.add("", Part("", default, "", looks=True))
    answers = [asyncio.run(several.generate(request(name))) for name in ("look", "write", "")]
    assert [answer.model for answer in answers] == ["model look", "model write", ""]
    assert [len(engine.requests) for engine in (look, write, default)] == [1, 1, 1]


def test_two_names_of_one_model_are_one_engine_that_is_closed_once() -> None:
    class Once(FakeEngine):
        def close(self) -> None:
            assert not self.closed
            super().close()

    one = Once()
    several = engine_of(look=one)
    [part] = several.parts
    several.add("router", part)
    asyncio.run(several.generate(request("router")))
    assert len(several.parts) == 1
    assert several.names_of(part) == {"look", "router"}
    several.close()
    assert one.closed


def test_all_are_closed_whatever_becomes_of_one() -> None:
    class Stuck(FakeEngine):
        def close(self) -> None:
            raise RuntimeError("it is stuck")

    others = FakeEngine(), FakeEngine()
    several = engine_of(look=others[0], write=Stuck(), judge=others[1])
    with pytest.raises(RuntimeError, match="stuck"):
        several.close()
    assert all(engine.closed for engine in others)


def test_sizes_of_media_are_those_of_who_looks_and_the_cache_is_the_smallest() -> None:
    look, write = FakeEngine(), FakeEngine()
    look.pixel_multiple, write.pixel_multiple = 14, 32
    several = engine_of(look=look, write=write)
    assert several.pixel_multiple == 14
    assert several.cache_tokens is None
    look.cache_tokens, write.cache_tokens = 900, 100
    assert several.cache_tokens == 100
    write.media_tokens = lambda media: 7  # type: ignore[method-assign]
    assert several.media_tokens(some_media()) is None


def test_one_that_hangs_is_not_hidden_by_one_that_goes_on() -> None:
    async def seen() -> list[int]:
        look, write = Slow(), Slow()
        several = engine_of(look=look, write=write)
        asked = [asyncio.create_task(several.generate(request(name))) for name in ("look", "write")]
        await asyncio.sleep(0)
        found = [several.progress()]
        for moved in ([look], [look], [write], [look, write]):
            for engine in moved:
                engine.tokens += 1
            found.append(several.progress())
        write.answer.set()
        await asked[1]
        for _ in range(2):  # what has no request cannot hang
            look.tokens += 1
            found.append(several.progress())
        look.answer.set()
        await asked[0]
        return found

    first, *later = asyncio.run(seen())
    assert [number - first for number in later] == [0, 0, 1, 2, 3, 4]


def test_to_stop_waiting_is_told_to_all() -> None:
    engines = FakeEngine(), FakeEngine()
    several = engine_of(look=engines[0], write=engines[1])
    several.stop_waiting()
    assert all(engine.gave_up_waiting for engine in engines)


def test_an_answer_is_as_it_was_but_for_its_model() -> None:
    given = Completion("text", "length", 3, 2, 1, {"a": 1.0}, "because")
    several = engine_of(look=FakeEngine(lambda request: given))
    answer = asyncio.run(several.generate(request("look")))
    assert answer == Completion("text", "length", 3, 2, 1, {"a": 1.0}, "because", "model look")
