import random

import pytest

from MetaCaptioner.data.inputs.base import Notes
from MetaCaptioner.data.inputs.sample_groups import Grouped, grouped
from MetaCaptioner.data.inputs.tars import Member


def samples(*names: str) -> tuple[list[Grouped], list[str]]:
    notes = Notes()
    members = [Member(name, name, 512 * number, 1) for number, name in enumerate(names, start=1)]
    return list(grouped(members, "a.tar", notes)), list(notes.lines())


@pytest.mark.parametrize(
    ("names", "made"),
    [
        ("7.jpg 7.seg.png 7.depth.png 7.json 7.txt", "7: 7.jpg 7.txt 7.json"),
        (
            "v1.0_001.jpg v1.0_001.json v1.0_002.jpg",
            "v1.0_001: v1.0_001.jpg - v1.0_001.json; v1.0_002: v1.0_002.jpg - -",
        ),
        ("p.2024.05.01.jpg p.2024.05.01.seg.png p.2024.05.01.txt", "p.2024.05.01: p.2024.05.01.jpg p.2024.05.01.txt -"),
        ("a.b.jpg a.b.txt", "a.b: a.b.jpg a.b.txt -"),
        ("a.b.jpg a.c.jpg a.c.txt a.txt", "a.b: a.b.jpg - -; a.c: a.c.jpg a.c.txt -"),
        ("a.image.jpg a.caption.txt a.meta.json", "a: a.image.jpg a.caption.txt -"),
        ("a.Image.JPG a.mask.png a.TXT", "a: a.Image.JPG a.TXT -"),
        ("a.jpg a.mp4 a.txt", "a: a.mp4 a.txt -"),
        ("a.jpg a.png", "a: a.jpg - -"),
        ("a.ocr.txt a.caption.txt a.jpg", "a: a.jpg a.caption.txt -"),
        ("x.y/a.jpg x.z/a.txt x.y/a.json", "x.y/a: x.y/a.jpg - x.y/a.json"),
        ("a.avi.mp4", "a.avi: a.avi.mp4 - -"),
        ("a.3gp a.txt", "a: a.3gp a.txt -"),
        ("a a.txt", ""),
    ],
)
def test_which_members_are_one_sample(names: str, made: str) -> None:
    found, _ = samples(*names.split())
    texts = [(one.key, one.media.name, *(m.name if m else "-" for m in (one.text, one.told))) for one in found]
    assert "; ".join(f"{key}: {' '.join(rest)}" for key, *rest in texts) == made


def test_no_picture_has_the_text_of_another() -> None:
    """Of many names with dots, in any order: a text of the same name or none, and each picture a sample or counted."""
    chance = random.Random(0)
    parts = ["a", "b2", "2024", "0_1", "seg", "com", "v1"]
    for _ in range(500):
        keys = {".".join(chance.choices(parts, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 9))}
        names = [f"{key}.{extension}" for key in keys for extension in ("jpg", "txt")]
        chance.shuffle(names)
        found, lines = samples(*names)
        for one in found:
            assert one.text is None or one.text.name == one.media.name.replace(".jpg", ".txt")
            assert one.key == one.media.name.removesuffix(".jpg")
        beside = sum(int(line.split()[2]) for line in lines if "pictures and clips beside" in line)
        assert len(found) + beside == len(keys)
