"""The examinee: answers questions from captions, without any, or with the picture before it, and has them marked."""

from collections.abc import Mapping
from typing import Literal

from MetaCaptioner.agents.evaluation_prompts import GRADES, SAME, EvaluationPrompts
from MetaCaptioner.agents.workflow import Agent, Generate, ask
from MetaCaptioner.data.question import Question
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.evaluation.benchmarks import BENCHMARKS, Benchmark, Marked
from MetaCaptioner.records.record import Record

Variant = Literal["captions", "one_prompt", "none", "picture"]
"""What an answer is from: our captions, those of one prompt, nothing at all, the picture itself."""
FROM_CAPTIONS: tuple[Variant, ...] = ("captions", "one_prompt")


class Examinee:
    """Answers questions; what a rule cannot mark, a judge does."""

    def __init__(self, prompts: EvaluationPrompts) -> None:
        self._prompts = prompts

    async def answer(self, question: Question, variant: Variant, captions: str, generate: Generate) -> Record:
        """What a record keeps of the answer to a question: its text, what was taken of it, and its mark from 0 to 1.

        `captions` is the text that an answer from captions has; where it is empty the question is about no picture, and
        the answer is told apart: `used_caption` says so.

        Raises:
            SampleError: `bad_verdict`, or as `ask`.
        """
        benchmark = BENCHMARKS[question.benchmark]
        put = benchmark.asked(question)
        agent, used = self._asked(question, variant, captions)
        texts = {"question": put.text(), "form": self._prompts.forms[benchmark.form(put)], "captions": captions}
        completion = await ask(agent, texts, generate)
        answer = completion.text.strip()
        marked = benchmark.mark(answer, put)
        mark = marked.mark if marked.mark is not None else await self._judged(benchmark, put, marked, generate)
        return {
            "answer": answer,
            "taken": marked.taken,
            "mark": round(mark, 4),
            "judged": marked.mark is None,
            "used_caption": used,
            "truncated": completion.finish_reason == "length",
        }

    def _asked(self, question: Question, variant: Variant, captions: str) -> tuple[Agent, bool]:
        """Who answers, and whether from a caption."""
        if variant in FROM_CAPTIONS and captions:
            return self._prompts.answer, True
        return (self._prompts.look if variant == "picture" and question.shown else self._prompts.guess), False

    async def _judged(self, benchmark: Benchmark, question: Question, marked: Marked, generate: Generate) -> float:
        agent = self._prompts.grade if benchmark.judged == "grade" else self._prompts.same
        truth = " or ".join(question.answers)
        texts: Mapping[str, str] = {"question": question.text(), "truth": truth, "answer": marked.taken}
        verdict = (await ask(agent, texts, generate)).text.strip()
        if benchmark.judged == "grade":
            if verdict not in GRADES:
                raise SampleError(ErrorKind.BAD_VERDICT, f"the judge's answer is no mark: {verdict[:80]!r}")
            return float(verdict)
        return float(verdict == SAME)
