"""Stands between torchrun and a rank: starts the rank, hands signals on, leaves its exit status in a folder.

torchrun ends every healthy rank as soon as one of its processes fails. It therefore starts this small one, which always
ends well, whatever becomes of the rank; `script/common.sh` reads the statuses and exits with the worst.

    python -m MetaCaptioner.supervise STATUS_FOLDER MODULE FLAGS...
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from MetaCaptioner import ranks
from MetaCaptioner.errors import StoppedEarly, UserError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def supervise(status_folder: Path, command: list[str]) -> None:
    """Run `command` to its end; leave the process id of this one in `pid<rank>` and the status in `rank<rank>`."""
    number = ranks.who_am_i(dict(os.environ)).rank
    received: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def hand_on(signal_number: int, frame: FrameType | None) -> None:
        received.append(signal_number)
        if child is not None:
            child.send_signal(signal_number)

    for name in _SIGNALS:
        signal.signal(name, hand_on)
    (status_folder / f"pid{number}").write_text(f"{os.getpid()}\n")
    child = subprocess.Popen(command, preexec_fn=ranks.kill_when_parent_ends)
    if received:
        child.send_signal(received[-1])
    status = child.wait()
    if status < 0:  # it was killed; by a signal that we were sent too, it was meant to stop
        status = StoppedEarly.exit_status if -status in received else UserError.exit_status
    (status_folder / f"rank{number}").write_text(f"{status}\n")


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), [sys.executable, "-m", *sys.argv[2:]])
