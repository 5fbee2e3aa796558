"""A `.txt` file beside the media of each caption. What exports wrote there is known, and nobody else's is touched."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

from MetaCaptioner.data.export_manifest import (
    LOCK,
    NAME,
    Manifest,
    digest_of,
    digest_there,
    read_manifest,
    write_manifest,
)
from MetaCaptioner.errors import UserError
from MetaCaptioner.export.job import Job, media_of
from MetaCaptioner.export.text_files import TextNames, full_name, text_name, text_of
from MetaCaptioner.export.totals import Account
from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.durable_rename import put_in_place
from MetaCaptioner.utils.locks import held_alone
from MetaCaptioner.utils.path_spelling import find
from MetaCaptioner.utils.safe_open import is_below

_TEMPORARY = ".metacaptioner-export.tmp"  # in each folder; the lock leaves but one process to write it


@dataclass
class _Root:
    """What is to be done below one root. Texts are known by their paths below it, with slashes."""

    path: Path
    manifest: Manifest
    """What earlier exports have written."""
    wanted: dict[str, str] = field(default_factory=dict)
    """Text -> hash of what it shall hold."""
    ours: list[str] = field(default_factory=list)
    """An earlier export's, unchanged since, that shall hold something else."""
    own: set[str] = field(default_factory=set)
    """Somebody's: no export wrote them, or they were edited since."""
    gone: list[str] = field(default_factory=list)
    """An earlier export's, unchanged since, of captions of these results that are not exported any more."""
    edited: list[str] = field(default_factory=list)
    """The same, but edited since."""

    @property
    def earlier(self) -> dict[str, str]:
        """The texts of earlier exports, each with the hash of what it held."""
        return self.manifest.files


def export_beside(job: Job) -> None:
    """Beside the media. Nothing is written before all places are known to be free.

    A text of an earlier export is replaced, or taken away where its caption is not exported any more, if the job says
    so and nobody has changed it since. A run that was cut off leaves whole texts, and a list of them in which none is
    missing; the same command goes on.

    Raises:
        UserError: a file is there already, perhaps somebody's own caption, and may not be replaced; a root cannot be
            written; or media lie in tar files.
    """
    datasets = _datasets_by_root(job)
    names = TextNames(_media(job, datasets), case_counts=True)
    with ExitStack() as stack:
        for path in sorted(datasets):
            stack.enter_context(_locked(path, not job.single_launch))
        roots = {path: _look(job, path, datasets[path], names) for path in sorted(datasets)}
        _look_for_gone(job, roots)
        _check_free(job, list(roots.values()))
        names.begin_again()
        for root in roots.values():
            _write(job, root, _texts(job, root.path, datasets[root.path], names))


def _media(job: Job, datasets: dict[Path, list[str]]) -> Iterator[tuple[str, str]]:
    """All media of these results, exported or not: a text that trainers would take for both is neither's.

    Roots of which nothing is exported any more join the others in `datasets`, if an export has written there.
    """
    passed: set[Path] = set(datasets)
    for record in job.captions.records():
        if "tar" in record:
            raise UserError(
                f"{record['sample_id']}: lies in a tar file, beside which is no place; use --format webdataset"
            )
        place = _media_path(record)
        yield place, place
    for record in job.others():
        if "tar" not in record and _below_root(record) is not None:
            place = _media_path(record)
            yield place, place
            root = _root_of(record)
            if root not in passed and (root / NAME).is_file():
                datasets[root] = []
            passed.add(root)


@lru_cache(maxsize=1024)
def _is_folder_below(root: Path, folder: str) -> bool:
    """Whether what is written into a folder lies below its root, links or not."""
    return is_below(root, Path(folder))


@lru_cache(maxsize=1024)
def _absolute(root: str) -> Path:
    return Path(os.path.abspath(root))  # noqa: PTH100 (links stay as they are)


def _root_of(record: Record) -> Path:
    return _absolute(record["root"])


def _media_path(record: Record) -> str:
    """Where the media are, also if the row does not spell their name as the file system does."""
    root, name = _root_of(record), media_of(record)
    if name.isascii() and "\\" not in name and not name.startswith("file:"):
        return os.path.normpath(os.path.join(root, name))  # noqa: PTH118 (for millions)
    return os.path.normpath(find(root, name))


def _below_root(record: Record) -> str | None:
    """The path of the media below their root, with slashes; None where they are not below it."""
    root, path = _beginning(_root_of(record)), _media_path(record)
    return path.removeprefix(root) if path.startswith(root) else None


def _beginning(root: Path) -> str:
    """What the paths of all that lies below a root begin with."""
    return os.path.join(root, "")  # noqa: PTH118


def _datasets_by_root(job: Job) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for name, kind in job.captions.kinds.items():
        for root in {_absolute(root) for root, count in kind.roots.items() if count}:
            found.setdefault(root, []).append(name)
    return found


@contextmanager
def _locked(root: Path, needed: bool) -> Iterator[None]:
    if not root.is_dir():
        raise UserError(f"root {root}: there is no such folder")
    with ExitStack() as stack:
        try:
            stack.enter_context(held_alone(root / LOCK, f"texts below {root}", needed))
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"root {root}: cannot be written: {reason}; nothing is written, use --output") from error
        yield


def _texts(job: Job, root: Path, datasets: list[str], names: TextNames) -> Iterator[tuple[str, Record]]:
    """(text, record) of what goes below a root; what has no place there is counted."""
    for record in job.captions.records(datasets):
        if _root_of(record) != root:
            continue
        place, path = _below_root(record), _media_path(record)
        if place is None:
            job.account.leave_out("captions of media outside their root", path)
        elif not job.allow_outside_root and not _is_folder_below(root, os.path.dirname(path)):  # noqa: PTH120
            job.account.leave_out("captions of media behind links out of their root", path)
        elif not os.path.exists(path):  # noqa: PTH110 (twice as fast, for millions)
            job.account.leave_out("captions of media that are not there", path)
        elif (name := names.free(path, path, record, job)) is not None:
            yield name.removeprefix(_beginning(root)), record


def _look(job: Job, path: Path, datasets: list[str], names: TextNames) -> _Root:
    root, quiet = _Root(path, read_manifest(path)), replace(job, account=Account())  # it counts when it writes
    for text, record in _texts(quiet, path, datasets, names):
        root.wanted[text] = digest = digest_of(text_of(record, quiet))
        there = digest_there(path / text)
        if there is None or there == digest:
            continue
        if there == root.earlier.get(text):
            root.ours.append(text)
        else:
            root.own.add(text)
    return root


def _look_for_gone(job: Job, roots: Mapping[Path, _Root]) -> None:
    """Find the earlier texts of media that these results know, and that shall have none now."""
    results = str(job.results)
    # Those whose media these results know no more, since their records were taken out, are told by the list alone.
    found: dict[Path, dict[str, None]] = {
        path: {name: None for name in root.earlier if root.manifest.of.get(name) == results and name not in root.wanted}
        for path, root in roots.items()
        if root.earlier
    }
    for record in chain(job.others(), job.captions.records()) if found else ():
        path = _root_of(record)
        place = _below_root(record) if "tar" not in record and path in found else None
        for name in (text_name(place), full_name(place)) if place else ():
            if name in roots[path].earlier and name not in roots[path].wanted:
                found[path][name] = None
    for path, names in found.items():
        root = roots[path]
        for name in names:
            if not job.allow_outside_root and not _is_folder_below(path, os.path.dirname(path / name)):  # noqa: PTH120
                continue
            there = digest_there(path / name)
            if there == root.earlier[name]:
                root.gone.append(name)
            elif there is not None:
                root.edited.append(name)
            else:  # as after a run that was cut off, or because somebody took it away
                del root.earlier[name]


def _check_free(job: Job, roots: list[_Root]) -> None:
    own = [str(root.path / text) for root in roots for text in sorted(root.own)]
    if own and job.own_texts is None:
        raise UserError(
            f"{len(own)} .txt files are not an export's, or were edited since (first: {own[0]}): --own-texts keep "
            "leaves them, --own-texts replace writes over them (nothing is written yet)"
        )
    ours = [str(root.path / text) for root in roots for text in (*root.ours, *root.gone)]
    if ours and not job.overwrite:
        raise UserError(
            f"{ours[0]} is there already, of an earlier export, as {len(ours)} in all; --overwrite replaces them and "
            "takes away what is not kept any more (nothing is written yet)"
        )


def _write(job: Job, root: _Root, texts: Iterator[tuple[str, Record]]) -> None:
    """First what no longer holds goes, then the list says what will be there, then that is written.

    So at any moment every text of an export is in the list with the hash that it has.
    """
    account, kept = job.account, root.own if job.own_texts == "keep" else set()
    for text in (*root.gone, *root.ours):
        _remove(root.path / text)
    wanted = {text: digest for text, digest in root.wanted.items() if text not in kept}
    files = {text: digest for text, digest in root.earlier.items() if text not in set(root.gone)} | wanted
    if files or root.earlier:
        of = {text: folder for text, folder in root.manifest.of.items() if text in files}
        write_manifest(root.path, Manifest(files, of | dict.fromkeys(wanted, str(job.results))))
    for text, record in texts:
        path, content = root.path / text, text_of(record, job)
        if text in kept:
            account.note("captions are not written, since a text of your own stays", str(path))
            continue
        if digest_there(path) != root.wanted[text]:
            _put(path, content)
        account.add(record)
    others = sorted(files.keys() - wanted.keys() - kept - set(root.edited))
    for what, found in (
        ("texts of captions that are not exported any more were taken away", root.gone),
        ("texts of captions that are not exported any more stay, since they were edited", root.edited),
        ("texts are of exports of other results, and stay", others),
    ):
        if found:
            account.note(what, str(root.path / found[0]), len(found))


def _put(path: Path, content: bytes) -> None:
    temporary = path.with_name(_TEMPORARY)
    try:
        temporary.unlink(missing_ok=True)  # it may be a link to anywhere
        with temporary.open("xb") as file:
            file.write(content)
        put_in_place(temporary, path, sync=False)
    except OSError as error:
        raise UserError(f"caption file {path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"caption file {path}: cannot be taken away: {error.strerror or error}") from error
