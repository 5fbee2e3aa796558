"""What a run did and took, in words for the user."""

from collections import Counter

from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.metrics.usage import Figures, Run, figures, model_figures


def describe(run: Run) -> str:
    """A rank's run in one line."""
    sums = figures([run])
    without_media = run.errors.get(ErrorKind.NO_MEDIA, 0)
    ok, failed = run.images + run.videos, sums.failed - without_media
    parts = [f"{ok + failed} samples: {ok} ok, {failed} errors"]
    if failed:
        faults = {kind: count for kind, count in run.errors.items() if kind != ErrorKind.NO_MEDIA}
        by_kind = Counter(faults).most_common()
        parts[0] += f" ({', '.join(f'{kind} {count}' for kind, count in by_kind)})"
    if without_media:
        parts.append(f"{without_media} rows without media left out")
    if run.truncated:
        parts.append(f"{run.truncated} cut at their token budget")
    parts.append(f"{run.working_seconds:.1f} s after {run.loading_seconds:.1f} s of loading")
    parts.append(describe_rates(sums))
    cached = f" ({100 * run.cached_tokens / run.input_tokens:.0f}% cached)" if run.input_tokens else ""
    parts.append(f"{run.input_tokens:,} input tokens{cached}, {run.output_tokens:,} output tokens")
    parts += describe_claims(sums)
    used = "no GPU was used" if sums.money is None else f"{sums.money:,.2f} for tokens"
    if sums.gpu_hours is not None and not run.models:
        used = f"{sums.gpu_hours:.2f} GPU hours on {run.gpus} x {run.device or 'GPU'}"
    parts += [f"{name}: {one}" for name, one in model_figures([run]).items()] or [used]
    return "; ".join(parts)


def describe_claims(sums: Figures) -> list[str]:
    """How the sentences of captions were answered and what that took; nothing where none was checked."""
    if not sums.claims:
        return []
    counts = ", ".join(f"{count:,} {answer}" for answer, count in sums.claims.items())
    tokens = f"{sums.claim_input_tokens:,} input and {sums.claim_output_tokens:,} output tokens of these"
    more = f"{100 * sums.claims_share:.1f}% more than without, cached ones apart"
    return [f"claims: {counts}, for which {tokens} ({more})"]


def describe_rates(sums: Figures) -> str:
    """What one rank did an hour, in the kinds of media that there were, and tokens a second."""
    rates = [f"{sums.images_an_hour:,.0f} images"] if sums.images or not sums.videos else []
    rates += [f"{sums.videos_an_hour:,.0f} videos"] if sums.videos else []
    return f"{' and '.join(rates)} an hour, {sums.tokens_a_second:,.0f} tokens a second"
