"""What is found out of servers before work begins: one line each."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers import Outcome, Runner, records, small_plan
from tests.openai_server import MODEL, OpenAiServer, Status, flags, serving


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A port that answers nothing (None: it does not even take the connection's end), or always the same bytes."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

        kept: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)
    for connection in kept:
        connection.close()


def refused(run: Runner, folder: Path, *more: object) -> str:
    outcome: Outcome = run.caption(small_plan(folder, 2), folder / "out", "--engine", "openai", "--model", MODEL, *more)
    assert outcome.status == 1, outcome.said
    assert not records(folder / "out")
    [error] = outcome.errors
    return error


def test_one_that_is_down(tmp_path: Path, run: Runner) -> None:
    with serving() as server:
        address = server.address
    assert refused(run, tmp_path, "--endpoint", address).startswith(
        f"error: rank 0: endpoint {address}: cannot be reached ("
    )


def test_a_host_that_is_none(tmp_path: Path, run: Runner) -> None:
    assert "cannot be reached" in refused(run, tmp_path, "--endpoint", "http://no-such-host.invalid:8000")


def test_one_that_speaks_http_only(tmp_path: Path, run: Runner) -> None:
    with serving() as server:
        error = refused(run, tmp_path, "--endpoint", server.address.replace("http:", "https:"))
    assert "does not speak TLS" in error
    assert error.endswith("http:// in place of https://?")


def test_one_that_speaks_https_only(tmp_path: Path, run: Runner) -> None:
    server = OpenAiServer()
    server.start(tls=_certificate(tmp_path))
    try:
        error = refused(run, tmp_path, "--endpoint", server.address.replace("https:", "http:"))
        assert error.endswith("https:// in place of http://?")
        assert "its certificate cannot be verified" in refused(run, tmp_path, "--endpoint", server.address)
    finally:
        server.end()


def _certificate(folder: Path) -> ssl.SSLContext:
    """One that nobody has signed."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    path = folder / "both.pem"
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(encoding) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize(
    ("key", "complaint"), [("", "wants a key: set OPENAI_API_KEY"), ("x", "wants another key than")]
)
def test_one_that_wants_another_key(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, key: str, complaint: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(wants_key="right") as server:
        assert complaint in refused(run, tmp_path, "--endpoint", server.address)


def test_one_that_has_no_such_model(tmp_path: Path, run: Runner) -> None:
    with serving() as server:
        error = refused(run, tmp_path, *flags([server], "large"))
    assert error.endswith(f"has no model large; it has {MODEL} (--model)")


def test_one_that_takes_no_pictures(tmp_path: Path, run: Runner) -> None:
    with serving() as server:
        server.takes_pictures = False
        error = refused(run, tmp_path, "--endpoint", server.address)
    assert f"the model {MODEL} takes no pictures: At most 0 image(s)" in error


@pytest.mark.parametrize("is_mute", [True, False])
def test_one_that_is_slower_than_its_time(tmp_path: Path, run: Runner, is_mute: bool) -> None:
    with listening(None) as mute, serving(delay=30) as slow:
        error = refused(run, tmp_path, "--endpoint", mute if is_mute else slow.address, "--request-seconds", 0.5)
        assert error.endswith("gave no answer within 0.5 s (--request-seconds)")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "https:// in place of http://?"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "its list of models is none"),
    ],
)
def test_one_that_is_something_else(tmp_path: Path, run: Runner, answer: bytes, complaint: str) -> None:
    with listening(answer) as address:
        assert complaint in refused(run, tmp_path, "--endpoint", address)


def test_one_that_refuses_a_plain_question(tmp_path: Path, run: Runner) -> None:
    with serving() as server:
        server.refuses = {"messages"}
        assert "refuses a plain question: " in refused(run, tmp_path, "--endpoint", server.address)


def test_one_of_two_that_is_down_is_said_and_tried_again(tmp_path: Path, run: Runner) -> None:
    with serving() as gone:
        pass
    with serving() as server:
        outcome = run.caption(small_plan(tmp_path, 3), tmp_path / "out", *flags([gone, server]))
    assert outcome.status == 0
    assert f"note: endpoint {gone.address}: cannot be reached" in outcome.said
    assert len(records(tmp_path / "out")) == 3


def test_a_busy_one_is_waited_for(tmp_path: Path, run: Runner) -> None:
    with serving() as server:
        server.bodies.append({})  # so that the check itself meets the fault
        server.faults.append(Status(429))
        assert run.caption(small_plan(tmp_path, 2), tmp_path / "out", *flags([server])).status == 0
