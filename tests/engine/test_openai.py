"""Captions by servers that speak the OpenAI API, also by such as fail."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from MetaCaptioner.engine import server_pool
from MetaCaptioner.export.routed import Route
from MetaCaptioner.metrics.usage import cost_of, runs_of
from MetaCaptioner.records.claims import ANSWERS
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.utils.options_sources import read
from tests.helpers import Runner, error_kinds, names, records, small_plan
from tests.openai_server import FAULTS, OpenAiServer, Status, flags, serving, wait_for

KEY = "sk-not-to-be-seen-anywhere-7f3a"


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with serving() as running:
        yield running


@pytest.mark.parametrize("fault", FAULTS)
def test_twenty_faults_of_a_kind_lose_no_request_and_cost_no_attempt(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    # Faults come by number here and not by time: met one by one, each would double the pause before the next.
    monkeypatch.setattr(server_pool, "_LONGEST_PAUSE_SECONDS", 1.0)
    plan = small_plan(tmp_path, 40)
    with serving(*[fault] * 20) as server:
        seconds = 3 if fault == "hang" else 60  # on a busy machine three may pass without a fault
        outcome = run.caption(plan, tmp_path / "out", *flags([server]), "--request-seconds", seconds)
        assert outcome.status == 0, outcome.said
        assert server.failed == 20
    found = records(tmp_path / "out")
    assert found.keys() == names(40)
    assert {record["status"] for record in found.values()} == {"ok"}
    assert {record["attempts"] for record in found.values()} == {1}
    agents = sum(len(record["agents"]) for record in found.values())
    late = server.answered - (agents + 1)  # and the check before work begins
    assert late >= 0 if fault == "hang" else late == 0
    assert {record["input_tokens"] for record in found.values()} == {100 * agents // 40}
    assert {record["cached_tokens"] for record in found.values()} == {60 * agents // 40}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status(400, "This model's maximum context length is 4096 tokens. However …"), "prompt_too_long"),
        (Status(400, "too long", code="context_length_exceeded"), "prompt_too_long"),
        (Status(400, "At most 0 image(s) may be provided in one prompt."), "unsupported_media"),
        (Status(400, "the seed must be smaller"), "engine_error"),
        (Status(403, "your input was flagged"), "engine_error"),
        (Status(413, "too large"), "engine_error"),
    ],
)
def test_what_a_server_refuses_is_one_record(
    tmp_path: Path, run: Runner, server: OpenAiServer, status: Status, kind: str
) -> None:
    server.always = status
    assert run.caption(small_plan(tmp_path, 2), tmp_path / "out", *flags([server])).status == 0
    assert [*error_kinds(tmp_path / "out").values()] == [kind] * 2
    for failed in records(tmp_path / "out").values():
        assert status.message[:20] in failed["error"]["message"]
        assert failed["attempts"] == 1


def test_a_request_that_breaks_the_server_each_time_is_one_record(
    tmp_path: Path, run: Runner, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_pool, "_LONGEST_PAUSE_SECONDS", 0.01)
    server.always = Status(500, "out of luck")
    assert run.caption(small_plan(tmp_path, 1), tmp_path / "out", *flags([server])).status == 0
    assert [*error_kinds(tmp_path / "out").values()] == ["engine_error"]
    [failed] = records(tmp_path / "out").values()
    assert failed["error"]["message"].endswith("sent 8 times: the server failed (500: out of luck)")


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        (Status(401, "no"), "refuses the key"),
        (Status(404, "no such model"), "has no such model"),
        (Status(402, "pay"), "wants to be paid"),
        (Status(429, "pay", code="insufficient_quota"), "wants to be paid"),
        (Status(307, headers={"location": "http://elsewhere.invalid/"}), "is elsewhere: it points to http://elsewhere"),
    ],
)
def test_what_every_request_would_be_refused_for_ends_the_run(
    tmp_path: Path, run: Runner, server: OpenAiServer, status: Status, complaint: str
) -> None:
    plan = small_plan(tmp_path, 6)
    server.always = status
    outcome = run.caption(plan, tmp_path / "out", *flags([server]))
    assert outcome.status == 1
    [error] = outcome.errors
    assert complaint in error
    assert error.endswith("run the same command again")
    assert not error_kinds(tmp_path / "out")
    server.always = None
    assert run.caption(plan, tmp_path / "out", *flags([server])).status == 0
    assert records(tmp_path / "out").keys() == names(6)


def test_two_servers_share_the_work_and_one_that_is_down_loses_nothing(tmp_path: Path, run: Runner) -> None:
    with serving(delay=0.05) as one, serving(delay=0.05) as other:
        threading.Thread(target=lambda: (wait_for(lambda: other.answered > 20), other.stop())).start()
        outcome = run.caption(small_plan(tmp_path, 60), tmp_path / "out", *flags([one, other]), "--in-flight", 16)
        assert outcome.status == 0, outcome.said
        assert 20 < other.answered < one.answered
        other.start(other.port)
    assert len(records(tmp_path / "out")) == 60
    assert not error_kinds(tmp_path / "out")


def test_all_requests_of_a_sample_go_to_one_server(tmp_path: Path, run: Runner) -> None:
    with serving(delay=0.02) as one, serving(delay=0.02) as other:
        assert run.caption(small_plan(tmp_path, 20), tmp_path / "out", *flags([one, other])).status == 0
        seen = [{str(body["messages"][1]["content"][0]) for body in server.bodies[1:]} for server in (one, other)]
    assert all(seen)
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("forgets", [False, True])
def test_a_picture_that_the_server_has_goes_by_its_name_and_again_if_it_has_forgotten_it(
    tmp_path: Path, run: Runner, server: OpenAiServer, forgets: bool
) -> None:
    server.forgets_pictures = forgets
    assert run.caption(small_plan(tmp_path, 3), tmp_path / "out", *flags([server])).status == 0
    assert not error_kinds(tmp_path / "out")
    pictures = [body["messages"][1]["content"][0] for body in server.bodies[1:]]
    named = [part for part in pictures if part["image_url"] is None]
    assert named
    assert {part["uuid"] for part in named} <= {part["uuid"] for part in pictures if part["image_url"]}
    agents = sum(len(record["agents"]) for record in records(tmp_path / "out").values())
    assert len(pictures) == agents + len(named) * forgets


def test_a_server_is_given_what_it_bears(tmp_path: Path, run: Runner, server: OpenAiServer) -> None:
    """One that has four places is asked little more than that on average, and loses nothing."""
    server.most_at_a_time, server.delay = 4, 0.02
    outcome = run.caption(small_plan(tmp_path, 60), tmp_path / "out", *flags([server]), "--in-flight", 60)
    assert outcome.status == 0, outcome.said
    assert not error_kinds(tmp_path / "out")
    assert server.failed < server.answered


def test_a_connection_is_used_again_and_no_more_are_made_than_are_used_at_a_time(
    tmp_path: Path, run: Runner, server: OpenAiServer
) -> None:
    server.delay = 0.02
    assert run.caption(small_plan(tmp_path, 30), tmp_path / "out", *flags([server]), "--in-flight", 2).status == 0
    agents = max(len(record["agents"]) for record in records(tmp_path / "out").values())
    assert len(server.connections) <= 2 * agents + 1  # and the check's
    assert server.answered > 10 * len(server.connections)


def test_a_server_that_bears_more_is_given_more(tmp_path: Path, run: Runner, server: OpenAiServer) -> None:
    server.delay = 0.3
    assert run.caption(small_plan(tmp_path, 120), tmp_path / "out", *flags([server])).status == 0
    assert server.most_seen > 32


def test_an_outage_is_one_line_and_the_run_goes_on_later(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, 30)
    with serving(delay=0.05) as server:
        threading.Thread(target=lambda: (wait_for(lambda: server.answered > 10), server.stop())).start()
        outcome = run.caption(plan, tmp_path / "out", *flags([server]), "--in-flight", 4, "--outage-seconds", 2)
        assert outcome.status == 1
        [error] = outcome.errors
        assert "no endpoint has answered for 2 s (--outage-seconds)" in error
        assert "run the same command again" in error
        assert not error_kinds(tmp_path / "out")
        server.start(server.port)
        assert run.caption(plan, tmp_path / "out", *flags([server])).status == 0
    assert records(tmp_path / "out").keys() == names(30)


def test_a_signal_to_stop_ends_waiting_for_a_server_at_once(tmp_path: Path, run: Runner) -> None:
    def stop() -> None:
        wait_for(lambda: server.failed > 0)
        os.kill(os.getpid(), signal.SIGTERM)

    with serving(*[Status(429, headers={"retry-after": "500"})] * 100) as server:
        threading.Thread(target=stop).start()
        outcome = run.caption(small_plan(tmp_path, 4), tmp_path / "out", *flags([server]), "--grace-seconds", 300)
    assert outcome.status == 3, outcome.said
    assert not records(tmp_path / "out")


def test_other_servers_get_choices_and_schemas_in_the_common_form(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, 4)
    with serving(is_vllm=False) as server:
        assert run.route(plan, tmp_path / "routes", *flags([server])).status == 0
        assert run.caption(plan, tmp_path / "out", *flags([server])).status == 0
        assert run.score(tmp_path / "out", *flags([server])).status == 0
        assert all("structured_outputs" not in body and "top_k" not in body for body in server.bodies)
        assert sum("response_format" in body for body in server.bodies) == 8
    routes = records(tmp_path / "routes").values()
    assert all(0.85 < record["task_confidence"] <= 0.95 for record in routes)
    assert {record["status"] for record in records(tmp_path / "out" / "score").values()} == {"ok"}


def test_a_confidence_that_no_server_tells_is_not_there(tmp_path: Path, run: Runner, server: OpenAiServer) -> None:
    server.tells_logprobs = False
    assert run.route(small_plan(tmp_path, 3), tmp_path / "out", *flags([server])).status == 0
    told = ("status", "task_confidence", "runner_up")
    found = {tuple(record[name] for name in told) for record in records(tmp_path / "out").values()}
    assert found == {("ok", None, None)}
    route = Route(None, "Natural", "Animal and Plants", None)
    assert not route.is_sure(0.01)
    assert route.is_sure(0.0)


@pytest.mark.parametrize("is_vllm", [True, False])
def test_claims_have_the_probabilities_that_a_server_tells(tmp_path: Path, run: Runner, is_vllm: bool) -> None:
    plan = small_plan(tmp_path, 3, task="Natural")
    for tells in (True, False):
        with serving(is_vllm=is_vllm) as server:
            server.tells_logprobs = tells
            out = tmp_path / f"out {tells}"
            assert run.caption(plan, out, "--claims", "check", *flags([server])).status == 0
        claims = [claim for record in records(out).values() for claim in record["claims"]]
        assert len(claims) == 3
        told = {"supported", "contradicted"} if tells else set()
        assert all(set(claim) == {"text", "answer", *told} for claim in claims)
        assert all(claim["answer"] in ANSWERS for claim in claims)


def test_what_a_server_does_not_take_is_left_out_from_then_on(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, 3)
    with serving(is_vllm=False) as server:
        server.refuses = {"max_tokens", "temperature", "strict", "top_logprobs", "logprobs", "seed"}
        assert run.route(plan, tmp_path / "out", *flags([server]), "--seed", 1, "--in-flight", 1).status == 0
        last = server.bodies[-1]
    assert not server.refuses & last.keys()
    assert last["max_completion_tokens"] > 0
    assert not error_kinds(tmp_path / "out"), records(tmp_path / "out")


def test_the_key_is_nowhere(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where a server repeats it."""
    monkeypatch.setenv("MY_KEY", KEY)
    plan = small_plan(tmp_path, 6)
    with serving(*["500"] * 3, wants_key=KEY) as server:
        more = (*flags([server]), "--key-variable", "MY_KEY")
        server.faults.append(Status(400, f"I will not have {KEY}"))
        outcome = run.caption(plan, tmp_path / "out", *more)
        assert outcome.status == 0
        assert [*error_kinds(tmp_path / "out").values()] == ["engine_error"]
        monkeypatch.setenv("MY_KEY", f"{KEY}-wrong")
        wrong = run.caption(plan, tmp_path / "other", *more)
    assert wrong.errors == [f"error: rank 0: endpoint {server.address}: wants another key than MY_KEY has (401)"]
    assert KEY not in outcome.said + wrong.said
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"MY_KEY" in text for text in texts)
    assert not any(KEY.encode() in text for text in texts)
    assert not any(KEY in str(body) for body in server.bodies)


def test_mistakes_of_options_are_one_line(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, 1)
    for said, complaint in (
        (("--engine", "openai"), "--engine openai needs --endpoint"),
        (("--endpoint", "http://a:1"), "--endpoint goes with --engine openai"),
        (("--endpoint", "http://me:secret@a:1"), "an address has no key"),
        (("--endpoint", "http://a:1/v1?key=secret"), "an address has no key"),
        (("--endpoint", "a:8000"), "is no address"),
        (("--endpoint", "me:secret@a:1"), "is no address"),
        (("--endpoint", "http://a:99999999"), "is no address"),
        (("--engine", "openai", "--endpoint", "http://a:1", "--max-model-len", 10), "are the server's own"),
        (("--key-variable", "sk-secret"), "takes the name of a variable"),
        (("--price-in", 1), "go together"),
    ):
        outcome = run.caption(plan, tmp_path / "out", *said)
        assert outcome.status == 2, said
        [error] = outcome.errors
        assert complaint in error
        assert "secret" not in error


def test_an_address_is_used_in_one_form() -> None:
    given = ["http://a:1", "http://a:1/", "http://a:1/v1/", "https://b/openai/v1"]
    arguments = ["--engine=openai", *(f"--endpoint={one}" for one in given)]
    assert read(StageOptions, arguments, "").endpoint == ["http://a:1/v1", "https://b/openai/v1"]


def test_a_key_that_cannot_be_sent_is_told_without_it(
    tmp_path: Path, run: Runner, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (f"{KEY}\nmore", f"{KEY}ß"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        outcome = run.caption(small_plan(tmp_path, 1), tmp_path / "out", *flags([server]))
        assert outcome.status == 2
        assert "OPENAI_API_KEY: holds signs that no key has" in outcome.said
        assert KEY not in outcome.said


def test_tokens_that_are_not_told_are_not_made_up(tmp_path: Path, run: Runner, server: OpenAiServer) -> None:
    server.tells_usage = False
    outcome = run.caption(small_plan(tmp_path, 3), tmp_path / "out", *flags([server]))
    assert outcome.said.count("does not tell all tokens: they are not counted") == 1
    assert {record["input_tokens"] for record in records(tmp_path / "out").values()} == {0}


def test_no_gpu_is_claimed(tmp_path: Path, run: Runner, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    outcome = run.caption(small_plan(tmp_path, 1), tmp_path / "out", *flags([server]))
    assert "no GPU was used" in outcome.said
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert [told.gpus for told in runs_of([tmp_path / "out"])] == [0]


def test_tokens_cost_what_the_prices_say(tmp_path: Path, run: Runner, server: OpenAiServer) -> None:
    outcome = run.caption(
        small_plan(tmp_path, 5), tmp_path / "out", *flags([server]), "--price-in", 30_000, "--price-out", 60_000
    )
    requests = sum(len(record["agents"]) for record in records(tmp_path / "out").values())
    money = requests * (100 * 30_000 + 10 * 60_000) / 1e6
    assert f"{money:,.2f} for tokens" in outcome.said
    [told] = runs_of([tmp_path / "out"])
    assert told.money == pytest.approx(money)
    assert run.score(tmp_path / "out", *flags([server])).status == 0
    content = cost_of(runs_of([tmp_path / "out", tmp_path / "out" / "score"]), 4)
    assert content["money"] == pytest.approx(money)
    assert content["money_per_thousand_kept"] == pytest.approx(250 * money)
    assert content["stages"]["inferscore"]["money"] is None
    assert content["gpu_hours"] is None
