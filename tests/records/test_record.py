import pytest

from MetaCaptioner.records.record import glance, parse_record, told_of


@pytest.mark.parametrize(
    "line",
    [
        b'{"sample_id": "set/0", "data_name": "set", "index": 0, "status": "ok", "caption": "x"}',
        '{"sample_id": "é/0", "data_name": "é", "index": 0, "status": "error", "more": {"a": ["}"]}}'.encode(),
        b'{"sample_id": "set/0"}',
        b'{"sample_id": "set/0", "index": "0", "data_name": 3, "status": null}',
        b'{"sample_id": "set/0", "index": 1.0, "data_name": "set"}',
        b'{"sample_id": "set/0", "index": -1, "data_name": "set", "seconds": NaN}',
        b'{"sample_id": "set/0", "index": 5, "data_name": "set", "caption": "\\ud800"}',
        b'{"sample_id": "set/0", "index": 5, "data_name": "set", "caption": "\xff"}',
        b'{"sample_id": "set/0", "index": 5, "data_name": "set", "caption": "\xed\xa0\x80"}',
        b'{"sample_id": "s/0", "stage": "x", "model": "m", "prompts": 3, "root": "/r", "image": "a", "video": ["b"]}',
        b'{"sample_id": "s/0", "tar": {"file": "a.tar", "offset": 1, "size": 2}, "error": {"kind": "k"}}',
        b'{"sample_id": "s/0", "tar": {"file": 3}, "error": "bad"}',
        b'{"sample_id": "set/0", "index": 5, "data_na',
        b'{"sample_id": "set/0", "index": 5}{"sample_id": "set/1", "index": 6}',
        b'{"sample_id": 3}', b'{"index": 3}', b'{}', b'[]', b'null', b'', b'x', b'{"sample_id": "set/0", "n": 01}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_glance_at_a_line_comes_to_the_same_as_its_record(line: bytes, end: bytes) -> None:
    seen, parsed = glance(line + end), parse_record(line + end)
    assert (seen is None) == (parsed is None)
    if seen is None or parsed is None:
        return
    texts = ("sample_id", "data_name", "status", "stage", "model", "prompts", "root", "image", "video")
    types: dict[str, type] = dict.fromkeys(texts, str) | {"index": int}
    expected = {key: parsed.get(key) if isinstance(parsed.get(key), kind) else None for key, kind in types.items()}
    assert {key: getattr(seen, key) for key in types} == expected
    assert seen == told_of(parsed)
