"""Batches of drawings and questions as arrays, drawn by worker processes while the model trains.

Pictures become 8x8 tokens and clips four times 4x4, so that every medium is 64 tokens and every batch has one shape.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.architecture import TOKEN_IDS
from demo.drawing import AGENTS, KINDS, kinds_of
from demo.drills import draw_page
from demo.scene import CLIP_SIDE, SIDE, Claim, Clip, Drawing, Kind, Picture, stream
from demo.tasks import Example, Teacher
from MetaCaptioner.engine.base import SYSTEM_MESSAGE

PICTURE_SIDE, FRAME_SIDE, FRAMES = SIDE // 2, CLIP_SIDE // 2, 8
"""Pixels and frames as the model sees them: its processor shrinks what is larger."""

MEDIA_TOKENS = 64
PAGES = 1 / 4
"""Pages to read from, for each drawing of a batch."""

LENGTHS = {"read": 112, "route": 288, "notes": 80, "reasoning": 96, "summary": 192, "judge": 240, "claims": 64}
"""Tokens of instruction and answer that an example of a task may have; the rest of a row is padding."""

SHARES = {"read": 0.25, "route": 0.125, "notes": 2.0, "reasoning": 1.0, "summary": 0.25, "judge": 1.0, "claims": 2.0}
"""Examples for each drawing of a batch."""

FAST = 0.7
"""Share of the drawings that are shrunk the fast way: drawing is what training waits for."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """The examples of one task: tokens (n, LENGTHS[task]), where the answer begins and ends (n), which medium (n)."""

    tokens: Ints
    begins: Ints
    ends: Ints
    media: Ints


@dataclass(frozen=True)
class Batch:
    """Pictures (p, side, side, 3) and clips (c, frames, side, side, 3) of 8 bit; media are numbered pictures first.

    The last of the pictures are pages; `cells` (pages, MEDIA_TOKENS, CELLS) has their letters, as `drills.Page` does.
    `kinds` names what each medium is.
    """

    pictures: NDArray[np.uint8]
    clips: NDArray[np.uint8]
    cells: Ints
    kinds: tuple[str, ...]
    rows: dict[str, Rows]


class Encoder:
    """Text -> tokens, cut exactly where the engine cuts: after the system message, the media and the instruction."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._questions: dict[str, list[int]] = {}  # the router's is long, and always the same
        self.head = self.encode(f"<|im_start|>system\n{SYSTEM_MESSAGE}<|im_end|>\n<|im_start|>user\n")

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def question(self, instruction: str) -> list[int]:
        """From the media's end (or the head's) to where the answer begins."""
        if instruction not in self._questions:
            if len(self._questions) >= 1000:
                self._questions.clear()
            self._questions[instruction] = self.encode(f"{instruction}<|im_end|>\n<|im_start|>assistant\n")
        return self._questions[instruction]

    def answer(self, text: str) -> list[int]:
        return [*self.encode(text), TOKEN_IDS["<|im_end|>"]]

    def rows(self, examples: list[tuple[int, Example]], count: int, length: int) -> Rows:
        """`count` rows of examples, each with the number of its medium; too long ones give way to shorter ones.

        Raises:
            ValueError: all are too long.
        """
        tokens = np.full((count, length), TOKEN_IDS["<|endoftext|>"], np.int64)
        begins, ends, media = (np.zeros(count, np.int64) for _ in range(3))
        row = 0
        for medium, example in itertools.cycle(examples):
            question, answer = self.question(example.instruction), self.answer(example.answer)
            begins[row], ends[row], media[row] = len(question), len(question) + len(answer), medium
            if ends[row] <= length:
                tokens[row, : ends[row]] = question + answer
                row += 1
            if row == count:
                break
            if example is examples[-1][1] and row == 0:
                raise ValueError(f"no example fits into {length} tokens; the last has {ends[row]}")
        return Rows(tokens, begins, ends, media)


def see_picture(picture: Picture, fast: bool = False) -> NDArray[np.uint8]:
    """A picture as the model's processor shows it, shape (side, side, 3); `fast` averages pixels, much the same."""
    return np.asarray(_halve(picture.image, PICTURE_SIDE, fast), np.uint8)


def see_clip(clip: Clip, fast: bool = False) -> NDArray[np.uint8]:
    """A clip as the model's processor shows it, shape (frames, side, side, 3); `fast` averages pixels."""
    frames = (clip.frame(float(share)) for share in np.linspace(0, 1, FRAMES))
    return np.stack([np.asarray(_halve(frame, FRAME_SIDE, fast), np.uint8) for frame in frames])


def _halve(image: Image.Image, side: int, fast: bool) -> Image.Image:
    rgb = image.convert("RGB")
    if fast and rgb.width == 2 * side:
        return rgb.reduce(2)
    return rgb.resize((side, side), Image.Resampling.BICUBIC)


class Batches:
    """Batch number i of a split, always the same for the same seed, whoever draws it. Indexable, for a DataLoader."""

    def __init__(self, folder: Path, split: str, seed: int, size: int, number: int) -> None:
        self._folder, self._split, self._seed, self._size, self._number = folder, split, seed, size, number
        self._tools: tuple[Encoder, Teacher] | None = None  # made by each worker for itself

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: int) -> Batch:
        if self._tools is None:
            self._tools = Encoder(self._folder), Teacher()
        encoder, teacher = self._tools
        rng = stream(self._split, self._seed, index)
        drawn = list(self._draw(rng))
        stills = [(kind, drawing) for kind, drawing in drawn if isinstance(drawing, Picture)]
        clips = [(kind, drawing) for kind, drawing in drawn if isinstance(drawing, Clip)]
        pages = [draw_page(rng) for _ in range(round(PAGES * self._size))]
        pictures = [*(still for _, still in stills), *(page.picture for page in pages)]
        numbers = [*range(len(stills)), *(len(pictures) + number for number in range(len(clips)))]
        examples = _examples(rng, teacher, [*stills, *clips], numbers)
        examples["read"] = [(len(stills) + number, teacher.read(page)) for number, page in enumerate(pages)]
        rows = {
            task: encoder.rows(examples[task], round(share * self._size), LENGTHS[task])
            for task, share in SHARES.items()
        }
        return Batch(
            np.stack([see_picture(item, rng.random() < FAST) for item in pictures]),
            np.stack([see_clip(item, rng.random() < FAST) for _, item in clips]),
            np.stack([page.cells for page in pages]),
            (*(kind.name for kind, _ in stills), *("page" for _ in pages), *(kind.name for kind, _ in clips)),
            rows,
        )

    def _draw(self, rng: np.random.Generator) -> Iterator[tuple[Kind, Drawing]]:
        """Domains in equal parts, the clips last."""
        stills = [domain for domain in AGENTS if domain != KINDS[-1].domain]
        clips = round(self._size / len(AGENTS))
        for number in range(self._size):
            domain = stills[number % len(stills)] if number < self._size - clips else KINDS[-1].domain
            kinds = kinds_of(domain)
            kind = kinds[int(rng.integers(len(kinds)))]
            yield kind, kind.draw(rng, 1)


def _examples(
    rng: np.random.Generator, teacher: Teacher, drawn: Sequence[tuple[Kind, Drawing]], numbers: Sequence[int]
) -> dict[str, list[tuple[int, Example]]]:
    """Examples of all tasks about the drawings, each with the number of its medium, in random order."""
    examples: dict[str, list[tuple[int, Example]]] = defaultdict(list)
    for at in rng.permutation(len(drawn)).tolist():
        kind, drawing = drawn[at]
        other = _other(rng, drawn, at)
        asked = [teacher.route(kind, drawing), *teacher.observe(kind, drawing.claims)]
        asked += [
            teacher.summarize(rng, kind, drawing.claims),
            teacher.judge(rng, kind, drawing.claims, other),
            *teacher.check(rng, kind, drawing.claims, other),
        ]
        for example in asked:
            examples[example.task].append((numbers[at], example))
    return examples


def _other(rng: np.random.Generator, drawn: Sequence[tuple[Kind, Drawing]], at: int) -> tuple[Claim, ...]:
    """The claims of another drawing, half the time of the same domain."""
    others = [number for number in range(len(drawn)) if number != at]
    if rng.random() < 0.5:
        others = [number for number in others if drawn[number][0].domain == drawn[at][0].domain] or others
    return drawn[others[int(rng.integers(len(others)))]][1].claims


def corpus(seed: int, drawings: int) -> list[str]:
    """Texts to train the tokenizer on: the questions and answers about `drawings` training drawings of every kind."""
    teacher = Teacher()
    texts: list[str] = []
    for number, kind in enumerate(KINDS):
        rng = stream("train", seed, 2**31 + number)
        for count in range(drawings):
            claims = (drawing := kind.draw(rng, 1)).claims
            asked = [*teacher.observe(kind, claims), teacher.summarize(rng, kind, claims)]
            asked += [teacher.judge(rng, kind, claims, claims), *teacher.check(rng, kind, claims, claims)]
            if count < 3:
                asked.append(teacher.route(kind, drawing))
            texts += [text for example in asked for text in (SYSTEM_MESSAGE, example.instruction, example.answer)]
    return texts
