"""Rounds of kills, double launches, new plans and old ones, full disks and lost files, on file systems as users have.

After every step no sample has two records and nothing was paid twice but what was in flight at a kill; in the end every
sample has one, or the user was told why not before any work was done. A round's number seeds it;
`MIXED_ROUNDS=200` asks for that many.
"""

import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.forked import Part, Rank
from tests.chaos.world import Before, World
from tests.helpers import Runner, picture_rows
from tests.odd_file_system import Lock, OddFolder, Oddities, mounted, needs_fuse

ROUNDS = int(os.environ.get("MIXED_ROUNDS", "6"))
NO_LOCKS: tuple[Lock, ...] = ("ENOLCK", "ENOSYS", "EIO", "EACCES", "lie")
SLOW, SLOWER = 0.01, 0.04
WORDS = ((), (), ("--redo",), ("--keep",))

# --- launches


def launch(world: World) -> None:
    before = world.before()
    world.ended(world.launch(*world.alone), before)


def launch_with_other_numbers(world: World) -> None:
    before = world.before()
    world.ended(world.launch(*world.alone, processes=world.dice.choice((1, 2, 3, 5))), before)


def a_trial(world: World) -> None:
    before = world.before()
    world.ended(world.launch(*world.alone, "--max-samples", world.dice.randrange(1, 9)), before)


def retry_errors(world: World) -> None:
    """What was broken is mended first, or not."""
    if world.dice.random() < 0.7:
        number = world.dice.randrange(2)
        world.picture(number).write_bytes(world.picture(number + 2).read_bytes())
    before = world.before()
    world.ended(world.launch(*world.alone, "--retry-errors"), before)


def kill(world: World, ranks: list[Rank]) -> int:
    """Kill -9 one or all; returns how many workers may have been killed."""
    world.wait_for_records(ranks, world.dice.randrange(15))
    part: Part = world.dice.choice(("rank", "worker", "group"))
    victims = ranks if world.dice.random() < 0.4 else [world.dice.choice(ranks)]
    killed = sum(rank.kill(part) for rank in victims if rank.status is None)
    world.log.append(f"kill -9 {part} of {len(victims)} ranks: {killed} were there")
    return killed


def launch_and_kill(world: World) -> None:
    before = world.before()
    ranks = world.launch(*world.alone, delay=SLOWER, supervised=world.dice.random() < 0.3)
    killed = kill(world, ranks)
    world.ended(ranks, before, kills=killed)


def launch_twice(world: World) -> None:
    """Two launches of the same plan at the same time; perhaps of other numbers of processes."""
    before = world.before()
    processes = world.dice.choice((None, None, 1, 2))
    ranks = world.launch(delay=SLOW) + world.launch(delay=SLOW, processes=processes)
    kills = kill(world, ranks) if world.dice.random() < 0.3 else 0
    world.ended(ranks, before, kills=kills)


def launch_again_at_once(world: World) -> None:
    """One is killed, and the whole command runs again while the other ranks of the first launch still work."""
    before = world.before()
    first = world.launch(delay=SLOWER)
    killed = kill(world, first)
    world.ended([*first, *world.launch(delay=SLOW)], before, kills=killed)


# --- plans


def add_rows(world: World) -> None:
    """Behind the others, or before them."""
    name, free = world.dice.choice(list(world.rows)), world.free_pictures()
    for picture in world.dice.sample(free, min(3, len(free))):
        place = world.dice.choice((len(world.rows[name]), world.dice.randrange(len(world.rows[name]) + 1)))
        world.rows[name].insert(place, picture)
    world.write_data()


def shuffle_rows(world: World) -> None:
    world.dice.shuffle(world.rows[world.dice.choice(list(world.rows))])
    world.write_data()


def plan_again(world: World) -> None:
    """Of what remains, perhaps after the rows have changed."""
    if world.dice.random() < 0.4:
        world.dice.choice((add_rows, shuffle_rows))(world)
    world.plan_anew("--results", world.out, *world.dice.choice(WORDS))


def plan_without_results(world: World) -> None:
    """As if there were none; perhaps after the rows have changed."""
    if world.dice.random() < 0.5:
        world.dice.choice((add_rows, shuffle_rows))(world)
    world.plan_anew()


def plan_and_launch(world: World) -> None:
    plan_again(world)
    before = world.before()
    world.ended(world.launch(*world.alone, *world.dice.choice(WORDS)), before)


def plan_in_mid_run(world: World) -> None:
    """Of what remains, while ranks are at work."""
    before = world.before()
    ranks = world.launch(*world.alone, delay=SLOWER)
    world.wait_for_records(ranks, 4)
    world.plan_anew("--results", world.out, *world.dice.choice(WORDS), at_work=True)
    world.ended(ranks, before)


def launch_an_old_plan(world: World) -> None:
    old = world.dice.choice([world.plan, *world.kept_plans])
    before = world.before()
    world.ended(world.launch(*world.alone, *world.dice.choice(WORDS), plan=old), before)


def launch_another_plan(world: World) -> None:
    """Of another project, or of the same one cut anew, into the same folder."""
    if world.dice.random() < 0.5:
        picture_rows(world.folder / "media2", 6)
        (world.folder / "c.json").write_text(str([{"image": f"{n}.png"} for n in range(6)]).replace("'", '"'))
        entry = '{"c": {"root": "media2", "annotation": "c.json", "task": "Natural"}}'
        (world.folder / "Metafile2.json").write_text(entry)
        other, metafile = world.odd.folder / "other.jsonl", "Metafile2.json"
    else:
        other, metafile = world.odd.folder / "again.jsonl", "Metafile.json"
    if world.plan_anew(metafile=metafile, output=other).status == 0:
        before = world.before()
        world.ended(world.launch(*world.alone, plan=other), before)
        world.note_foreign(before)


def rewrite_the_plan_in_mid_run(world: World) -> None:
    """The plan is made anew while supervised ranks work by it, some of which are then killed and so begin anew."""
    before = world.before()
    ranks = world.launch(*world.alone, processes=2, delay=SLOWER, supervised=True)
    world.wait_for_records(ranks, 4)
    world.plan_anew()
    killed = sum(rank.kill("worker") for rank in world.dice.sample(ranks, world.dice.choice((1, 2))))
    world.ended(ranks, before, kills=killed)


# --- mishaps


def fill_the_disk(world: World) -> None:
    before = world.before()
    ranks = world.launch(*world.alone, delay=SLOWER, supervised=world.dice.random() < 0.3)
    world.wait_for_records(ranks, world.dice.randrange(10))
    world.odd.fill()
    world.log.append("the disk is full")
    world.wait_for_records(ranks, 1, seconds=world.dice.choice((0.1, 1.0)))
    world.odd.make_room()
    world.ended(ranks, before, mishap=True)


def lose_a_file(world: World) -> None:
    """A result file is removed, or replaced by a copy of itself, under the rank that writes it."""
    before = world.before()
    ranks = world.launch(*world.alone, delay=SLOWER)
    world.wait_for_records(ranks, 4)
    if paths := sorted(world.out.glob("Rank*_node*_*.jsonl")):
        path, where = world.dice.choice(paths), world.dice.choice((world.odd.folder, world.odd.behind)) / "out"
        removed = world.dice.random() < 0.5
        if removed:
            (where / path.name).unlink()
        else:
            shutil.copy(where / path.name, where / "copy")
            (where / "copy").replace(where / path.name)
        world.log.append(f"{path.name} is {'removed' if removed else 'replaced'} in {where.parent.name}")
    world.ended(ranks, before, mishap=True)


# --- what follows captions


def score(world: World) -> None:
    """Score what there is, perhaps by two launches at once of other numbers of processes, perhaps killed."""
    if not world.lines():
        return
    before, twice = world.before(), world.dice.random() < 0.4
    how = ("--resample", world.dice.choice((0, 1, 2)), *(() if twice else world.alone))
    ranks = world.launch_scores(*how, processes=world.dice.choice((1, 2, 4)), delay=SLOW)
    if twice:
        ranks += world.launch_scores(*how, processes=world.dice.choice((1, 2, 4)), delay=SLOW)
    kills = kill(world, ranks) if world.dice.random() < 0.4 else 0
    world.ended(ranks, before, kills=kills)


STEPS: tuple[Callable[[World], None], ...] = (
    *(launch, launch_with_other_numbers, a_trial, retry_errors),
    *(launch_and_kill, launch_and_kill, launch_twice, launch_twice, launch_again_at_once),
    *(plan_again, plan_and_launch, plan_without_results, plan_in_mid_run),
    *(launch_an_old_plan, launch_an_old_plan, launch_another_plan, rewrite_the_plan_in_mid_run),
    *(fill_the_disk, lose_a_file, score, score),
)


def finish(world: World) -> None:
    """What an honest user does in the end, who reads what is said. Nothing is left to be said then."""
    world.odd.make_room()
    planned = world.plan_anew("--results", world.out, "--redo") if world.out.exists() else world.plan_anew()
    assert planned.status == 0, world.told(planned.said)
    before = world.before()
    bad = world.ended(world.launch(*world.alone, "--redo"), before)
    assert not bad, world.told(*(rank.said for rank in bad))
    assert world.is_complete(), world.told("not complete", world.verify().said)
    told = world.verify()
    assert told.status == bool(world.foreign), world.told(told.said)
    assert (f"{world.foreign}  stray records" in told.said) == bool(world.foreign), world.told(told.said)


def oddities_of(number: int) -> Oddities:
    kinds = (
        Oddities(),
        Oddities(flock=NO_LOCKS[number // 3 % len(NO_LOCKS)]),
        Oddities(symlinks="EPERM", hard_links="EPERM", folder_sync="EINVAL"),
    )
    return kinds[number % 3]


@needs_fuse
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_mixed_round(tmp_path: Path, run: Runner, number: int) -> None:
    dice = random.Random(number)
    with mounted(tmp_path, oddities_of(number)) as odd:
        world = World(odd, oddities_of(number), tmp_path, run, dice)
        for _ in range(dice.randrange(4, 9)):
            step = dice.choice(STEPS)
            world.need_work()
            world.begin(step.__name__)
            step(world)
        world.begin("finish")
        finish(world)
        world.begin(f"end: {world.launches} launches, {world.refused} of them refused")
        print(world.told())


def test_the_rounds_can_fail(tmp_path: Path, run: Runner) -> None:
    """Records that are doubled, lost, or paid again are found."""
    odd = OddFolder(tmp_path / "odd", tmp_path / "odd", tmp_path / "full")
    odd.folder.mkdir()
    world = World(odd, Oddities(), tmp_path, run, random.Random(0))
    rows = [(name, n, picture) for name, pictures in world.rows.items() for n, picture in enumerate(pictures)]
    lines = [
        json.dumps({"sample_id": f"{name}/{n}", "data_name": name, "index": n, "image": picture, "status": "error"})
        for name, n, picture in rows
    ]
    write = world.out / "Rank0_node0_a.jsonl", world.out / "Rank1_node0_a.jsonl"
    world.out.mkdir()
    write[0].write_text("".join(f"{line}\n" for line in lines))
    world.check_records()
    assert world.is_complete()
    write[1].write_text(f"{lines[3]}\n")
    with pytest.raises(AssertionError, match=r"1 of 40 samples are doubled in out: \['a/3'\]"):
        world.check_records()
    write[1].unlink()
    write[0].write_text("".join(f"{line}\n" for line in lines[1:]))
    assert not world.is_complete()

    rank = Rank(multiprocessing.Process(), tmp_path / "log", tmp_path / "asked")
    rank.asked_log.write_text("a/1/summary/0.1\na/2/summary/0.1\na/2/summary/0.1\n")
    before = Before({}, frozenset(), frozenset())
    world.check_payments([rank], before, kills=1)
    with pytest.raises(AssertionError, match=r"paid twice with 0 kills: \['a/2'\]"):
        world.check_payments([rank], before, kills=0)
    with pytest.raises(AssertionError, match=r"paid again: \['a/1'\]"):
        world.check_payments([rank], Before({}, frozenset({"a/1"}), frozenset()), kills=1)
