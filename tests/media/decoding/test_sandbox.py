"""A process that has shut itself in, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import ctypes, os, socket, subprocess, threading
from MetaCaptioner.media.decoding.sandbox import shut_in

descriptor = os.open(__file__, os.O_RDONLY)
left, right = socket.socketpair()
assert shut_in() == ()

tries = {
    "read": lambda: open(__file__),
    "write": lambda: open(__file__ + ".new", "w"),
    "list": lambda: os.listdir("/"),
    "remove": lambda: os.unlink(__file__),
    "rename": lambda: os.rename(__file__, __file__ + ".new"),
    "truncate": lambda: os.truncate(__file__, 0),
    "inet": lambda: socket.socket(socket.AF_INET),
    "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "bind": lambda: left.bind("\\0name"),
    "fork": os.fork,
    "program": lambda: subprocess.run(["true"]),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(os.getppid(), 0),
}
for name, attempt in tries.items():
    try:
        attempt()
    except PermissionError:
        continue
    raise AssertionError(name)

done = []
thread = threading.Thread(target=done.append, args=[1])
thread.start()
thread.join()
left.sendall(b"x")
assert done == [1] and right.recv(1) == b"x" and os.pread(descriptor, 7, 1) == b"import "
print("shut in")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has these locks")
def test_nothing_new_can_be_had_and_what_is_open_stays(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, script], env={"PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout, ended.stderr) == ("shut in\n", "")
    assert script.read_text() == SCRIPT
