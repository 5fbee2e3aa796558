"""Where a model reasons before it answers: a block at the beginning of what it says, or opened by its prompt."""

from dataclasses import dataclass

DO_NOT_THINK = {"enable_thinking": False}
"""The argument of chat templates that have a model answer at once."""


@dataclass(frozen=True)
class Block:
    """The marks between which a model reasons, or answers."""

    begin: str
    end: str

    @property
    def empty_end(self) -> str:
        """What ends a block in which nothing is said, in the form of templates that can be told so."""
        return f"\n\n{self.end}\n\n"


BLOCKS = (
    Block("<think>", "</think>"),
    Block("<thinking>", "</thinking>"),
    Block("<seed:think>", "</seed:think>"),
    Block("<|begin_of_thought|>", "<|end_of_thought|>"),
    Block("<|START_THINKING|>", "<|END_THINKING|>"),
    Block("<|channel>", "<channel|>"),
    Block("[THINK]", "[/THINK]"),
    Block("◁think▷", "◁/think▷"),
)
"""Those of published vision models."""
_ANSWER = Block("<answer>", "</answer>")
_BOX = Block("<|begin_of_box|>", "<|end_of_box|>")
"""Between which models of the GLM family answer, and what is asked for in it."""


def left_open(text: str) -> Block | None:
    """The block that a prompt ends in, if any."""
    places = [(text.rfind(block.begin), block) for block in BLOCKS]
    place, block = max(places, key=lambda found: found[0])
    return block if place >= 0 and block.end not in text[place:] else None


def split(text: str, opened: Block | None = None) -> tuple[str, str]:
    """(reasoning, answer) of what a model said; `opened` is the block that its prompt ends in.

    A block that does not end is all that was said: there is no answer then.
    """
    begun = text.lstrip()
    for block in BLOCKS:
        if begun.startswith(block.begin) or (block == opened and block.end in text):
            reasoning, _, answer = begun.removeprefix(block.begin).partition(block.end)
            return reasoning.strip(), unwrapped(answer.lstrip())
    return (text.strip(), "") if opened else ("", unwrapped(text))


def unwrapped(answer: str) -> str:
    """An answer without the marks that some models put around it, and around what matters in it."""
    answer = answer.replace(_BOX.begin, "").replace(_BOX.end, "")
    if not answer.lstrip().startswith(_ANSWER.begin):
        return answer
    return answer.lstrip().removeprefix(_ANSWER.begin).rstrip().removesuffix(_ANSWER.end).strip()
