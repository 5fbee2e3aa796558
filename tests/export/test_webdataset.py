import json
from pathlib import Path

import webdataset

from MetaCaptioner.records.record import Record
from tests.export.conftest import Captions, Export


def read_back(folder: Path) -> list[Record]:
    """The samples as the library gives them."""
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    return list(webdataset.WebDataset(urls, shardshuffle=False))


def test_the_library_reads_media_captions_and_ids(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, records = captions
    outcome = do_export(results, "webdataset", "--output", tmp_path / "out")
    assert outcome.status == 0
    assert f"5 captions written to {tmp_path}/out, which the filter kept (min_overall 3.5, " in outcome.said
    samples = read_back(tmp_path / "out")
    assert [sample["txt"].decode() for sample in samples] == [record["caption"] for record in records]
    told = [json.loads(sample["json"]) for sample in samples]
    assert [one["id"] for one in told] == ["0", "one", "", "0", "7"]
    for name in ("sample_id", "task", "model", "prompts", "overall"):
        assert [one[name] for one in told] == [record[name] for record in records]
    assert "root" not in told[0]
    media = tmp_path / "media"
    assert [samples[n]["png"] for n in range(3)] == [(media / f"{n}.png").read_bytes() for n in (0, 1, 3)]
    assert samples[3]["mp4"] == (media / "a.mp4").read_bytes()
    assert samples[4]["webm"] == (media / "b.x.webm").read_bytes()
    keys = [sample["__key__"] for sample in samples]
    assert keys == [*(f"photos-{n:09d}" for n in (0, 1, 3)), *(f"the%2Eclips%2Fset-{n:09d}" for n in (0, 7))]


def test_shards_have_the_size_asked_for(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, records = captions
    path = Path(records[0]["root"]) / "0.png"
    path.write_bytes(path.read_bytes() + bytes(1_100_000))
    kept = results / "filtered" / "kept.jsonl"
    kept.write_text("".join(json.dumps({**record, "media_hash": None}) + "\n" for record in records))
    do_export(results, "webdataset", "--output", tmp_path / "out", "--shard-megabytes", "1")
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2
    assert len(read_back(tmp_path / "out")) == 5


def test_media_that_are_not_what_was_captioned_are_left_out(
    tmp_path: Path, captions: Captions, do_export: Export
) -> None:
    results, records = captions
    media = Path(records[0]["root"])
    (media / "0.png").write_bytes((media / "1.png").read_bytes())
    (media / "a.mp4").unlink()
    outcome = do_export(results, "webdataset", "--output", tmp_path / "out")
    assert outcome.status == 1
    assert f"left out: 1 captions whose media have changed since (first: {media}/0.png)" in outcome.said
    assert "left out: 1 captions whose media cannot be read (media_missing)" in outcome.said
    assert [sample["txt"].decode() for sample in read_back(tmp_path / "out")] == ["caption 1", "caption 3", "caption 7"]
    account = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (account["captions"], sum(account["left_out"].values())) == (3, 2)
