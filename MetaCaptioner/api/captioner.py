"""`Captioner`: captions of pictures and clips, in a program or a notebook."""

import itertools
import os
import queue
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from MetaCaptioner.agents.workflow import ClaimsMode
from MetaCaptioner.api.inputs import Asked, Picture, asked, check_inputs
from MetaCaptioner.api.messages import Ask, Done
from MetaCaptioner.api.records import CaptionRecord, of_input
from MetaCaptioner.api.service import Service
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.runner.options import LoopOptions, StageOptions
from MetaCaptioner.utils.common_options import OutsideOption
from MetaCaptioner.utils.options import all_of

_JOIN_SECONDS = 1.0
_SAYS_SOMETHING = frozenset({"max_output_tokens", "in_flight", "decode_threads", "stall_seconds", "max_deaths"})
_OF_RESULT_FILES = frozenset({*all_of(LoopOptions), *all_of(OutsideOption)}) - _SAYS_SOMETHING
"""Options of ranks that work through a plan and write result files."""


class Captioner:
    """Captions pictures and clips with a model that is loaded once.

        with Captioner("Qwen/Qwen2.5-VL-7B-Instruct", score=True) as captioner:
            for record in captioner.caption(["street.jpg", "lecture.mp4", numpy_array, pil_image]):
                print(record.get("caption"))

    The model is loaded as this is made, in a process of its own; what is printed there goes to the file `log`, by
    default a temporary one. `model`, a name or a folder, and `prompts_dir` go before what `options` say, which are
    those of the command line, with its defaults: `StageOptions(seed=1, max_pixels=802816)`. Neither files nor variables
    of options are read. `task` is the domain of all inputs; without it the router finds each one's. With `claims` each
    sentence of a caption is checked ("check", "drop" or "rewrite", as `--claims`). With `score` the judge marks each
    caption. It uses as many GPUs as `tensor_parallel_size` says: the first that it sees.

    Raises:
        UserError: the model cannot be loaded, there is no such domain or prompts folder, an option says nothing here.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        prompts_dir: str | os.PathLike[str] | None = None,
        task: str | None = None,
        claims: ClaimsMode | None = None,
        score: bool = False,
        options: StageOptions | None = None,
        log: str | os.PathLike[str] | None = None,
    ) -> None:
        chosen = _chosen(options, model=model, prompts_dir=prompts_dir, claims=claims)
        self._numbers = itertools.count()
        self._service = Service(chosen, task, score, None if log is None else Path(log))
        self._end = weakref.finalize(self, self._service.end)

    def caption(self, inputs: Iterable[Picture]) -> Iterator[CaptionRecord]:
        """The record of each input, in their order, each as soon as it and those before it are there.

        An input is a path, an image of Pillow or an array (height, width, 3) of 8 bit in RGB. One that cannot be
        captioned, whatever it is, has a record with an error. Inputs are taken in a thread of their own, never more
        ahead than keep the model busy, so that they may go on for ever. What is not asked for any more, as the
        iteration is left, is not captioned; closing the generator leaves it at once.

        Raises:
            TypeError: `inputs` are one input, or cannot be iterated over.
            UserError: the model cannot be kept going, or the Captioner is closed; while iterating.
            Exception: what iterating over `inputs` raises, after the records of those before.
        """
        check_inputs(inputs)
        return _Call(self._service, next(self._numbers)).records(inputs)

    def close(self) -> None:
        """End the process and give its memory back; for who does not use `with`. It can be done twice."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _chosen(options: StageOptions | None, **beside: str | os.PathLike[str] | None) -> StageOptions:
    """The options with what is said beside them.

    Raises:
        BadArguments: one says nothing here.
    """
    given = StageOptions() if options is None else options
    if not isinstance(given, StageOptions):
        raise TypeError(f"options are a StageOptions of MetaCaptioner.runner.options, not {type(given).__name__}")
    if nothing := sorted(given.model_fields_set & _OF_RESULT_FILES):
        raise BadArguments(f"option {nothing[0]} is of runs that write result files, and says nothing to a Captioner")
    said = {name: getattr(given, name) for name in given.model_fields_set & set(all_of(StageOptions))}
    said |= {name: os.fspath(value) for name, value in beside.items() if value is not None}
    return StageOptions.model_validate(said)


class _Ended:
    """The inputs are all taken; what ended them is raised, if that was an error."""

    def __init__(self, count: int, error: BaseException | None) -> None:
        self.count = count
        self.error = error


class _Call:
    """One iteration over inputs and their records.

    A slot is taken before an input is, and given back as its record is handed out: so many are in between at most.
    """

    def __init__(self, service: Service, number: int) -> None:
        self._service = service
        self._number = number
        # No semaphore: a Ctrl-C in the midst of its release may leave its lock held, and who ends the call waiting.
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(service.ready.ahead):
            self._slots.put(None)
        self._answers: queue.SimpleQueue[Done | UserError | _Ended] = queue.SimpleQueue()
        self._asked: dict[int, Asked] = {}
        self._left = threading.Event()

    def records(self, inputs: Iterable[Picture]) -> Iterator[CaptionRecord]:
        """Ask for all in a thread; hand out what comes back, in order."""
        self._service.open_call(self._number, self._answers.put)
        feeder = threading.Thread(target=self._feed, args=(inputs,), name="captioner inputs", daemon=True)
        feeder.start()
        try:
            yield from self._in_order()
        finally:
            self._left.set()
            self._slots.put(None)
            self._service.close_call(self._number)
            feeder.join(_JOIN_SECONDS)  # one that waits for an input for longer ends with that
            for left in self._asked.copy().values():
                _remove(left)

    def _in_order(self) -> Iterator[CaptionRecord]:
        ready: dict[int, CaptionRecord] = {}
        end: _Ended | None = None
        for index in itertools.count():
            while index not in ready and (end is None or index < end.count):
                answer = self._answers.get()
                if isinstance(answer, _Ended):
                    end = answer
                elif isinstance(answer, Done):
                    ready[answer.key[1]] = self._settled(answer)
                else:
                    raise answer
            if index not in ready:
                break
            self._slots.put(None)
            yield ready.pop(index)
        if end is not None and end.error is not None:
            raise end.error

    def _settled(self, done: Done) -> CaptionRecord:
        given = self._asked.pop(done.key[1])
        _remove(given)
        return cast(CaptionRecord, of_input(done.record, given.name))

    def _feed(self, inputs: Iterable[Picture]) -> None:
        """Take one input after the other, and ask for it."""
        count, error = 0, None
        try:
            for given in self._with_slots(inputs):
                spool = self._service.pictures / f"{self._number}-{count}"
                self._asked[count] = asked(given, spool, self._service.ready.shape)
                self._service.ask(Ask(self._number, count, self._asked[count]))
                count += 1
        except BaseException as raised:  # noqa: BLE001 the caller's own, to be raised where the caller is
            error = raised
        self._answers.put(_Ended(count, error))

    def _with_slots(self, inputs: Iterable[Picture]) -> Iterator[Picture]:
        """The inputs, each taken only once there is a slot for it."""
        taken = iter(inputs)
        while True:
            self._slots.get()
            if self._left.is_set():
                return
            try:
                given = next(taken)
            except StopIteration:
                return
            if self._left.is_set():
                return
            yield given


def _remove(given: Asked) -> None:
    if given.spooled is not None:
        given.spooled.unlink(missing_ok=True)
