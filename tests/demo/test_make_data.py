"""The demo's data is what `demo.make_data` writes."""

import json
from pathlib import Path

from demo.make_data import DATASETS, routed_datasets, write_datasets
from demo.scene import caption
from tests.random_model import ROOT

DEMO = ROOT / "data" / "demo"


def test_the_demo_data_is_the_committed_data(tmp_path: Path) -> None:
    """Annotations exactly; of the pictures the names, since their bytes hang on the versions of the libraries."""
    write_datasets(tmp_path, DATASETS, "demo", 0)
    for name in (*(f"{name}.json" for name in DATASETS), "Metafile.json"):
        assert (tmp_path / name).read_text() == (DEMO / name).read_text(), name
    for name in DATASETS:
        assert [path.name for path in sorted((tmp_path / name).iterdir())] == [
            path.name for path in sorted((DEMO / name).iterdir())
        ]


def test_fresh_datasets_leave_the_domain_to_the_router(tmp_path: Path) -> None:
    chosen = {name: dataset for name, dataset in routed_datasets(2).items() if name in ("ui_screens", "video_clips")}
    made = write_datasets(tmp_path, chosen, "test", 5)
    metafile = json.loads((tmp_path / "Metafile.json").read_text())
    assert {entry["task"] for entry in metafile.values()} == {"auto"}
    for name, items in made.items():
        rows = json.loads((tmp_path / f"{name}.json").read_text())
        assert [row["conversations"][1]["value"] for row in rows] == [caption(item.claims) for item in items]
        assert all(item.path.exists() for item in items)
