import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from MetaCaptioner.utils.safe_open import NotAFile, OutsideRoot, leads_out, open_file, read_file

pytestmark = pytest.mark.timeout(60)  # what is waited for here would be waited for without end


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file in it, beside a secret outside."""
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jpg").write_bytes(b"picture")
    return folder


def odd_files(folder: Path) -> dict[str, Path]:
    """What is there, but is no file."""
    os.mkfifo(folder / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "socket.jpg"))
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "linked.jpg").symlink_to(folder / "fifo.jpg")
    return {path.name: path for path in folder.glob("*.jpg")}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fifo.jpg", "is a FIFO, not a file"),
        ("linked.jpg", "is a FIFO, not a file"),
        ("socket.jpg", "is a socket, not a file"),
        ("zero.jpg", "is a device, not a file"),
    ],
)
def test_what_is_no_file_is_not_opened(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(NotAFile) as raised:
        open_file(odd_files(tmp_path)[name])
    assert (raised.value.strerror, raised.value.filename) == (told, str(tmp_path / name))


def test_errors_are_those_of_the_path(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as folder:
        open_file(tmp_path)
    with pytest.raises(FileNotFoundError) as missing:
        open_file(tmp_path / "none")
    assert (folder.value.filename, missing.value.filename) == (str(tmp_path), str(tmp_path / "none"))
    with pytest.raises(ValueError, match="null"):
        open_file(tmp_path / "a\0")


def test_a_file_is_read_by_its_own_name(root: Path) -> None:
    with open_file(root / "sub" / "a.jpg", root) as file:
        assert (file.name, file.read()) == (str(root / "sub" / "a.jpg"), b"picture")
    assert read_file(root / "sub" / "a.jpg") == b"picture"


@pytest.mark.parametrize("link", ["a.jpg", "../../root/sub/a.jpg", "{root}/sub/a.jpg", "next"])
def test_links_that_stay_below_the_root_are_followed(root: Path, link: str) -> None:
    (root / "sub" / "next").symlink_to("a.jpg")
    (root / "sub" / "link").symlink_to(link.format(root=root))
    with open_file(root / "sub" / "link", root) as file:
        assert file.read() == b"picture"


@pytest.mark.parametrize(
    "link", ["../secret", "{root}/../secret", "sub/../../secret", "up/secret", "/proc/self/environ"]
)
def test_links_that_lead_out_are_not(root: Path, link: str) -> None:
    (root / "up").symlink_to("..")
    (root / "link").symlink_to(link.format(root=root))
    with pytest.raises(OutsideRoot, match="outside the root"):
        open_file(root / "link", root)
    open_file(root / "link").close()


@pytest.mark.parametrize("name", ["../secret", "up/secret", "sub/../../secret", "../root-2/a"])
def test_names_that_lead_out_are_not_opened(root: Path, name: str) -> None:
    (root / "up").symlink_to(root.parent)
    (root.parent / "root-2").mkdir()
    (root.parent / "root-2" / "a").write_bytes(b"of a root that begins alike")
    with pytest.raises(OutsideRoot):
        open_file(root / name, root)


def test_a_root_may_itself_be_a_link_and_become_another_one(root: Path) -> None:
    link = root.with_name("link")
    link.symlink_to(root)
    open_file(link / "sub" / "a.jpg", link).close()
    root.rename(root.with_name("moved"))
    link.unlink()
    link.symlink_to("moved")
    open_file(link / "sub" / "a.jpg", link).close()


def test_a_link_that_changes_while_it_is_opened_gives_nothing_of_outside(root: Path) -> None:
    """What is looked at is what is read."""
    place, other, done = root / "b.jpg", root / "c.jpg", threading.Event()

    def change() -> None:
        while not done.is_set():
            for target in ("sub/a.jpg", "../secret"):
                with suppress(FileExistsError):
                    other.symlink_to(target)
                other.replace(place)

    place.symlink_to("sub/a.jpg")
    changer = threading.Thread(target=change)
    changer.start()
    found = set()
    try:
        for _ in range(2000):
            with suppress(OutsideRoot), open_file(place, root) as file:
                found.add(file.read())
    finally:
        done.set()
        changer.join()
    assert found == {b"picture"}


@pytest.mark.parametrize(
    ("name", "leads"),
    [
        *((name, False) for name in ("a.jpg", "sub/a.jpg", "./a.jpg", "a..jpg", "..a/b", "sub/../a.jpg", "...", "")),
        *((name, False) for name in ("/data/root/a.jpg", "../root/a.jpg", "file:///data/root/a%20b.jpg", "a\\..\\b")),
        *((name, True) for name in ("../a.jpg", "/a.jpg", "//a.jpg", "sub/../../a.jpg", "..", "/data/root/../a.jpg")),
        *((name, True) for name in ("/data/root-2/a.jpg", "file:///a.jpg", "FILE:/a", "file:///data/root/%2e%2e/a")),
    ],
)
def test_which_names_lead_out(name: str, leads: bool) -> None:
    assert leads_out(Path("/data/root"), name) is leads


def test_below_the_root_of_all_nothing_leads_out() -> None:
    assert not any(leads_out(Path("/"), name) for name in ("/etc/a", "../a", "//a", "file:///a"))


def test_the_real_place_of_a_linked_root_is_below_it(root: Path) -> None:
    link = root.with_name("link")
    link.symlink_to(root)
    assert not leads_out(link, str(root / "a.jpg"))
