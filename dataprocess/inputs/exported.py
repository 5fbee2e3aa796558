"""Which text files beside pictures an export of ours wrote: those are no captions that a user gave.

An export keeps a list in the folder that it writes below:
`{"format": 1, "files": {"a/b.txt": SHA-256 of its content}}`.
"""

import hashlib
import json
from pathlib import Path

MANIFEST = ".metacaptioner-export.json"


class Exported:
    """The lists of the folders in which one was looked for."""

    def __init__(self) -> None:
        self._lists: dict[Path, dict[str, object]] = {}

    def look_in(self, folder: Path) -> None:
        """Read the list that a folder may have; one that is broken counts as none."""
        if folder in self._lists:
            return
        try:
            listed = json.loads((folder / MANIFEST).read_bytes())
        except (OSError, ValueError, RecursionError):
            return
        files = listed.get("files") if isinstance(listed, dict) else None
        if isinstance(files, dict):
            self._lists[folder] = files

    def wrote(self, path: Path, content: bytes) -> bool:
        """Whether a text file is as an export wrote it; one that was changed since is the user's own."""
        if not self._lists:
            return False
        digest = hashlib.sha256(content).hexdigest()
        lists = ((folder, self._lists[folder]) for folder in path.parents if folder in self._lists)
        return any(files.get(path.relative_to(folder).as_posix()) == digest for folder, files in lists)
