"""`--claims`: each sentence of a caption is held against the media; what becomes of it and of the caption."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.agents.claims import checking_claims
from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.agents.prompts import PROMPTS_FOLDER, PromptError, load_prompts
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.records.claims import answers, share_supported, told_claims
from tests.helpers import (
    FakeEngine,
    Row,
    Runner,
    agent_of,
    completion,
    error_kinds,
    records,
    small_plan,
    write_prompts,
)

CAPTION = "A cat sits. It flies. A dog runs."
ANSWERS = {"A cat sits.": "supported", "It flies.": "contradicted", "A dog runs.": "not visible"}
LIKELY = {
    "supported": {"supp": 0.6, "s": 0.3, "contr": 0.05, "not ": 0.05},
    "contradicted": {"contradicted": 0.8, "sup": 0.1, "no": 0.1, "": 0.3, "xyz": 0.5},
    "not visible": {"not": 0.9, "c": 0.1},
}


def claim_of(request: Request) -> str | None:
    """The claim that a request asks about."""
    if not agent_of(request).startswith("claims@"):
        return None
    return request.instruction.rpartition("Statement: ")[2]


def answering(
    summary: Callable[[Request], str] = lambda request: CAPTION,
    answers: Mapping[str, str] = ANSWERS,
    **more: Callable[[Request], Completion],
) -> FakeEngine:
    """A model that says this caption, and of each of its sentences what `answers` have of it."""

    def hook(request: Request) -> Completion | None:
        agent, claim = agent_of(request), claim_of(request)
        for name, answer in more.items():
            if agent.startswith(name):
                return answer(request)
        if claim is not None:
            answer = answers.get(claim, "supported")
            return completion(answer, **LIKELY[answer])
        return completion(summary(request)) if agent.startswith("summary") else None

    return FakeEngine(hook)


def captioned(run: Runner, folder: Path, mode: str, engine: FakeEngine, *more: object) -> tuple[Row, FakeEngine]:
    outcome = run.caption(small_plan(folder, 1, task="Natural"), folder / "out", "--claims", mode, *more, engine=engine)
    assert outcome.status == 0, outcome.said
    return records(folder / "out")["set/0"], engine


def test_each_sentence_is_asked_about_and_its_probabilities_are_kept(tmp_path: Path, run: Runner) -> None:
    record, engine = captioned(run, tmp_path, "check", answering())
    assert record["caption"] == record["agents"]["summary"]["text"] == CAPTION
    assert record["claims"] == [
        {"text": "A cat sits.", "answer": "supported", "supported": 0.9, "contradicted": 0.05},
        {"text": "It flies.", "answer": "contradicted", "supported": 0.1, "contradicted": 0.8},
        {"text": "A dog runs.", "answer": "not visible", "supported": 0.0, "contradicted": 0.1},
    ]
    asked = [request for request in engine.requests if claim_of(request)]
    assert len({request.request_id for request in asked}) == 3
    assert all(request.constraint and request.constraint.choices for request in asked)
    assert all(request.media is not None and request.sampling.temperature == 0 for request in asked)


def test_all_claims_of_a_caption_are_asked_with_the_same_words_before_them() -> None:
    """So that media and question are in the engine's prefix cache."""
    prompts = load_prompts()
    opening = " ".join((PROMPTS_FOLDER / "opening.txt").read_text().split())
    assert prompts.claims.agent.prompt.startswith(f"{opening}\n\n")
    assert prompts.claims.agent.prompt.endswith("{claim}")


def test_the_likeliest_answer_counts_where_its_probability_is_split_over_several_tokens(
    tmp_path: Path, run: Runner
) -> None:
    split = {"contradicted": 0.4, "s": 0.2, "su": 0.2, "supp": 0.2}
    engine = answering(claims=lambda request: completion("contradicted", **split))
    record, _ = captioned(run, tmp_path, "check", engine)
    assert [claim["answer"] for claim in record["claims"]] == ["supported"] * 3
    assert record["claims"][0]["supported"] == 0.6


@pytest.mark.parametrize("probabilities", [None, {}, {"q": 0.9}, {"s": float("nan")}])
def test_probabilities_that_are_not_told_are_not_made_up(
    tmp_path: Path, run: Runner, probabilities: dict[str, float] | None
) -> None:
    engine = answering(claims=lambda request: Completion("contradicted", "stop", 10, 0, 5, probabilities))
    record, _ = captioned(run, tmp_path, "check", engine)
    assert record["claims"][0] == {"text": "A cat sits.", "answer": "contradicted"}


def test_a_question_that_fails_costs_its_answer_only(tmp_path: Path, run: Runner) -> None:
    def fails(request: Request) -> Completion:
        claim = claim_of(request)
        if claim == "A cat sits.":
            raise SampleError(ErrorKind.PROMPT_TOO_LONG, "too long")
        return completion("I'm sorry, but I can't help with that." if claim == "It flies." else "maybe")

    record, _ = captioned(run, tmp_path, "drop", answering(claims=fails))
    assert record["status"] == "ok"
    assert record["caption"] == CAPTION
    assert [claim["error"]["kind"] for claim in record["claims"]] == ["prompt_too_long", "refused", "bad_answer"]
    assert answers(record) == {"unanswered": 3}
    assert share_supported(record) is None


def test_sentences_that_are_not_supported_are_dropped_and_stay_recoverable(tmp_path: Path, run: Runner) -> None:
    record, _ = captioned(run, tmp_path, "drop", answering())
    assert record["caption"] == "A cat sits."
    assert record["agents"]["summary"]["text"] == CAPTION
    assert [claim.get("dropped", False) for claim in record["claims"]] == [False, True, True]
    assert not record["truncated"]


def test_a_caption_of_which_nothing_is_left_is_no_success(tmp_path: Path, run: Runner) -> None:
    engine = answering(claims=lambda request: completion("not visible"))
    outcome = run.caption(small_plan(tmp_path, 1, task="Natural"), tmp_path / "out", "--claims", "drop", engine=engine)
    assert outcome.status == 0
    assert error_kinds(tmp_path / "out") == {"set/0": "unsupported"}
    assert records(tmp_path / "out")["set/0"]["attempts"] == 2
    assert len([one for one in engine.requests if agent_of(one) == "summary"]) == 2


def test_the_summary_is_written_again_with_what_is_doubtful(tmp_path: Path, run: Runner) -> None:
    def summary(request: Request) -> str:
        return "A cat sits. A bird flies." if agent_of(request) == "summary@claims" else CAPTION

    record, engine = captioned(run, tmp_path, "rewrite", answering(summary))
    assert record["caption"] == "A cat sits. A bird flies."
    assert record["agents"]["summary"]["text"] == CAPTION
    assert record["agents"]["summary@claims"]["text"] == record["caption"]
    assert [claim["text"] for claim in record["claims"]] == ["A cat sits.", "A bird flies."]
    assert [claim["text"] for claim in record["claims_before"]] == list(ANSWERS)
    first, again = (one.instruction for one in engine.requests if agent_of(one).startswith("summary"))
    assert again.startswith(f"{first}\n\n")  # and so in the prefix cache
    note = again.removeprefix(first)
    assert CAPTION in note
    assert "- It flies. (contradicted, 80%)\n- A dog runs. (not visible, 90%)" in note
    assert "A cat sits. (" not in note


def test_braces_in_a_caption_are_text_when_it_is_written_again(tmp_path: Path, run: Runner) -> None:
    caption = r"The sum \frac{1}{2} {objects} is there. It flies."
    record, engine = captioned(run, tmp_path, "rewrite", answering(lambda request: caption))
    assert record["caption"] == caption
    again = next(one for one in engine.requests if agent_of(one) == "summary@claims")
    assert r"\frac{1}{2} {objects}" in again.instruction


@pytest.mark.parametrize("mode", ["drop", "rewrite"])
def test_a_caption_without_doubts_stays_as_it_is(tmp_path: Path, run: Runner, mode: str) -> None:
    record, _ = captioned(run, tmp_path, mode, answering(answers={}))
    assert record["caption"] == CAPTION
    assert "claims_before" not in record
    assert "summary@claims" not in record["agents"]
    assert not any("dropped" in claim for claim in record["claims"])


def test_a_rewriting_that_fails_is_an_agent_that_fails(tmp_path: Path, run: Runner) -> None:
    engine = answering(**{"summary@claims": lambda request: completion(" ")})
    outcome = run.caption(
        small_plan(tmp_path, 1, task="Natural"), tmp_path / "out", "--claims", "rewrite", engine=engine
    )
    assert outcome.status == 0
    assert error_kinds(tmp_path / "out") == {"set/0": "empty_output"}


def test_without_the_option_nothing_is_asked_and_results_are_those_of_before(tmp_path: Path, run: Runner) -> None:
    engine = answering()
    plan, out = small_plan(tmp_path, 1, task="Natural"), tmp_path / "out"
    assert run.caption(plan, out, engine=engine).status == 0
    record = records(out)["set/0"]
    assert "claims" not in record
    assert not any(name.startswith("claim_") for name in record)
    assert not any(claim_of(one) for one in engine.requests)


def test_results_of_another_mode_or_question_are_of_other_prompts(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 2, task="Natural"), tmp_path / "out"
    assert run.caption(plan, out, engine=answering()).status == 0
    refused = run.caption(plan, out, "--claims", "check", engine_opens=False)
    assert refused.status == 1
    assert "with other prompts" in refused.said
    assert run.caption(plan, out, "--claims", "check", "--redo", engine=answering()).status == 0
    assert run.caption(plan, out, "--claims", "check", engine_opens=False).status == 0
    assert run.caption(plan, out, "--claims", "drop", engine_opens=False).status == 1
    own = write_prompts(tmp_path / "own", claims=claims_file("Is this so? {claim}"))
    assert run.caption(plan, out, "--claims", "check", "--prompts-dir", own, engine_opens=False).status == 1
    assert run.caption(plan, out, "--claims", "check", "--prompts-dir", own, "--keep", engine_opens=False).status == 0


def test_a_mode_is_part_of_the_agents_digest_and_of_no_other() -> None:
    plain = load_prompts()
    modes = [plain, *(checking_claims(plain, mode) for mode in ("check", "drop", "rewrite"))]
    assert len({one.digest(["agents"]) for one in modes}) == 4
    assert len({one.digest(["router", "judge"]) for one in modes}) == 1


def test_a_run_that_is_killed_goes_on_with_whole_records(tmp_path: Path, run: Runner) -> None:
    plan, out, engine = small_plan(tmp_path, 4, task="Natural"), tmp_path / "out", answering()
    assert run.caption(plan, out, "--claims", "check", "--max-samples", 2, engine=engine).status == 0
    again = answering()
    assert run.caption(plan, out, "--claims", "check", engine=again).status == 0
    assert not engine.samples & again.samples
    assert all(len(record["claims"]) == 3 for record in records(out).values())


def claims_file(prompt: str, rewrite: str = "Write again. {claims}", **fields: object) -> Row:
    return {"agent": {"name": "claims", "prompt": prompt, **fields}, "rewrite": rewrite}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (claims_file("Is it so?"), "does not use '{claim}'"),
        (claims_file("{claim} {objects}"), "unknown placeholder '{objects}'"),
        (claims_file("{claim}", sees_media=False), "must see the media"),
        (claims_file("{claim}", schema={"type": "string"}), "leave it out"),
        (claims_file("{claim}", rewrite="Again."), "rewrite: does not use '{claims}'"),
        (claims_file("{claim}", rewrite="{claims} {reason}"), "rewrite: unknown placeholder '{reason}'"),
        (claims_file("{claim}", rewrite="{claims"), "expected '}'"),
        ({"agent": {"name": "claims", "prompt": "{claim}"}}, "rewrite"),
        ({**claims_file("{claim}"), "mode": "drop"}, "mode"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path: Path, content: Row, complaint: str) -> None:
    with pytest.raises(PromptError, match=r"claims\.yaml") as told:
        load_prompts(write_prompts(tmp_path / "own", claims=content))
    assert complaint in str(told.value)


def test_the_whole_caption_may_be_in_the_question(tmp_path: Path, run: Runner) -> None:
    own = write_prompts(tmp_path / "own", claims=claims_file("Of: {caption}\n{subdomain}\nStatement: {claim}"))
    _, engine = captioned(run, tmp_path, "check", answering(), "--prompts-dir", own)
    asked = next(one for one in engine.requests if claim_of(one) == "It flies.")
    assert f"Of: {CAPTION}\nnot known\n" in asked.instruction


def test_a_summary_that_answers_with_a_value_has_no_sentences(tmp_path: Path, run: Runner) -> None:
    natural = {
        "domain": "Natural",
        "description": "Photographs.",
        "agents": [{"name": "facts", "role": "summary", "prompt": "Say.", "schema": {"type": "object"}}],
    }
    own = write_prompts(tmp_path / "own", natural=natural)
    plan = small_plan(tmp_path, 1, task="Natural")
    outcome = run.caption(plan, tmp_path / "out", "--claims", "check", "--prompts-dir", own, engine_opens=False)
    assert outcome.status == 1
    assert "natural.yaml: --claims is for texts, and agent 'facts' has a schema" in outcome.said


def test_a_second_pass_that_looks_at_nothing_looks_for_its_claims(tmp_path: Path, run: Runner) -> None:
    plan, out, short = small_plan(tmp_path, 1, task="Natural"), tmp_path / "out", tmp_path / "short"
    assert run.caption(plan, out, engine=answering()).status == 0
    prompts = ("--prompts-dir", PROMPTS_FOLDER / "shorten")
    engine = answering(lambda request: "A cat flies. It sits.", {"A cat flies.": "contradicted"}, short=short_answer)
    assert run.second_pass(out, short, *prompts, "--claims", "drop", engine=engine).status == 0
    record = records(short)["set/0"]
    assert record["caption"] == "It sits."
    assert all((one.media is not None) == (claim_of(one) is not None) for one in engine.requests)


def short_answer(request: Request) -> Completion:
    return completion("A cat flies. It sits.")


def test_claims_that_somebody_has_edited_are_passed_over() -> None:
    record: dict[str, Any] = {
        "claims": [1, {"text": 2}, {"text": "A.", "answer": "so so"}, {"text": "B.", "answer": "supported"}]
    }
    assert answers(record) == {"unanswered": 1, "supported": 1}
    assert share_supported(record) == 1.0
    assert share_supported({"claims": []}) == 1.0
    assert share_supported({"claims": "none"}) is None
    assert share_supported({}) is None


def test_claims_are_told_with_their_probabilities() -> None:
    told = [
        {"text": "A cat\nsits.", "answer": "supported", "supported": 0.9, "contradicted": 0.05},
        {"text": "It flies.", "answer": "not visible", "supported": 0.1, "contradicted": 0.2},
        {"text": "A dog.", "answer": "contradicted"},
        {"text": "A bird.", "error": {"kind": "refused", "message": "…"}},
    ]
    assert told_claims({"claims": told}).splitlines() == [
        "- A cat sits. (supported, 90%)",
        "- It flies. (not visible, 70%)",
        "- A dog. (contradicted)",
        "- A bird. (unanswered)",
    ]
    assert told_claims({}) == "none was checked"


# --- the judge, the filter, the account


def test_the_judge_is_told_the_claims_where_its_prompt_asks_for_them(tmp_path: Path, run: Runner) -> None:
    judge = {
        "agent": {"name": "judge", "max_tokens": 200, "prompt": "Mark {caption}.\nChecked:\n{claims}"},
        "dimensions": ["truth"],
    }
    own = write_prompts(tmp_path / "own", judge=judge)
    verdict = json.dumps({"reason": "so", "truth": 5})
    engine = answering(judge=lambda request: completion(verdict))
    captioned(run, tmp_path, "check", engine, "--prompts-dir", own, "--score")
    asked = next(one for one in engine.requests if agent_of(one) == "judge")
    assert "Checked:\n- A cat sits. (supported, 90%)\n- It flies. (contradicted, 80%)" in asked.instruction
    other = answering(judge=lambda request: completion(verdict))
    plan = small_plan(tmp_path / "other", 1, task="Natural")
    assert run.caption(plan, tmp_path / "out2", "--prompts-dir", own, "--score", engine=other).status == 0
    assert any(one.instruction.endswith("Checked:\nnone was checked") for one in other.requests)


def test_what_claims_too_much_is_sampled_again_and_checked_again(tmp_path: Path, run: Runner) -> None:
    def summary(request: Request) -> str:
        return "A cat sits. It is black." if "@1" in agent_of(request) else CAPTION

    verdict = json.dumps({"reason": "so", **{one.name: 5 for one in SHIPPED}})
    engine = answering(summary, judge=lambda request: completion(verdict))
    _, engine = captioned(run, tmp_path, "check", engine)
    out, again = tmp_path / "out", ("--resample", 1, "--min-claim", 0.9)
    refused = run.score(out, *again, engine_opens=False)
    assert refused.status == 1
    assert "--min-claim with --resample needs --claims" in refused.said
    outcome = run.score(out, *again, "--claims", "check", engine=engine)
    assert outcome.status == 0, outcome.said
    assert "1 of 1 rejected captions are rescued" in outcome.said
    made = records(out / "score" / "resample" / "1")["set/0"]
    assert made["caption"] == "A cat sits. It is black."
    assert answers(made) == {"supported": 2}
