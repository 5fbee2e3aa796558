import threading
import time
from pathlib import Path

from MetaCaptioner.files import atomic_write, held_alone


def test_one_is_let_in_at_a_time_whoever_comes_while_others_wait(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def come_again_and_again() -> None:
        for _ in range(6):
            with held_alone(tmp_path / ".lock", "a test"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=come_again_and_again) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert most == [1]
    assert not list(tmp_path.iterdir())


def test_a_file_may_have_the_longest_name_that_there_is(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127, "😀" * 63):
        with atomic_write(tmp_path / name, "file") as file:
            file.write(b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 3
