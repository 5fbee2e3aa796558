"""MetaCaptioner: dense captions for image and video datasets, by agents on vLLM."""

from typing import TYPE_CHECKING

from MetaCaptioner.utils.import_path import is_being_run, leave_out_current_folder

if TYPE_CHECKING:
    from MetaCaptioner.api import Captioner, CaptionRecord

__all__ = ["CaptionRecord", "Captioner"]
__version__ = "0.2.0.dev0"

if is_being_run():  # not where another program imports the package: its path is its own
    leave_out_current_folder()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """What is for programs of others, and takes longer to import than a command may take to answer."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from MetaCaptioner import api

    return getattr(api, name)
