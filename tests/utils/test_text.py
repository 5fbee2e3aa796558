"""What is shown of texts."""

from MetaCaptioner.utils.text import counted


def test_one_of_a_thing_is_no_plural() -> None:
    assert [counted(number, "shard") for number in (0, 1, 1200)] == ["0 shards", "1 shard", "1,200 shards"]
