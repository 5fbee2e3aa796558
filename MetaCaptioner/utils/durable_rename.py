"""Names of files and folders: short enough for all file systems, and there after a power cut too."""

import errno
import os
from pathlib import Path

_CANNOT_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF}


def put_in_place(made: Path, path: Path, sync: bool = True) -> None:
    """Give a file or folder, on the same file system, the name `path`, also where that is taken by an earlier file.

    With `sync` it has that name after a power cut too, which the folder alone knows.

    Raises:
        OSError: it cannot be done.
    """
    made.replace(path)
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the file system does such a thing.

    Raises:
        OSError: the disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # of one who may write there, but not list it
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
