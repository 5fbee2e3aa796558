import json
from pathlib import Path

import pytest

from MetaCaptioner.data.metafile import read_metafile
from MetaCaptioner.data.taxonomy import DOMAINS
from MetaCaptioner.export.dataset_names import METAFILE, file_names, fitting, shard_key
from tests.export.conftest import Export, filtered
from tests.made_records import caption_record

ODD = [
    *("export", "Metafile", "EXPORT", "metafile", "export.json", "Metafile.json", "a/b", "a_b", "a\\b", "Set", "set"),
    *(
        ".",
        "..",
        "...",
        ".hidden",
        "nul",
        "con.txt",
        "x" * 300,
        "x" * 301,
        "é" * 150,
        "caf\u00e9",
        "cafe\u0301",
        "a\nb",
    ),
    *("a:b", "end.", "end ", "end"),
]


def test_names_are_fit_and_differ_on_any_file_system() -> None:
    made = file_names(ODD)
    assert len({name.casefold() for name in made.values()}) == len(ODD)
    assert list(made) == sorted(ODD)
    for name in made.values():
        assert len(f"{name}.jsonl".encode()) <= 255
        assert not set(name) & set("/\\:\n")
        assert not name.startswith(".")
        assert name.casefold() not in ("export", "metafile", "export.json", "metafile.json")
    assert [made[name] for name in ("Set", "a_b", "end")] == ["Set", "a_b", "end"]
    assert file_names(reversed(ODD)) == made


@pytest.mark.parametrize("name", [".", "..", "", "  ", "\ud800", "/"])
def test_a_name_is_always_one(name: str) -> None:
    assert fitting(name)
    assert set(fitting(name)) <= {"_"}


def test_keys_differ_and_are_short() -> None:
    keys = {shard_key(name, index) for name in ODD for index in (0, 12)}
    assert len(keys) == 2 * len(ODD)
    assert not [key for key in keys if len(key) > 200 or "." in key or "/" in key]


@pytest.mark.parametrize("kind", ["conversations", "jsonl", "txt"])
def test_no_dataset_takes_a_file_of_the_export_or_of_another(tmp_path: Path, do_export: Export, kind: str) -> None:
    texts = {name: f"caption of dataset {number}" for number, name in enumerate(ODD)}
    records = [caption_record(0, name=name, caption=texts[name]) for name in ODD]
    outcome = do_export(filtered(tmp_path / "Caption", records), kind, "--output", tmp_path / "out")
    assert outcome.status == 0, outcome.said
    account = json.loads((tmp_path / "out" / "export.json").read_text())
    assert account["captions"] == len(ODD)
    assert account["names"] == {name: made for name, made in file_names(ODD).items() if name != made}
    assert f"note: {len(account['names'])} datasets have another name in the names of files" in outcome.said
    captions = {record["caption"] for record in records}
    if kind == "txt":
        assert {path.read_text().removesuffix("\n") for path in tmp_path.glob("out/*/0.txt")} == captions
        return
    datasets, problems = read_metafile(tmp_path / "out" / METAFILE, DOMAINS)
    assert (set(datasets), problems) == (set(ODD), [])
    for name, dataset in datasets.items():
        [row] = [json.loads(line) for line in dataset.annotation.read_text().splitlines() if line.startswith("{")]
        assert row["conversations"][1]["value"] == texts[name]
