"""Which rank has the lease of which chunk of a plan. A rank that is done steals work: what slower ones have not begun.

A chunk is some samples in a row of what the plan gives one rank. Before a rank begins a chunk, its own or another's, it
takes the lease: a symbolic link, in a folder that all ranks see, that is named after the chunk and points to the rank's
number. A file system makes such a link with its target at once or not at all, and only once, so two ranks never have
the same chunk and no lease is ever half there. Leases are for good: whatever happens, the rank that has that of a chunk
of this plan is the one that completes it, and all records of a chunk are in that rank's files. Their folder is called
`claims`, as in results that are there already.
"""

import errno
import os
import re
import secrets
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from MetaCaptioner.errors import UserError
from MetaCaptioner.planning.plan_file import PlanRow, fingerprint
from MetaCaptioner.records.row_map import RowNumbers

FOLDER = "claims"
_SIZE = "chunk"
_TAKERS = "taken"
_NUMBER = re.compile(r"^[0-9]{1,9}$")
_CHUNK_NAME = re.compile(r"^[0-9]{1,9}\.[0-9]{1,9}$")
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class LeaseError(UserError):
    """A lease cannot be written."""


@dataclass(frozen=True)
class Chunk:
    """Samples that the plan gives to rank `owner`, whose `number`-th chunk they are (from 0), and `rank` does.

    `rows` are the plan's, cut to the chunk and assigned to `rank`.
    """

    owner: int
    number: int
    rank: int
    rows: tuple[PlanRow, ...]

    @property
    def name(self) -> str:
        return _name(self.owner, self.number)

    @property
    def samples(self) -> int:
        return sum(map(_samples, self.rows))

    def given_to(self, rank: int) -> "Chunk":
        """The same chunk, done by another rank."""
        rows = (row.model_copy(update={"assign_rank": rank}) for row in self.rows)
        return Chunk(self.owner, self.number, rank, tuple(rows))


def show_those_of(earlier: Path, results: Path) -> None:
    """Where results are made from earlier ones, rank by rank, let those who look at them see the claims made there.

    Else a rank whose chunks others have taken over would seem to have left them undone. On a file system without links
    it does.
    """
    if (earlier / FOLDER).is_dir():
        with suppress(OSError):
            (results / FOLDER).symlink_to(os.path.relpath(earlier.resolve() / FOLDER, results.resolve()))


class Leases:
    """The claims to the chunks of a plan, in the result folder that it fills.

    `rows` are the plan's, without overlaps. There are no chunks until some process has agreed on their size.
    """

    def __init__(self, results: Path, rows: Sequence[PlanRow]) -> None:
        self._rows: dict[int, list[PlanRow]] = defaultdict(list)
        for row in rows:
            self._rows[row.assign_rank].append(row)
        # Of each rank, where in its sequence of samples its rows begin, and how many there are.
        self._starts = {rank: [0, *accumulate(map(_samples, rows))] for rank, rows in self._rows.items()}
        self._folder = results / FOLDER / fingerprint(rows)
        self.size = 0
        self.look()

    def look(self) -> None:
        """See whether a size has been agreed on."""
        with suppress(OSError):
            self.size = _number(self._folder / _SIZE)

    def agree_on(self, size: int) -> None:
        """Make `size` samples a chunk, unless another process has agreed on something else before: then that is it.

        On a file system without links, or where one takes the place of another, `size` stays 0.

        Raises:
            ClaimError: the folder cannot be written.
        """
        try:
            (self._folder / _TAKERS).mkdir(parents=True, exist_ok=True)
            if not self.size and self._links_exclude():
                with suppress(FileExistsError):
                    (self._folder / _SIZE).symlink_to(str(size))
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise LeaseError(f"claims folder {self._folder}: cannot be written: {error.strerror}") from error
        self.look()

    def _links_exclude(self) -> bool:
        """Whether of two links of one name the second is refused, as it should be."""
        tried = self._folder / f".{os.getpid()}-{secrets.token_hex(4)}"
        tried.symlink_to("1")
        try:
            tried.symlink_to("2")
        except FileExistsError:
            return str(tried.readlink()) == "1"
        finally:
            tried.unlink(missing_ok=True)
        return False

    def count(self, owner: int) -> int:
        """How many chunks there are of what the plan gives to a rank."""
        return -(-self._starts[owner][-1] // self.size) if self.size and owner in self._starts else 0

    def chunk(self, owner: int, number: int) -> Chunk:
        """The chunk of that number, from 0."""
        starts, begin = self._starts[owner], number * self.size
        end = min(begin + self.size, starts[-1])
        pieces = []
        for place in range(bisect_right(starts, begin) - 1, bisect_left(starts, end)):
            row, before = self._rows[owner][place], starts[place]
            first, last = row.start_idx + max(0, begin - before), min(row.end_idx, row.start_idx + end - before)
            if first < last:
                pieces.append(row.model_copy(update={"start_idx": first, "end_idx": last}))
        return Chunk(owner, number, owner, tuple(pieces))

    def chunks(self, owner: int) -> Iterator[Chunk]:
        """The chunks of what the plan gives to a rank, in the order in which it does them."""
        return (self.chunk(owner, number) for number in range(self.count(owner)))

    def lease(self, chunk: Chunk) -> bool:
        """Make a chunk its `rank`'s; whether it now is.

        Raises:
            ClaimError: no link can be made.
        """
        try:
            if chunk.rank != chunk.owner:  # noted first, so that a rank finds again what it has claimed
                noted = self._folder / _TAKERS / str(chunk.rank)
                noted.mkdir(exist_ok=True)
                with suppress(FileExistsError):
                    (noted / chunk.name).symlink_to(chunk.name)
            with suppress(FileExistsError):
                (self._folder / chunk.name).symlink_to(str(chunk.rank))
            return self.holder(chunk) == chunk.rank
        except OSError as error:
            raise LeaseError(f"lease {self._folder / chunk.name}: cannot be written: {error.strerror}") from error

    def holder(self, chunk: Chunk) -> int | None:
        """The rank that has claimed a chunk, if any."""
        with suppress(FileNotFoundError):
            return _number(self._folder / chunk.name)
        return None

    def taken_over(self, rank: int) -> list[Chunk]:
        """The chunks of other ranks that a rank has claimed, as its own."""
        noted = self._folder / _TAKERS / str(rank)
        places = (tuple(map(int, name.split("."))) for name in _names(noted, _CHUNK_NAME))
        chunks = (self.chunk(*place).given_to(rank) for place in places if place[1] < self.count(place[0]))
        return [chunk for chunk in chunks if self.holder(chunk) == rank]

    def moved(self) -> Iterator[Chunk]:
        """All chunks that have been taken over, done by the ranks that have them."""
        for rank in sorted(map(int, _names(self._folder / _TAKERS, _NUMBER))):
            yield from self.taken_over(rank)

    def takers(self) -> RowNumbers:
        """Of the rows of chunks that have been taken over the ranks that have them, plus 1."""
        ranks = RowNumbers(np.int32)
        for chunk in self.moved():
            for row in chunk.rows:
                ranks.set_all(row.data_name, np.arange(row.start_idx, row.end_idx), chunk.rank + 1)
        return ranks

    def unleased(self) -> Iterator[Chunk]:
        """The chunks that nobody has claimed: of the rank with the most of them first, its last one first.

        A rank does its own from the front, so what is taken from the back is what it would come to last.
        """
        leased = set(os.listdir(self._folder)) if self._folder.is_dir() else set()  # noqa: PTH208 there may be many
        free = {
            owner: [number for number in range(self.count(owner)) if _name(owner, number) not in leased]
            for owner in self._rows
        }
        for owner in sorted(free, key=lambda owner: (-len(free[owner]), owner)):
            yield from (self.chunk(owner, number) for number in reversed(free[owner]))


def _names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """The names in a folder that are such names; a file system may have files of its own there."""
    return sorted(path.name for path in folder.iterdir() if pattern.match(path.name)) if folder.is_dir() else []


def _number(link: Path) -> int:
    """The number that a link points to.

    Raises:
        ClaimError: it is none.
        OSError: there is no such link.
    """
    target = str(link.readlink())
    if not _NUMBER.match(target):
        raise LeaseError(
            f"lease {link}: points to '{target:.40}', where a number should be: no rank made it so; take the folder "
            f"{link.parent} away while no rank is at work"
        )
    return int(target)


def _name(owner: int, number: int) -> str:
    return f"{owner}.{number}"


def _samples(row: PlanRow) -> int:
    return row.end_idx - row.start_idx
