"""Turn captions into training data.

    python dataprocess/export.py --data-folder Output/Caption --format conversations --output data/captioned
    python dataprocess/export.py --data-folder Output/Caption --format txt --output data/txt   (or --beside)
    python dataprocess/export.py --data-folder Output/Caption --format huggingface --output data/hub

Takes what the filter kept, in the order of the annotation files; --all takes every caption.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from MetaCaptioner.agents.thresholds import told_mixture
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.export.captions import Captions, all_captions, kept_captions, scratch_file
from MetaCaptioner.export.filtered import KEPT, REJECTED, SUMMARY, Comparison, find_place, read_summary, score_folder
from MetaCaptioner.export.job import Job
from MetaCaptioner.export.registry import FORMATS
from MetaCaptioner.export.totals import Account
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, is_error
from MetaCaptioner.utils.cli import note, run_main, say
from MetaCaptioner.utils.common_options import DataFolderOption, OutsideOption, SingleLaunchOption
from MetaCaptioner.utils.options import Flag, Options, option
from MetaCaptioner.utils.options_sources import read


class TextOptions(Options):
    """How captions become texts."""

    heading: ClassVar[str] = "captions as texts"

    beside: bool = option(False, "write each caption beside its picture or clip")
    one_line: bool = option(False, "join the lines of a caption")
    own_texts: Literal["keep", "replace"] | None = option(
        None, "with --beside: .txt files that are there and no export's (default: refused)"
    )


class ExportOptions(DataFolderOption, TextOptions, OutsideOption, SingleLaunchOption):
    """Which captions become which training data, and where they go."""

    command: ClassVar[str] = "export"

    format: str = option(..., "what is made", Flag(choices=tuple(FORMATS)))
    output: Path | None = option(None, "folder or file to write", Flag("PLACE"))
    all: bool = option(False, "every caption, not only those that the filter kept")
    filtered: Path | None = option(None, "what the filter wrote (default: what it wrote last)", Flag("FOLDER"))
    stale: bool = option(False, "take what the filter kept even if it is out of date")
    overwrite: bool = option(False, "an earlier export, and nothing else")
    instruction: str | None = option(
        None, f"conversations, jsonl: what the human turn asks (default: {Job.instruction})", Flag("TEXT")
    )
    shard_megabytes: int | None = option(
        None, f"webdataset, huggingface: size of a shard (default: {Job.shard_megabytes})", ge=1
    )
    without_media: bool = option(False, "huggingface: the captions alone")

    @model_validator(mode="after")
    def _check(self) -> Self:
        own = set[str]().union(*(kind.flags for kind in FORMATS.values()))
        for flag in sorted(own - FORMATS[self.format].flags):
            if getattr(self, flag):
                names = ", ".join(name for name, kind in FORMATS.items() if flag in kind.flags)
                raise BadArguments(f"--{flag.replace('_', '-')} goes with --format {names}")
        if (self.output is None) != self.beside:
            raise BadArguments("name either --output or (with txt) --beside")
        if self.own_texts and not self.beside:
            raise BadArguments("--own-texts goes with --beside")
        if self.all and (self.filtered or self.stale):
            raise BadArguments("--all takes what was not filtered; --filtered and --stale do not go with it")
        return self


_KINDS = "\n".join(f"  {name:<14} {kind.about}" for name, kind in FORMATS.items())
_ABOUT = f"Turn captions into training data. Formats, and what --output is:\n{_KINDS}"
OPTIONS = ExportOptions


def _filtered(options: ExportOptions, account: Account) -> tuple[Captions, Path]:
    """What the filter kept, and its folder, once it is known to be what the results hold now.

    Raises:
        UserError: it is not, or there is nothing.
    """
    data_folder, folder = options.data_folder, options.filtered or find_place(options.data_folder)
    kept, summary = folder / KEPT, read_summary(folder)
    if not kept.is_file():
        raise UserError(f"{kept}: is missing; filter first (metacaptioner filter), or use --all")
    if summary is None and not options.stale:
        raise UserError(f"{folder / SUMMARY}: is missing, so the filter was cut off: filter again (or --stale)")
    summary = summary or {}
    thresholds = summary.get("thresholds")
    account.thresholds = thresholds if isinstance(thresholds, dict) else None
    if folder.absolute() != (data_folder / "filtered").absolute():
        say(f"takes {kept}")
    compared = Comparison(folder, data_folder, score_folder(summary, data_folder))
    captions = kept_captions(kept, account, compared.look, options.allow_outside_root)
    if not compared.possible():
        note(f"{data_folder} holds no results: whether {kept} is up to date is not known")
        return captions, folder
    stale = compared.stale()
    if stale.kept and not options.stale:
        raise UserError(
            f"{kept}: {stale.kept} of its captions are not what {data_folder} holds now (first: {stale.first_kept}): "
            "filter again, or --stale exports them as they are there"
        )
    for what, count, first in (
        ("captions or their marks have changed since they were filtered", stale.kept, stale.first_kept),
        ("captions that the filter has not seen as they are now are not among them", stale.others, stale.first_other),
    ):
        if count:
            account.note(what, first, count)
    return captions, folder


def _others(options: ExportOptions, filtered: Path | None) -> Iterator[Record]:
    """What these results have records of that is not exported."""
    if filtered is None:
        files = [path for path, _ in result_files(options.data_folder)]
        wanted: Iterator[Record] = (record for path in files for record in read_records(path) if is_error(record))
    else:
        wanted = read_records(filtered / REJECTED) if (filtered / REJECTED).is_file() else iter(())
    return (record for record in wanted if record.get(str(record.get("modality"))) and "root" in record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Export and tell how many captions went where; status 1 where some had to be left out."""
    options = read(OPTIONS, arguments, _ABOUT)
    account, filtered = Account(), None
    with ExitStack() as stack:
        if options.all:
            scratch = stack.enter_context(scratch_file())
            captions = all_captions(options.data_folder, account, scratch, options.allow_outside_root)
        else:
            captions, filtered = _filtered(options, account)
        stack.enter_context(captions)
        for line in told_mixture(captions.judged):
            note(line)
        own = {name: getattr(options, name) for name in ("instruction", "shard_megabytes") if getattr(options, name)}
        job = Job(
            captions,
            account,
            options.data_folder.resolve(),
            lambda: _others(options, filtered),
            options.output,
            options.overwrite,
            not options.without_media,
            one_line=options.one_line,
            own_texts=options.own_texts,
            allow_outside_root=options.allow_outside_root,
            single_launch=options.single_launch,
            **own,
        )
        kind = FORMATS[options.format]
        write = kind.beside if options.beside and kind.beside else kind.write
        write(job)
    account.tell()
    place = "beside their media" if options.beside else f"to {options.output}"
    say(f"{account.written} captions written {place}{_source(account)}")
    return 1 if account.left_out else 0


def _source(account: Account) -> str:
    told = ", ".join(account.filter_told())
    return f", which the filter kept ({told})" if told else ""


if __name__ == "__main__":
    run_main(main)
