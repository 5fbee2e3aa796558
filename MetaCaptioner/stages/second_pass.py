"""A second pass of the caption stage: the samples of earlier results, with the texts of those for its prompts.

A sample whose earlier record is of no use, since that failed or lacks a text that the prompts use, ends as an error of
the kind `bad_source`. It is done again once the earlier caption has been made, or made anew.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Workflow, earlier_texts, is_earlier_text
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import ErrorKind, UserError
from MetaCaptioner.planning.leases import show_those_of
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.caption_records import is_caption, sample_from_record
from MetaCaptioner.records.done import recorded_rows
from MetaCaptioner.records.record import Record, is_error, is_without_media, told_error
from MetaCaptioner.records.scan import Rows
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.worklist.base import Work
from MetaCaptioner.worklist.best_caption import read_best
from MetaCaptioner.worklist.earlier_captions import Earlier, SampleOf, lineage, some_records, with_source


def open_second_pass(
    expected: Expected,
    folder: Path,
    output: Path,
    options: StageOptions,
    rank: Rank,
    prompts: Prompts,
    stack: ExitStack,
) -> Work:
    """The earlier captions in `folder` that fall to this process; the new ones go to `output`.

    Raises:
        UserError: there are none, or they have not what the prompts use.
    """
    read = read_best(folder, folder / "score")
    check_texts(some_records(folder, read), prompts, str(folder))
    check_uses_earlier(prompts, options.prompts_dir)

    def to_do(number: int) -> Iterator[tuple[str, Rows]]:
        return recorded_rows(folder, number, only_ok=False)

    earlier = Earlier(folder, read, expected, output, options.allow_outside_root, to_do)
    work = earlier.open(rank, options.retry_errors, stack, to_caption(prompts))
    show_those_of(folder, output)
    return work


def check_uses_earlier(prompts: Prompts, prompts_dir: Path | None) -> None:
    """Refuse prompts none of which uses a text of the earlier captions: that would be a first pass once more.

    Raises:
        UserError: that; it names the prompts.
    """
    if not any(is_earlier_text(text) for workflow in prompts.workflows.values() for text in workflow.uses()):
        which = "the shipped prompts" if prompts_dir is None else f"prompts folder {prompts_dir}: they"
        raise UserError(
            f"{which} use no text of the earlier captions (such as '{{caption}}'): name prompts of a second pass with "
            "--prompts-dir, or caption a plan (--plan, without INPUT)"
        )


def check_texts(records: Iterable[Record], prompts: Prompts, folder: str) -> None:
    """Refuse prompts that use a text which none of some captions of their domain has.

    Raises:
        UserError: that, a domain has no prompts, or these are records of another stage; names the file or the folder.
    """
    there: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if is_error(record):
            continue
        if not is_caption(record):
            raise UserError(f"data folder {folder}: {record['sample_id']} has no caption: is it of the caption stage?")
        there[str(record.get("task"))] |= _texts(record).keys()
    for task, texts in there.items():
        workflow = prompts.workflows.get(task)
        if workflow is None:
            raise UserError(f"data folder {folder}: {_no_prompts(task)}")
        for text in _lacking(workflow, texts):
            raise UserError(
                f"prompt file {prompts.files[task]}: agent '{workflow.uses()[text]}' uses '{{{text}}}', which the "
                f"captions of domain '{task}' in {folder} have not; they have {', '.join(sorted(texts))}"
            )


def to_caption(prompts: Prompts) -> SampleOf:
    """Every earlier record is a sample, with its texts or with what is wrong with it."""

    def sample_of(rank: int, record: Record) -> Sample:
        sample = with_source(sample_from_record(record), lineage(record), **_texts(record))
        if is_without_media(record):
            kind = ErrorKind.NO_MEDIA
            return replace(sample, problem=str(told_error(record).get("message") or kind), problem_kind=kind)
        problem = _problem(record, prompts)
        if problem is not None:
            return replace(sample, problem=problem, problem_kind=ErrorKind.BAD_SOURCE)
        if prompts.workflows[str(sample.task)].looks():
            return sample
        return replace(sample, unseen=record.get("media_hash"))

    return sample_of


def _problem(record: Record, prompts: Prompts) -> str | None:
    if not is_caption(record):
        kind = told_error(record).get("kind", "no caption")
        return f"the earlier caption failed ({kind}); have it made with --retry-errors, then run this again"
    workflow = prompts.workflows.get(str(record.get("task")))
    if workflow is None:
        return _no_prompts(str(record.get("task")))
    lacking = _lacking(workflow, _texts(record).keys())
    return f"the earlier record has no '{lacking[0]}', which the prompts use" if lacking else None


def _texts(record: Record) -> dict[str, str]:
    texts = earlier_texts(record.get("caption"), record.get("agents"))
    return texts | ({"subdomain": record["subdomain"]} if isinstance(record.get("subdomain"), str) else {})


def _lacking(workflow: Workflow, texts: Iterable[str]) -> list[str]:
    """The earlier texts that a workflow uses and that are not among `texts`."""
    return sorted(name for name in workflow.uses().keys() - set(texts) if is_earlier_text(name))


def _no_prompts(task: str) -> str:
    return f"domain '{task}' of earlier captions has no prompts here (is --prompts-dir missing?)"
