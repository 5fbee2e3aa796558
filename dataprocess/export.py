"""Turn captions into training data.

    python dataprocess/export.py --data-folder Output/Caption --format conversations --output data/captioned
    python dataprocess/export.py --data-folder Output/Caption --format txt --output data/txt   (or --beside)
    python dataprocess/export.py --data-folder Output/Caption --format huggingface --output data/hub

Takes what the filter kept; --all takes every caption.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _repository  # noqa: F401
from exporting.account import Account
from exporting.formats import FORMATS
from exporting.job import Job, read_captions, read_thresholds

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.terminal import run_main, say


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    kinds = "\n".join(f"  {name:<14} {kind.about}" for name, kind in FORMATS.items())
    parser = argparse.ArgumentParser(
        description=f"Turn captions into training data. Formats, and what --output is:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-folder", type=Path, required=True, help="folder of caption results")
    parser.add_argument("--format", choices=tuple(FORMATS), required=True)
    parser.add_argument("--output", type=Path, help="folder or file to write")
    parser.add_argument("--all", action="store_true", help="every caption, not only those that the filter kept")
    parser.add_argument("--overwrite", action="store_true", help="an earlier export, or .txt files beside media")
    parser.add_argument("--beside", action="store_true", help="txt: write each caption beside its picture or clip")
    parser.add_argument("--instruction", help="conversations, jsonl: what the human turn asks")
    parser.add_argument("--shard-megabytes", type=int, help="webdataset, huggingface: size of a shard (1000)")
    parser.add_argument("--without-media", action="store_true", help="huggingface: the captions alone")
    options = parser.parse_args(arguments)
    own = set[str]().union(*(kind.flags for kind in FORMATS.values()))
    for flag in sorted(own - FORMATS[options.format].flags):
        if getattr(options, flag):
            names = ", ".join(name for name, kind in FORMATS.items() if flag in kind.flags)
            raise BadArguments(f"--{flag.replace('_', '-')} goes with --format {names}")
    if (options.output is None) != options.beside:
        raise BadArguments("name either --output or (with txt) --beside")
    if options.shard_megabytes is not None and options.shard_megabytes < 1:
        raise BadArguments("--shard-megabytes must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Export and tell how many captions went where; status 1 where some had to be left out."""
    options = _parse(arguments)
    account = Account(None if options.all else read_thresholds(options.data_folder))
    captions = read_captions(options.data_folder, options.all)
    own = {name: getattr(options, name) for name in ("instruction", "shard_megabytes") if getattr(options, name)}
    job = Job(captions, account, options.output, options.overwrite, not options.without_media, **own)
    kind = FORMATS[options.format]
    write = kind.beside if options.beside and kind.beside else kind.write
    write(job)
    for reason, count in account.left_out.items():
        say(f"error: left out: {count} {reason} (first: {account.examples[reason]})")
    say(f"{account.written} captions written {'beside their media' if options.beside else f'to {options.output}'}")
    return 1 if account.left_out else 0


if __name__ == "__main__":
    run_main(main)
