import random

import pytest

from MetaCaptioner.agents.blocks import claims_of, split, without

CLAIMS = {
    "A cat sits. A dog runs.": ["A cat sits.", "A dog runs."],
    "# The scene\n\nA cat sits.\n\n## Left\n\n- A red car. It is old.\n- two men\n  walking away\n": [
        *("A cat sits.", "A red car.", "It is old.", "two men\n  walking away")
    ],
    "**Layout**\nA cat sits\non a mat.\n**Colours:**\nRed.": ["A cat sits\non a mat.", "Red."],
    "Objects:\n* red\n* blue\n1) one\n2. two\n(a) three\n• four\n- [x] five": [
        *("red", "blue", "one", "two", "three", "four", "five")
    ],
    "The dashboard has four panels:\n- one": ["The dashboard has four panels:", "one"],
    "- **Sky:** blue. Clear.": ["**Sky:** blue.", "Clear."],
    "> It is quoted. All of it.": ["It is quoted.", "All of it."],
    "Line one\nLine two\n\nLine three": ["Line one", "Line two", "Line three"],
    "The sum $x = 1.5. y$ is there. Prices are $4.50 and $5. Then \\(a. B\\) ends.": [
        *("The sum $x = 1.5. y$ is there.", "Prices are $4.50 and $5.", "Then \\(a. B\\) ends.")
    ],
    "It reads:\n\n$$a. B\n\nc$$\n\n\\[x. Y\\]\n\n\\begin{cases} A. B \\\\ C. D \\end{cases}\n\n$E = mc^2$\n\nEnd.": [
        "End."
    ],
    "Code:\n```python\na = 1. B\n\nprint('A cat. A dog.')\n```\nIt calls `os.path. X` once.": [
        "It calls `os.path. X` once."
    ],
    "A fence that nobody closes.\n~~~\nA. B\n\nC.": ["A fence that nobody closes."],
    "<table><tr><td>A. B</td></tr></table>\nA table.": ["A table."],
    "| Year | Sales |  |\n|------|:-----:|--|\n| 2019 | 4.2 | A. B |\n| 2020 |  |\n\nThat is all.": [
        *("Year: 2019; Sales: 4.2; A. B", "Year: 2020", "That is all.")
    ],
    "---\n\n…\n\n- \n\nWord": ["Word"],
    "这张图片展示了以下内容：\n- 一只猫。它是黑色的。": ["一只猫。", "它是黑色的。"],
    "": [],
}


@pytest.mark.parametrize("caption", CLAIMS)
def test_what_a_caption_claims(caption: str) -> None:
    assert claims_of(split(caption)) == CLAIMS[caption]
    assert "".join(map(str, split(caption))) == caption


LEFT = [
    # caption, claims that are kept, what is left
    ("A cat sits. A dog runs. A bird flies.", "101", "A cat sits. A bird flies."),
    ("A cat sits. A dog runs. A bird flies.", "110", "A cat sits. A dog runs."),
    ("A cat sits. A dog runs. A bird flies.", "001", "A bird flies."),
    ("一只猫。一只狗。一只鸟。", "101", "一只猫。一只鸟。"),
    ("One. Two.\n\nThree.\n\nFour. Five.", "110110", "One. Two.\n\nFour. Five."),
    ("One.\n\nTwo.\n\nThree.", "110", "One.\n\nTwo."),
    ("Below:\n- a\n- b\n\nNext.", "101", "Below:\n- a\n\nNext."),
    ("Below:\n- a\n- b\n\nNext.", "001", "Next."),
    ("Below:\n\n- a\n  - b\n- c", "110", "Below:\n\n- a\n  - b"),
    ("1. One. More.\n2. Two.", "011", "1. More.\n2. Two."),
    ("# T\n\n## A\n\nOne.\n\n## B\n\nTwo.", "01", "# T\n\n## B\n\nTwo."),
    ("# T\n\n## A\n\nOne.\n\n# B\n\nTwo.", "01", "# B\n\nTwo."),
    ("# T\n\nOne.\n\n```\ncode\n```\n\n# B\n\nTwo.", "01", "# T\n\n```\ncode\n```\n\n# B\n\nTwo."),
    ("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nEnd.", "011", "| a | b |\n|---|---|\n| 3 | 4 |\n\nEnd."),
    ("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nEnd.", "101", "| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd."),
    ("| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd.", "01", "End."),
    ("It is $a. B$. Then\n\n$$x$$\n\nEnd.", "011", "Then\n\n$$x$$\n\nEnd."),
    ("One. Two.", "00", ""),
    ("# T\n\nOne.\n\n$$x$$", "0", ""),
    ("$$x$$", "", "$$x$$"),
]


@pytest.mark.parametrize(("caption", "kept", "left"), LEFT)
def test_what_is_left_is_as_it_was(caption: str, kept: str, left: str) -> None:
    blocks = split(caption)
    is_kept = [sign == "1" for sign in kept[: len(claims_of(blocks))]]
    assert without(blocks, is_kept) == left


def test_no_text_is_lost_whatever_is_in_it() -> None:
    signs = [
        *"aB1. .\n|-#*`$\\[]()\"'“”。！é🎉\u2028\t:>\r\x0b\x00٣",
        "e.g. ",
        "- ",
        "1. ",
        "```",
        "\n\n",
        "$$",
        "## ",
        "a: ",
    ]
    signs += ["| a | b |\n|---|---|\n", "\\begin{a}", "\\end{a}", "<table>", "**x**"]
    rng = random.Random(1)
    for _ in range(3000):
        text = "".join(rng.choice(signs) for _ in range(rng.randrange(60)))
        blocks = split(text)
        claims = claims_of(blocks)
        assert "".join(map(str, blocks)) == text
        assert without(blocks, [True] * len(claims)) == text
        kept = [rng.random() < 0.5 for _ in claims]
        if any(kept):
            assert without(blocks, kept).strip()
