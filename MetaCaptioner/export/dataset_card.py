"""The dataset card of a Hugging Face export."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.export.totals import Account
from MetaCaptioner.utils.text import shown

_TASKS: dict[Modality, str] = {"image": "image-to-text", "video": "video-text-to-text"}
# The Hub's own classes; the last has no upper end.
_SIZES = (
    *((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")),
    *((10**8, "10M<n<100M"), (10**9, "100M<n<1B")),
)


def card(title: str, modalities: Sequence[Modality], account: Account) -> str:
    """README.md: the Hub's metadata, then for readers what the captions are, by counts, models and thresholds."""
    content = account.content()
    sections = [
        f"# {_plain(title)}",
        f"{account.written:,} captions of images and videos, written by models. Where there are marks, a judge model "
        "gave them, from 1 to 5, of which 5 is best. Models make mistakes: expect some.",
        f"Filter: {_filter(account)}.",
        *(_table(name, content.get(key, {})) for name, key in _COUNTED.items()),
    ]
    return f"---\n{_metadata(modalities, account.written)}\n---\n\n" + "\n\n".join(sections) + "\n"


_COUNTED = {
    "Dataset": "datasets",
    "Domain": "domains",
    "Media": "modalities",
    "Model": "models",
    "Prompts (hash)": "prompts",
}


def _metadata(modalities: Sequence[Modality], count: int) -> str:
    from huggingface_hub import DatasetCardData

    configs: list[dict[str, Any]] = [
        {"config_name": name, "data_files": [{"split": "train", "path": f"data/{name}/*.parquet"}]}
        for name in modalities
    ]
    if configs:
        configs[0]["default"] = True
    size = next((name for limit, name in _SIZES if count < limit), "n>1T" if count >= 10**12 else "1B<n<10B")
    tasks = [_TASKS[name] for name in modalities]
    return DatasetCardData(configs=configs, size_categories=[size], task_categories=tasks).to_yaml()


def _filter(account: Account) -> str:
    return "none, or not known" if account.thresholds is None else ", ".join(map(_plain, account.filter_told()))


def _table(name: str, counts: Mapping[str, int]) -> str:
    rows = [f"| {_plain(value)} | {count:,} |" for value, count in counts.items()]
    return "\n".join([f"| {name} | Captions |", "| --- | ---: |", *rows])


def _plain(text: object) -> str:
    """Text that stays text in Markdown and HTML."""
    return html.escape(shown(" ".join(str(text).split()))).replace("|", "&#124;")
