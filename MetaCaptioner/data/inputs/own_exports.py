"""Which text files beside pictures an export of ours wrote: those are no captions that a user gave."""

from pathlib import Path

from MetaCaptioner.data.export_manifest import NAME, digest_of, read_manifest


class Exported:
    """The lists of the folders in which one was looked for."""

    def __init__(self) -> None:
        self._lists: dict[Path, dict[str, str]] = {}

    def look_in(self, folder: Path) -> None:
        """Read the list that a folder may have.

        Raises:
            UserError: it cannot be read, so that nobody knows which captions were given.
        """
        if folder not in self._lists and (folder / NAME).exists():
            self._lists[folder] = read_manifest(folder).files

    def wrote(self, path: Path, content: bytes) -> bool:
        """Whether a text file is as an export wrote it; one that was changed since is the user's own."""
        if not self._lists:
            return False
        digest = digest_of(content)
        lists = ((folder, self._lists[folder]) for folder in path.parents if folder in self._lists)
        return any(files.get(path.relative_to(folder).as_posix()) == digest for folder, files in lists)
