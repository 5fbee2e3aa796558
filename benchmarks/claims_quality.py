"""What the check of claims (`--claims`) is worth and costs, on fresh drawings whose facts are known.

    python -m benchmarks.claims_quality [--items 48] [--model data/demo/model] [--write FILE]

Draws pictures and clips that were never trained on, and captions them with the command that users run. Then the true
caption of each drawing and one with a mistake (in turns a wrong colour, count or value, something invented, another
picture's caption) are checked, sentence by sentence, as the caption stage does it. Ends with status 1 if a figure is
below what is asked of a model. Any model will do; with --prompts-dir its prompts.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.demo_quality import (
    JUDGED_MISTAKES,
    MODEL,
    PROMPTS,
    ROOT,
    Target,
    damaged,
    facts_of,
    read_folder,
    report,
    run_module,
)
from benchmarks.metrics import FactCount, area_under_roc
from demo.corrupt import Judged, right
from demo.drawing import AGENTS
from demo.make_data import Item, routed_datasets, write_datasets
from MetaCaptioner import inferscore
from MetaCaptioner.agents.claims import ask_claims, without_doubtful
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Generate, base_texts
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import UserError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.metrics.usage import figures, runs_of
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.claims import SUPPORTED, UNANSWERED, answer_of, probabilities
from MetaCaptioner.records.record import Record
from MetaCaptioner.runner.loop import RunSample
from MetaCaptioner.runner.stage import Stage, run_stage
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.stages.resample import ScoreOptions
from MetaCaptioner.utils.cli import run_main
from MetaCaptioner.worklist.base import Work


@dataclass(frozen=True)
class Planted:
    """A caption of a drawing, true or with a mistake, and the answers about its sentences."""

    item: Item
    judged: Judged
    claims: Sequence[Record]

    def answered(self) -> Iterator[tuple[bool, float]]:
        """Of each sentence with an answer: whether it is true, and how probable it is to the model (or 1 and 0)."""
        true = {claim.sentence() for claim in self.item.claims}
        for claim in self.claims:
            if answer_of(claim) != UNANSWERED:
                is_supported = float(answer_of(claim) == SUPPORTED)
                yield claim["text"] in true, probabilities(claim).get(SUPPORTED, is_supported)


# --- asking about planted captions


def run_sample(prompts: Prompts) -> RunSample:
    """Asks about the sentences of a caption that somebody else has written."""

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        check = prompts.workflows[str(sample.task)].claims
        assert check is not None
        texts = base_texts(sample, media, None)
        return {"claims": await ask_claims(check, texts["caption"], texts, generate)}

    return run


def open_work(expected: Expected, options: ScoreOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """All captions of a folder."""
    work = inferscore.captions_to_score(options.data_folder, options.scores, expected, options)
    return work.open(rank, options.retry_errors, stack, inferscore.to_score)


STAGE = Stage("claims_quality", ("agents",), run_sample, ScoreOptions, open_work)


def plant(
    items: Sequence[Item], captions: dict[str, Record], folder: Path, seed: int
) -> dict[str, tuple[Item, Judged]]:
    """Write the caption records that are asked about; by their samples what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    planted: dict[str, tuple[Item, Judged]] = {}
    with (folder / "Rank0_node0_planted.jsonl").open("w") as file:
        for number, item in enumerate(items):
            for judged in (right(item.claims, AGENTS[item.kind.domain][2]), damaged(items, number, seed)):
                name = f"{item.dataset}_{'right' if judged.mistake is None else 'damaged'}"
                sample = {"sample_id": f"{name}/{item.index}", "data_name": name, "task": item.kind.domain}
                planted[sample["sample_id"]] = item, judged
                record = captions[f"{item.dataset}/{item.index}"]
                file.write(json.dumps({**record, **sample, "caption": judged.caption}) + "\n")
    return planted


def ask(folder: Path, planted: dict[str, tuple[Item, Judged]], flags: Sequence[str]) -> list[Planted]:
    """Have all sentences of the planted captions answered.

    Raises:
        UserError: it cannot be done.
    """
    answers = folder / "claims"
    if status := run_stage(STAGE, ["--data-folder", str(folder), "--output-dir", str(answers), *flags]):
        raise UserError(f"the check of planted captions ended with status {status}")
    records = read_folder(answers)
    return [Planted(*planted[sample], records[sample]["claims"]) for sample in planted]


# --- figures


def telling_apart(found: Sequence[Planted]) -> tuple[list[Target], list[str]]:
    """How well the probabilities tell true sentences from false ones, by the sort of mistake."""
    true = [share for one in found for is_true, share in one.answered() if is_true]
    false: dict[str, list[float]] = defaultdict(list)
    for one in found:
        false[str(one.judged.mistake)] += [share for is_true, share in one.answered() if not is_true]
    lines = [
        "| sentences | number | mean probability | AUC against true | answered supported |",
        "| --- |" + " --- |" * 4,
    ]
    lines.append(f"| true | {len(true)} | {_mean(true):.3f} | | {_supported(true):.3f} |")
    for sort in JUDGED_MISTAKES:
        if shares := false[sort]:
            area = area_under_roc(true, shares)
            figures_of = f"{len(shares)} | {_mean(shares):.3f} | {area:.3f} | {_supported(shares):.3f}"
            lines.append(f"| {sort.replace('_', ' ')} | {figures_of} |")
    bad = [share for shares in false.values() for share in shares]
    unanswered = sum(answer_of(claim) == UNANSWERED for one in found for claim in one.claims)
    lines += ["", f"{unanswered} questions had no answer."]
    return [Target("AUC, true against planted false claims", area_under_roc(true, bad), 0.95)], lines


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares) if shares else 0.0


def _supported(shares: Sequence[float]) -> float:
    return _mean([float(share >= 0.5) for share in shares])


def dropping(name: str, captions: Sequence[tuple[Item, str, Sequence[Record]]]) -> tuple[FactCount, FactCount, str]:
    """The facts of captions before and after their doubtful sentences are dropped, and a row of the table."""
    before = sum((facts_of(item, caption) for item, caption, _ in captions), FactCount())
    after = sum((facts_of(item, without_doubtful(caption, claims)) for item, caption, claims in captions), FactCount())
    row = f"| {name} | {len(captions)} | {before.precision:.4f} | {after.precision:.4f} | {lost(before, after):.4f} |"
    return before, after, row


def lost(before: FactCount, after: FactCount) -> float:
    """The share of the true facts that dropping has cost."""
    return 1 - after.right / before.right if before.right else 0.0


def drops(
    found: Sequence[Planted], items: Sequence[Item], captions: dict[str, Record]
) -> tuple[list[Target], list[str]]:
    """What dropping does to planted captions, right and damaged ones, and to the model's own."""
    own = [(item, captions[f"{item.dataset}/{item.index}"]) for item in items]
    groups = {
        "damaged": [(one.item, one.judged.caption, one.claims) for one in found if one.judged.mistake is not None],
        "right": [(one.item, one.judged.caption, one.claims) for one in found if one.judged.mistake is None],
        "the model's own": [(item, record["caption"], record["claims"]) for item, record in own],
    }
    counts = {name: dropping(name, group) for name, group in groups.items()}
    lines = ["| captions | number | precision before | after | true facts lost |", "| --- |" + " --- |" * 4]
    lines += [row for _, _, row in counts.values()]
    (before, after, _), (own_before, own_after, _) = counts["damaged"], counts["the model's own"]
    return [
        Target("fact precision gained by drop, captions with a mistake", after.precision - before.precision, 0.01),
        Target("true facts lost by drop, right captions", lost(*counts["right"][:2]), 0.02, at_most=True),
        Target("true facts lost by drop, the model's own", lost(own_before, own_after), 0.02, at_most=True),
    ], lines


def costs(folder: Path) -> tuple[list[Target], list[str]]:
    """What the check took beside captioning: tokens that were read anew or written."""
    sums = figures([run for run in runs_of([folder]) if run.stage == "captionpipeline"])
    rows = {
        "claims": (sums.claim_input_tokens, sums.claim_cached_tokens, sums.claim_output_tokens),
        "all": (sums.input_tokens, sums.cached_tokens, sums.output_tokens),
    }
    told = [f"{sum(sums.claims.values()):,} sentences of {sums.images + sums.videos:,} captions", ""]
    told += ["| tokens of | input | of them cached | output |", "| --- |" + " --- |" * 3]
    told += [f"| {name} | " + " | ".join(f"{count:,}" for count in counts) + " |" for name, counts in rows.items()]
    return [Target("extra tokens, cached ones apart", sums.claims_share, 0.10, at_most=True)], told


def evaluate(work: Path, items_a_domain: int, seed: int, flags: Sequence[str]) -> tuple[list[Target], str]:
    """Draw, caption, ask, measure. Returns the figures asked for and the report as Markdown.

    What `work` holds of an interrupted run with the same arguments is not done again. `flags` are for the stages.

    Raises:
        UserError: a stage failed.
    """
    made = write_datasets(work / "data", routed_datasets(items_a_domain), "eval", seed)
    items = [item for dataset in made.values() for item in dataset]
    plan, out, checked = work / "plan.jsonl", work / "Caption", [*flags, "--claims", "check"]
    run_module("plan", "--metafile", work / "data" / "Metafile.json", "--num-ranks", "1", "--output", plan)
    run_module("captionpipeline", "--plan", plan, "--output-dir", out, *checked)
    captions = read_folder(out)
    planted = plant(items, captions, work / "Planted", seed)
    found = ask(work / "Planted", planted, checked)
    targets: list[Target] = []
    text: list[str] = []
    parts = {"Telling apart": telling_apart(found), "Dropping": drops(found, items, captions), "Cost": costs(out)}
    for title, (asked, lines) in parts.items():
        targets += asked
        text += [f"**{title}**", "", *lines, ""]
    return targets, report("claims_quality", "captioned and checked", targets, text, items_a_domain, seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say with the exit status whether all figures are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=48, help="drawings a domain")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--prompts-dir", default=str(PROMPTS))
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--work", type=Path, default=ROOT / "Output" / "claims_quality", help="a folder of its own")
    parser.add_argument("--write", type=Path, help="write the figures and the report to this JSON file")
    options = parser.parse_args(arguments)
    flags = ["--model", options.model, "--prompts-dir", options.prompts_dir, "--engine", options.engine]
    targets, markdown = evaluate(options.work, options.items, options.seed, flags)
    print(markdown)
    if options.write:
        told = {"figures": {target.name: target.value for target in targets}, "markdown": markdown}
        options.write.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if all(target.reached for target in targets) else 1


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:]))
