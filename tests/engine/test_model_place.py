"""Against the hub's own client and a server on loopback that answers as the hub does, or as one that is ill."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from MetaCaptioner.engine.model_place import EngineLoadError, check_model
from tests.helpers import plain
from tests.pipeline.commands import environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Has one model, one that is gated, one without config.json and one that it cannot give."""

    def do_HEAD(self) -> None:
        name = "/".join(self.path.split("/")[1:3])
        status, code = {
            "some/model": (200, ""),
            "some/gated": (403, "GatedRepo"),
            "some/other": (404, "EntryNotFound"),
            "some/ill": (503, ""),
        }.get(name, (404, "RepoNotFound"))
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        else:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{COMMIT}"')
        self.send_header("Content-Length", "2")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


class MuteHub(BaseHTTPRequestHandler):
    """Takes the request and never answers."""

    def handle(self) -> None:
        time.sleep(30)


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def ask(model: str, hub: str, home: Path, revision: str = "", **variables: str) -> str:
    """What a rank says of a model; the hub's client reads its settings when it is imported."""
    program = (
        "import sys\nfrom MetaCaptioner.engine.model_place import check_model\n"
        "from MetaCaptioner.utils.cli import run_main\n"
        "run_main(lambda: print(check_model(sys.argv[1], {'revision': sys.argv[2] or None}) or 'taken') or 0)\n"
    )
    env = {name: value for name, value in environment().items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    env |= {"HF_ENDPOINT": hub, "HF_HOME": str(home), **variables}
    command = [sys.executable, "-c", program, model, revision]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stdout) in ((0, "taken\n"), (1, ""))
    return plain(run.stderr + run.stdout)


def fetch_before(home: Path, model: str) -> None:
    """What the hub's client leaves in its cache."""
    cached = home / "hub" / f"models--{model.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    (cached / "snapshots" / COMMIT).mkdir(parents=True)
    (cached / "snapshots" / COMMIT / "config.json").write_text("{}")


NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there."""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("some/model", "taken"),
        ("some/other", "taken"),
        ("some/modle", "the hub has no such model, or not for you (HF_TOKEN=… where it is private)"),
        ("some/gated", "access is for those who asked for it on its page of the hub: HF_TOKEN=…"),
        ("some/ill", "taken"),  # it is busy: the engine asks again
    ],
)
def test_the_hub_is_asked_whether_it_has_the_model(tmp_path: Path, model: str, said: str) -> None:
    with served(Hub) as hub:
        begin = "" if said == "taken" else f"error: model {model}: "
        assert ask(model, hub, tmp_path).startswith(begin + said)


def test_a_hub_out_of_reach_is_told_and_what_to_do(tmp_path: Path) -> None:
    said = ask("some/model", NOWHERE, tmp_path)
    assert said.startswith("error: model some/model: is not in this machine's cache, and the hub cannot be asked: ")
    assert said.endswith("MODEL=FOLDER (--model) takes one that lies in a folder\n")


def test_a_mute_hub_is_given_up_within_ten_seconds(tmp_path: Path) -> None:
    with served(MuteHub) as hub:
        begin = time.monotonic()
        assert "MODEL=FOLDER" in ask("some/model", hub, tmp_path)
        assert time.monotonic() - begin < 10


def test_without_the_hub_what_was_fetched_before_is_taken(tmp_path: Path) -> None:
    fetch_before(tmp_path, "some/model")
    said = ask("some/model", NOWHERE, tmp_path)
    assert said.startswith("note: model some/model: the hub cannot be asked (")
    assert said.endswith("taken\n")


def test_what_was_fetched_before_is_taken_where_the_hub_gives_it_to_others_only(tmp_path: Path) -> None:
    with served(Hub) as hub:
        fetch_before(tmp_path, "some/gated")
        assert ask("some/gated", hub, tmp_path) == (
            "note: model some/gated: the hub cannot be asked (it does not give it to you); "
            "taken as it was fetched before\ntaken\n"
        )


def test_a_model_in_mistrals_own_form_is_one(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text('{"dim": 128}')
    check_model(str(tmp_path))
    (tmp_path / "params.json").write_text("[]")
    with pytest.raises(EngineLoadError, match=r"params\.json is no JSON object"):
        check_model(str(tmp_path))


def test_it_is_the_revision_that_counts(tmp_path: Path) -> None:
    fetch_before(tmp_path, "some/model")
    (tmp_path / "hub" / "models--some--model" / "refs" / "main").unlink()
    assert "is not in this machine's cache" in ask("some/model", NOWHERE, tmp_path)
    assert ask("some/model", NOWHERE, tmp_path, revision=COMMIT).endswith("taken\n")


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_a_hub_that_is_not_to_be_asked_is_not(tmp_path: Path, name: str) -> None:
    with served(Hub) as hub:
        assert "HF_HUB_OFFLINE is set" in ask("some/model", hub, tmp_path, **{name: "1"})
        fetch_before(tmp_path, "some/modle")
        assert ask("some/modle", hub, tmp_path, **{name: "1"}) == "taken\n"


@pytest.mark.parametrize("model", ["s3://bucket/model", "owner/name:Q4_K_M", "three/part/name"])
def test_what_the_hub_cannot_have_is_left_to_the_engine(model: str) -> None:
    check_model(model)


def test_a_model_that_is_described_elsewhere_is_left_to_the_engine(tmp_path: Path) -> None:
    check_model(str(tmp_path), {"hf_config_path": "some/model"})


def test_a_home_that_is_not_known_is_told() -> None:
    with pytest.raises(EngineLoadError, match=r"model ~nobody\.here/m: Could not determine home directory"):
        check_model("~nobody.here/m")


def test_a_folder_must_be_there_and_hold_a_model(tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match="there is no such folder"):
        check_model(str(tmp_path / "none"))
    with pytest.raises(EngineLoadError, match=r"has no config\.json"):
        check_model(str(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(EngineLoadError, match="is no JSON object"):
        check_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    check_model(str(tmp_path))
