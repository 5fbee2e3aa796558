"""Options that many programs have."""

from pathlib import Path
from typing import ClassVar

from MetaCaptioner.utils.options import Flag, Options, option


class PlanOption(Options):
    """The plan that is followed."""

    plan: Path = option(..., "split_plan.jsonl", Flag("FILE"))


class DataFolderOption(Options):
    """The results that are looked at."""

    data_folder: Path = option(..., "folder of caption results", Flag("FOLDER"))


class MetafileOption(Options):
    """The Metafile that is read."""

    metafile: Path = option(..., "the Metafile: dataset name -> entry", Flag("FILE"))


class OutsideOption(Options):
    """Whether rows may name files outside their root."""

    heading: ClassVar[str] = "media"

    allow_outside_root: bool = option(
        False, "read media that names with '..' or links find elsewhere", Flag(is_for_named_files=True)
    )


class SingleLaunchOption(Options):
    """The user's word that no locks are needed."""

    heading: ClassVar[str] = "run"

    single_launch: bool = option(
        False, "no other launch works on this folder: go on where the file system keeps no locks"
    )
