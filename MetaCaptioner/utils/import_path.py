"""Where modules and shared libraries are taken from: never from the current folder, which may be a dataset's."""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (as the path has it)
_ROOT = os.path.dirname(os.path.dirname(_HERE))  # noqa: PTH120


def leave_out_current_folder() -> None:
    """Have nothing imported from the current folder from now on, here or in any process that is started from here.

    `python -m` puts that folder first, as do empty and relative entries of PYTHONPATH; so does `python -c`, with which
    multiprocessing starts its helpers. Where the package itself was found so, its folder stays.

    Source: Python's manual, "Command line and environment", -P and PYTHONSAFEPATH.
    """
    entries, absolute = _entries("PYTHONPATH")
    relative = {os.path.abspath(entry) for entry in entries} - set(absolute)  # noqa: PTH100 (Python has made them so)
    if is_being_run() and not sys.flags.safe_path and sys.path[0] != _ROOT:
        del sys.path[0]
    sys.path[:] = [entry for entry in sys.path if entry == _ROOT or (entry and entry not in relative)]
    if sys.path[0] == _ROOT and _ROOT not in absolute:
        absolute.insert(0, _ROOT)
    os.environ |= {"PYTHONPATH": os.pathsep.join(absolute), "PYTHONSAFEPATH": "1"}
    keep_search_paths_absolute()


def keep_search_paths_absolute() -> None:
    """Have no process that is started from here look for programs and shared libraries in its current folder.

    That is what an empty entry means, such as that behind the last colon of `/usr/local/lib:`.

    Source: ld.so(8), LD_LIBRARY_PATH; POSIX.1-2017, "Environment Variables", PATH.
    """
    for name in ("PATH", "LD_LIBRARY_PATH"):
        _, absolute = _entries(name)
        if absolute:
            os.environ[name] = os.pathsep.join(absolute)
        else:
            os.environ.pop(name, None)


def is_being_run() -> bool:
    """Whether Python still looks for the module that `python -m` named, and imports the packages that it is in."""
    return sys.argv[:1] == ["-m"]


def _entries(name: str) -> tuple[list[str], list[str]]:
    """(all entries, the absolute ones) of a search path in the environment."""
    given = os.environ.get(name)
    entries = given.split(os.pathsep) if given else []
    return entries, [entry for entry in entries if os.path.isabs(entry)]  # noqa: PTH117
