"""MetaCaptioner: dense captions for image and video datasets, by agents on vLLM."""

from MetaCaptioner.utils.import_path import is_being_run, leave_out_current_folder

__version__ = "0.2.0.dev0"

if is_being_run():  # not where another program imports the package: its path is its own
    leave_out_current_folder()
