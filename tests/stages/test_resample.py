"""`inferscore --resample N`: what the judge rejects is captioned and judged again."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner import filter as filter_command
from MetaCaptioner import verify
from MetaCaptioner.agents.changed_prompts import resampling
from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.agents.prompts import PROMPTS_FOLDER, load_prompts
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import EngineDead, ErrorKind, SampleError
from MetaCaptioner.export import command as export_command
from MetaCaptioner.metrics.usage import runs_of
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.runtime.heartbeat import Heartbeat
from MetaCaptioner.worklist.best_caption import read_best
from tests.helpers import (
    FakeEngine,
    Row,
    Runner,
    agent_of,
    all_records,
    completion,
    error_kinds,
    names,
    picture_rows,
    plan_row,
    records,
    replace_record,
    sample_of,
    small_plan,
    write_annotation,
    write_plan,
    write_prompts,
)

DIMENSIONS = [one.name for one in SHIPPED]
Marks = Callable[[str, int], int]
"""(sample, number of the round, 0 for the first caption) -> the mark that the judge gives in every dimension."""


def verdict(mark: int, reason: str) -> Completion:
    return completion(json.dumps({"reason": reason, **dict.fromkeys(DIMENSIONS, mark)}))


def round_of(request: Request) -> int:
    return int(agent_of(request).partition("@")[2] or 0)


def judged(marks: Marks) -> FakeEngine:
    """Agents that say who they are in which round, and a judge that marks by `marks`."""

    def hook(request: Request) -> Completion:
        sample, agent, number = sample_of(request), agent_of(request).partition("@")[0], round_of(request)
        if agent == "judge":
            return verdict(marks(sample, number), f"fault {number} of {sample}")
        return completion(f"{agent} of {sample} in round {number}")

    return FakeEngine(hook)


def caption(run: Runner, folder: Path, count: int = 4) -> Path:
    run.caption(small_plan(folder, count), folder / "out", engine=judged(lambda sample, number: 5))
    return folder / "out"


def made_again(out: Path, rounds: int) -> dict[str, Row]:
    return records(out / "score" / "resample" / str(rounds))


def filtered(run: Runner, out: Path, *flags: object) -> tuple[dict[str, Row], dict[str, Row], Row, str]:
    """(kept, rejected, summary, what was said) of the filter."""
    outcome = run.main(filter_command.main, "--data-folder", out, *flags)
    assert outcome.status == 0, outcome.said
    lists = [
        [json.loads(line) for line in (out / "filtered" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("kept", "rejected")
    ]
    assert sum(map(len, lists)) == len(records(out))
    kept, rejected = ({record["sample_id"]: record for record in found} for found in lists)
    return kept, rejected, json.loads((out / "filtered" / "summary.json").read_text()), outcome.said


def by_place(sample: str, number: int) -> int:
    """set/0 is good at once, set/1 after one round, set/2 after two; set/3 gets better but not good, then worse."""
    return {"set/0": [4, 4, 4], "set/1": [1, 4, 4], "set/2": [1, 1, 5], "set/3": [1, 2, 1]}[sample][number]


# --- rounds


def test_a_bound_on_samples_is_one_for_each_stage(tmp_path: Path, run: Runner) -> None:
    """Else a trial would score so many captions and sample none of them again, with status 0."""
    out, engine = caption(run, tmp_path), judged(by_place)
    outcome = run.score(out, "--resample", 2, "--max-samples", 3, engine=engine)
    assert outcome.status == 0
    scored = set(records(out / "score"))  # in the order in which the captions came to an end
    assert len(scored) == 3
    assert set(made_again(out, 2)) == scored - {"set/0"}
    assert run.score(out, "--resample", 2, "--max-samples", 1, engine=engine).status == 0
    assert set(records(out / "score")) == names(4)
    assert set(made_again(out, 2)) == {"set/1", "set/2", "set/3"}


def test_what_is_rejected_is_made_again_until_it_is_good_enough(tmp_path: Path, run: Runner) -> None:
    out, engine = caption(run, tmp_path), judged(by_place)
    before = records(out)
    outcome = run.score(out, "--resample", 2, engine=engine)
    assert outcome.status == 0
    assert records(out) == before
    assert set(records(out / "score")) == names(4)
    found = made_again(out, 2)
    assert set(found) == {"set/1", "set/2", "set/3"}
    assert {name: record["round"] for name, record in found.items()} == {"set/1": 1, "set/2": 2, "set/3": 1}
    assert {name: record["overall"] for name, record in found.items()} == {"set/1": 4, "set/2": 5, "set/3": 2}
    assert found["set/2"]["caption"] == "summary of set/2 in round 2"
    assert [told["overall"] for told in found["set/3"]["rounds"]] == [2, 1]
    tried = {"caption": "summary of set/1 in round 1", "reason": "fault 1 of set/1"}
    assert found["set/1"]["rounds"] == [{"round": 1, "overall": 4.0, "rejected": [], **tried}]
    for name, record in found.items():
        assert record["source"] == {
            "caption_hash": caption_hash(before[name]["caption"]),
            "model": "scripted",
            "prompts": before[name]["prompts"],
            "overall": 1.0,
        }
        assert record["prompts"] == resampling(load_prompts()).digest(("agents", "judge")) != before[name]["prompts"]
        assert record["caption_hash"] == caption_hash(record["caption"])
    assert "resample: 2 of 3 rejected captions are rescued, 3 have better marks than before" in outcome.said


def test_every_agent_is_given_the_reason_of_the_round_before(tmp_path: Path, run: Runner) -> None:
    out, engine = caption(run, tmp_path), judged(by_place)
    run.score(out, "--resample", 2, engine=engine)
    agents = {agent.name for agent in load_prompts().workflows["Natural"].agents}
    for number in (1, 2):
        asked = [r for r in engine.requests if sample_of(r) == "set/2" and round_of(r) == number]
        assert {agent_of(r).partition("@")[0] for r in asked} == {*agents, "judge"}
        for request in asked:
            told = f"fault {number - 1} of set/2" in request.instruction
            assert told == (agent_of(request) != f"judge@{number}")
            if told:
                assert request.sampling.temperature >= load_prompts().resample.temperature
    judged_texts = [r.instruction for r in engine.requests if agent_of(r) == "judge@1" and sample_of(r) == "set/2"]
    assert ["summary of set/2 in round 1" in text for text in judged_texts] == [True]


def test_rounds_have_seeds_of_their_own(tmp_path: Path, run: Runner) -> None:
    out, engine = caption(run, tmp_path), judged(lambda sample, number: 1)
    run.score(out, "--resample", 3, "--seed", 7, engine=engine)
    seeds = [r.sampling.seed for r in engine.requests if agent_of(r).startswith("summary@")]
    assert len(set(seeds)) == len(seeds) == 12
    repeated = judged(lambda sample, number: 1)
    run.score(out, "--resample", 3, "--seed", 7, "--output-dir", tmp_path / "scores", engine=repeated)
    assert Counter(seeds) == Counter(r.sampling.seed for r in repeated.requests if agent_of(r).startswith("summary@"))
    assert set(records(tmp_path / "scores" / "resample" / "3")) == names(4)


def test_the_engine_is_loaded_once_and_only_if_there_is_something_to_do(tmp_path: Path, run: Runner) -> None:
    out, engine = caption(run, tmp_path), judged(by_place)
    outcome = run.score(out, "--resample", 2, engine=engine)
    assert outcome.said.count("loading the") == 1
    assert engine.closed
    said = run.score(out, "--resample", 2, engine_opens=False).said
    assert "rank 0: resample: 3 of 3 samples are done, 0 to do" in said
    said = run.score(out, "--resample", 1, engine_opens=False).said  # they have had more rounds than that
    assert "rank 0: resample: 0 of 0 samples are done, 0 to do" in said
    again = judged(by_place)
    run.score(out, "--resample", 2, "--min-overall", 4.5, engine=again)
    assert again.samples == {"set/0"}


def test_a_round_that_fails_is_a_round(tmp_path: Path, run: Runner) -> None:
    out, engine = caption(run, tmp_path, 2), judged(lambda sample, number: 3 if number == 2 else 1)

    def hook(request: Request) -> Completion:
        if sample_of(request) == "set/0" and agent_of(request) in ("objects@1", "judge@3"):
            raise SampleError(ErrorKind.PROMPT_TOO_LONG, "too long")
        if sample_of(request) == "set/1" and round_of(request):
            return completion("")
        assert engine._hook is not None
        answer = engine._hook(request)
        assert isinstance(answer, Completion)
        return answer

    assert run.score(out, "--resample", 3, "--min-overall", 4, engine=FakeEngine(hook)).status == 0
    found = made_again(out, 3)
    kinds = [told.get("error", {}).get("kind") for told in found["set/0"]["rounds"]]
    assert kinds == ["prompt_too_long", None, "prompt_too_long"]
    assert (found["set/0"]["round"], found["set/0"]["overall"]) == (2, 3)
    assert error_kinds(out / "score" / "resample" / "3") == {"set/1": "empty_output"}
    kept, rejected, *_ = filtered(run, out, "--min-overall", 2)
    assert (set(kept), set(rejected)) == ({"set/0"}, {"set/1"})
    assert rejected["set/1"]["caption"] == records(out)["set/1"]["caption"]


def test_failed_and_unmarked_captions_are_not_made_again(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 3)
    rows[1] = {"id": 1}
    run.caption(small_plan(tmp_path, rows), tmp_path / "out")

    def hook(request: Request) -> Completion:
        return completion("no JSON") if sample_of(request) == "set/0" else verdict(1, "bad")

    run.score(tmp_path / "out", "--resample", 1, engine=FakeEngine(hook))
    assert set(made_again(tmp_path / "out", 1)) == {"set/2"}


# --- going on


def test_more_rounds_go_on_where_the_earlier_ones_ended(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    run.score(out, engine=judged(by_place))
    first = judged(by_place)
    run.score(out, "--resample", 1, engine=first)
    assert {agent_of(r) for r in first.requests} >= {"judge@1"}
    assert all(round_of(r) == 1 for r in first.requests)
    before = made_again(out, 1)
    second = judged(by_place)
    run.score(out, "--resample", 2, engine=second)
    assert second.samples == {"set/2", "set/3"}
    assert all(round_of(r) == 2 for r in second.requests)
    assert any("fault 1 of set/2" in r.instruction for r in second.requests)
    assert made_again(out, 1) == before
    assert set(made_again(out, 2)) == {"set/2", "set/3"}
    assert run.score(out, "--resample", 1, engine_opens=False).status == 0
    kept, rejected, summary, _ = filtered(run, out)
    assert {name: record.get("round") for name, record in kept.items()} == {"set/0": None, "set/1": 1, "set/2": 2}
    assert rejected["set/3"]["round"] == 1
    assert summary["resampled"]["captions"] == 3


def test_deaths_in_the_middle_lose_nothing(tmp_path: Path, run: Runner) -> None:
    out, done, statuses = caption(run, tmp_path, 6), set[str](), [4]
    while statuses[-1] == 4:
        good = judged(lambda sample, number: 1 if number < 2 else 4)
        left = iter(range(8 * len(statuses)))

        def hook(request: Request, left: Iterator[int] = left, answer: Any = good._hook) -> Completion:
            if next(left, None) is None:
                raise EngineDead("the engine has died")
            return answer(request)  # type: ignore[no-any-return]

        dying = FakeEngine(hook)
        statuses.append(run.score(out, "--resample", 2, "--in-flight", 2, engine=dying).status)
        assert done.isdisjoint(sample_of(request) for request in dying.requests if round_of(request))
        done = set(made_again(out, 2))
    assert statuses[-1] == 0
    assert len(statuses) > 4
    assert set(records(out / "score")) == done == names(6)
    kept, _, summary, _ = filtered(run, out)
    assert set(kept) == names(6)
    assert summary["resampled"]["rescued"] == 6


def test_a_caption_that_was_made_anew_makes_the_rest_anew(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    run.score(out, "--resample", 1, engine=judged(by_place))
    replace_record(out, "set/1", caption="Made anew.")
    rejected = filtered(run, out)[1]
    assert (rejected["set/1"]["caption"], rejected["set/1"]["rejected"]) == (
        "Made anew.",
        ["score of an earlier caption"],
    )
    engine = judged(by_place)
    run.score(out, "--resample", 1, engine=engine)
    assert engine.samples == {"set/1"}
    assert made_again(out, 1)["set/1"]["source"]["caption_hash"] == caption_hash("Made anew.")
    assert len(all_records(out / "score" / "resample" / "1")) == 3


def test_what_kills_its_workers_while_it_is_sampled_again_ends_as_a_crash(tmp_path: Path, run: Runner) -> None:
    out, heartbeat = caption(run, tmp_path, 6), Heartbeat()
    run.restarted(heartbeat)
    heartbeat.deaths = heartbeat.begun = 0
    statuses = []
    for _ in range(4):
        good = judged(lambda sample, number: 1 + 3 * number)

        def hook(request: Request, answer: Any = good._hook) -> Completion:
            if sample_of(request) == "set/3" and round_of(request):
                raise EngineDead("the engine has died")
            return answer(request)  # type: ignore[no-any-return]

        statuses.append(run.score(out, "--resample", 1, "--in-flight", 2, engine=FakeEngine(hook)).status)
        heartbeat.deaths += statuses[-1] == 4
    assert statuses == [4, 4, 4, 0]
    assert set(made_again(out, 1)) == names(6)
    assert error_kinds(out / "score" / "resample" / "1") == {"set/3": "engine_crash"}
    assert not error_kinds(out / "score")


def test_a_signal_while_captions_are_scored_ends_the_run_before_any_is_sampled_again(
    tmp_path: Path, run: Runner
) -> None:
    out, bad = caption(run, tmp_path), judged(lambda sample, number: 1)

    def hook(request: Request) -> Completion:
        os.kill(os.getpid(), signal.SIGTERM)
        assert bad._hook is not None
        answer = bad._hook(request)
        assert isinstance(answer, Completion)
        return answer

    engine = FakeEngine(hook)
    assert run.score(out, "--resample", 1, "--in-flight", 1, engine=engine).status == 3
    assert not any(round_of(request) for request in engine.requests)
    assert engine.closed
    assert not (out / "score" / "resample").exists()


def with_failures(run: Runner, folder: Path) -> tuple[Path, Path]:
    """(captions, folder of those sampled again): the score of set/0 has failed, and the only round of set/1."""
    out, bad = caption(run, folder), judged(lambda sample, number: 1)

    def hook(request: Request) -> Completion:
        answer = bad._hook(request) if bad._hook else None
        assert isinstance(answer, Completion)
        failing = (sample_of(request), round_of(request)) in (("set/0", 0), ("set/1", 1))
        return completion("no JSON") if failing and agent_of(request).startswith("judge") else answer

    run.score(out, "--resample", 1, engine=FakeEngine(hook))
    again = out / "score" / "resample" / "1"
    assert (error_kinds(out / "score"), error_kinds(again)) == ({"set/0": "bad_verdict"}, {"set/1": "bad_verdict"})
    return out, again


def test_retrying_errors_does_those_of_both_stages_again(tmp_path: Path, run: Runner) -> None:
    out, again = with_failures(run, tmp_path)
    assert run.score(out, "--resample", 1, engine_opens=False).status == 0
    run.score(out, "--resample", 1, "--retry-errors", engine=judged(by_place))
    assert error_kinds(out / "score") == error_kinds(again) == {}
    assert (set(made_again(out, 1)), made_again(out, 1)["set/1"]["attempts"]) == ({"set/1", "set/2", "set/3"}, 2)


def test_after_a_death_in_the_first_stage_errors_of_the_second_are_still_retried(tmp_path: Path, run: Runner) -> None:
    out, again = with_failures(run, tmp_path)
    heartbeat = Heartbeat()
    run.restarted(heartbeat)
    heartbeat.deaths = heartbeat.begun = 0

    def dies(request: Request) -> Completion:
        raise EngineDead("the engine has died")

    retry = (out, "--resample", 1, "--retry-errors")
    assert run.score(*retry, engine=FakeEngine(dies)).status == 4
    heartbeat.deaths += 1
    assert run.score(*retry, engine=judged(by_place)).status == 0
    assert error_kinds(out / "score") == error_kinds(again) == {}


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_any_number_of_processes_makes_one_record_a_caption(tmp_path: Path, run: Runner, world_size: int) -> None:
    annotation = write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 9))
    rows = [plan_row(annotation, tmp_path / "media", 0, 6, 0), plan_row(annotation, tmp_path / "media", 6, 9, 1)]
    out = tmp_path / "out"
    run.caption(write_plan(tmp_path / "plan.jsonl", *rows), out)
    said = ""
    for rank in range(world_size):
        engine = judged(lambda sample, number: number + 1)
        said += run.score(out, "--resample", 2, "--min-overall", 2, "--min-dim-score", 2, engine=engine,
                          rank=(rank, world_size)).said  # fmt: skip
    assert set(made_again(out, 2)) == names(9)
    assert {record["round"] for record in made_again(out, 2).values()} == {1}
    assert "rescued" in said


# --- what comes after


def test_the_better_caption_is_kept_with_its_lineage_and_the_cost_is_told(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    run.score(out, "--resample", 2, engine=judged(by_place))
    kept, rejected, summary, said = filtered(run, out)
    assert set(kept) == {"set/0", "set/1", "set/2"}
    assert "source" not in kept["set/0"]
    assert kept["set/1"]["caption"] == "summary of set/1 in round 1"
    assert kept["set/1"]["agents"]["objects"]["text"] == "objects of set/1 in round 1"
    assert (kept["set/1"]["overall"], kept["set/1"]["reason"]) == (4, "fault 1 of set/1")
    assert kept["set/1"]["source"]["overall"] == 1
    assert rejected["set/3"]["caption"] == "summary of set/3 in round 1"  # better, though not good enough
    told, run_log = summary["resampled"], runs_of([out / "score" / "resample" / "2"])
    assert (told["captions"], told["rescued"], told["replaced"]) == (3, 2, 3)
    assert told["output_tokens"] == sum(one.output_tokens for one in run_log) > 0
    assert summary["cost"]["stages"]["resample"]["images"] == 3
    assert "sampled again: 3 captions, of which 2 were rescued and 3 replaced by a better one; " in said
    assert f"{told['input_tokens']:,} input and {told['output_tokens']:,} output tokens" in said
    checked = ("--plan", tmp_path / "plan.jsonl", "--data-folder", out, "--scores")
    assert run.main(verify.main, *checked).status == 0
    [path] = (out / "score" / "resample" / "2").glob("Rank*.jsonl")
    first = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(path.read_bytes() + first + b"torn")
    broken = run.main(verify.main, *checked)
    assert broken.status == 1
    assert f"1  captions sampled again twice: {json.loads(first)['sample_id']}" in broken.said
    assert f"1  torn or broken lines: score/resample/2/{path.name}:5" in broken.said


def test_a_new_caption_that_is_worse_is_not_taken(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    run.score(out, "--resample", 2, engine=judged(lambda sample, number: 2 - number % 2))
    _, rejected, summary, _ = filtered(run, out)
    assert {record["caption"] for record in rejected.values()} == {r["caption"] for r in records(out).values()}
    assert all("source" not in record for record in rejected.values())
    assert (summary["resampled"]["rescued"], summary["resampled"]["replaced"]) == (0, 0)


def test_what_the_router_said_goes_on(tmp_path: Path, run: Runner) -> None:
    routed = FakeEngine(lambda r: completion("D2", D=0.9, A=0.1) if agent_of(r) == "router" else None)
    run.caption(small_plan(tmp_path, 1, task="auto"), tmp_path / "out", engine=routed)
    run.score(tmp_path / "out", "--resample", 1, engine=judged(lambda sample, number: 1 + 3 * number))
    first, again = records(tmp_path / "out")["set/0"], made_again(tmp_path / "out", 1)["set/0"]
    told = ("task", "task_source", "task_confidence", "subdomain", "runner_up")
    assert {name: again[name] for name in told} == {name: first[name] for name in told}


def test_without_resampling_the_summary_says_nothing_of_it(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    run.score(out, engine=judged(by_place))
    assert filtered(run, out)[2]["resampled"] is None
    assert not (out / "score" / "resample").exists()


def test_an_export_of_all_takes_the_better_caption(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    run.score(out, "--resample", 2, engine=judged(by_place))
    run.main(export_command.main, "--data-folder", out, "--format", "txt", "--output", tmp_path / "txt", "--all")
    texts = {path.stem: path.read_text() for path in (tmp_path / "txt" / "set").iterdir()}
    assert texts == {
        "0": f"{records(out)['set/0']['caption']}\n",
        "1": "summary of set/1 in round 1\n",
        "2": "summary of set/2 in round 2\n",
        "3": "summary of set/3 in round 1\n",
    }


def test_a_second_pass_takes_the_better_caption(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    prompts = {"domain": "*", "agents": [{"name": "short", "role": "summary", "prompt": "Shorten: {caption}"}]}
    folder = write_prompts(tmp_path / "prompts", every=prompts)
    run.second_pass(out, tmp_path / "short", "--prompts-dir", folder)
    run.score(out, "--resample", 2, engine=judged(by_place))
    engine = FakeEngine()
    run.second_pass(out, tmp_path / "short", "--prompts-dir", folder, engine=engine)
    assert engine.samples == {"set/1", "set/2", "set/3"}
    assert any("Shorten: summary of set/2 in round 2" in r.instruction for r in engine.requests)
    found = records(tmp_path / "short")
    assert set(found) == names(4)
    assert found["set/1"]["source"]["source"]["overall"] == 1


def test_without_thresholds_a_rescued_caption_goes_before_the_rejected_one(tmp_path: Path, run: Runner) -> None:
    """The first caption has the better mean and one mark that is too low; the new one is good enough."""
    out, good = caption(run, tmp_path, 1), judged(lambda sample, number: 4)

    def hook(request: Request) -> Completion | None:
        if agent_of(request) == "judge":
            return completion(json.dumps({"reason": "bad", **dict.fromkeys(DIMENSIONS, 5), "hallucination": 2}))
        return good._hook(request) if good._hook else None  # type: ignore[return-value]

    run.score(out, "--resample", 1, engine=FakeEngine(hook))
    assert (records(out / "score")["set/0"]["overall"], made_again(out, 1)["set/0"]["overall"]) == (4.4, 4)
    assert filtered(run, out)[0]["set/0"]["caption"] == "summary of set/0 in round 1"
    assert [record["caption"] for _, record in read_best(out, out / "score")(0)] == ["summary of set/0 in round 1"]


# --- what cannot be


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--resample", -1), "--resample must be at least 0"),
        (("--resample", 1, "--min-overall", 9), "--min-overall must be from 1 to 5"),
        (("--min-dim-score", 0), "--min-dim-score must be from 1 to 5"),
    ],
)
def test_flags_out_of_range(tmp_path: Path, run: Runner, flags: tuple[object, ...], complaint: str) -> None:
    outcome = run.score(tmp_path / "out", *flags, engine_opens=False)
    assert outcome.status == 2
    assert complaint in outcome.errors[0]


def test_a_second_pass_cannot_be_sampled_again(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    prompts = {"domain": "*", "agents": [{"name": "short", "role": "summary", "prompt": "Shorten: {caption}"}]}
    folder = write_prompts(tmp_path / "prompts", every=prompts)
    outcome = run.score(out, "--prompts-dir", folder, "--resample", 1, engine_opens=False)
    assert outcome.status == 1
    assert "captions cannot be sampled again with the prompts of a second pass" in outcome.errors[0]


def test_captions_of_a_second_pass_are_not_sampled_again_with_the_prompts_of_a_first(
    tmp_path: Path, run: Runner
) -> None:
    out = caption(run, tmp_path)
    run.second_pass(out, tmp_path / "short", "--prompts-dir", PROMPTS_FOLDER / "shorten")
    outcome = run.score(tmp_path / "short", "--resample", 1, engine_opens=False)
    assert outcome.status == 1
    assert "captions of a second pass cannot be sampled again" in outcome.errors[0]


def test_a_domain_without_prompts_is_told_before_anything_is_scored(tmp_path: Path, run: Runner) -> None:
    out = caption(run, tmp_path)
    replace_record(out, "set/1", task="Maps")
    outcome = run.score(out, "--resample", 1, engine_opens=False)
    assert outcome.status == 1
    assert "domain 'Maps' of earlier captions has no prompts here (is --prompts-dir missing?)" in outcome.errors[0]
    assert run.score(out, engine=judged(by_place)).status == 0
