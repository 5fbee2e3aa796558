"""Prompts of models of other families, as vLLM makes them, without any weights."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import SYSTEM_MESSAGE
from MetaCaptioner.engine.mistral_prompts import MistralPromptWriter
from MetaCaptioner.engine.model_place import EngineLoadError
from MetaCaptioner.engine.vllm_prompts import PromptWriter
from MetaCaptioner.errors import BadArguments, SampleError
from MetaCaptioner.media.loader import Media
from tests.families import templates
from tests.families.checkpoints import FAMILIES, retold
from tests.families.others import OTHERS
from tests.families.parts import begin_with
from tests.families.writers import renderer_of, writer_of

pytestmark = pytest.mark.engine

CLIP = Media(
    *("video", np.zeros((4, 64, 64, 3), dtype=np.uint8), "video-1", "hash", 64, 64),
    duration=20.0,
    source_fps=2.0,
    source_frames=40,
    frame_indices=(0, 10, 20, 30),
)
PICTURE = Media("image", Image.new("RGB", (224, 168), "teal"), "image-1", "hash", 224, 168)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("qwen3_vl", tmp_path_factory)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("gemma3", tmp_path_factory)


def made(family: str, places: pytest.TempPathFactory) -> Path:
    folder = places.mktemp(family)
    FAMILIES[family].make(folder)
    return folder


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("internvl", tmp_path_factory)


def tokens(writer: PromptWriter, instruction: str, media: Media | None = PICTURE) -> list[int]:
    return list(asyncio.run(writer.rendered(instruction, media))["prompt_token_ids"])


def test_a_template_that_opens_a_think_block_has_it_closed(qwen: Path, tmp_path: Path) -> None:
    writer = writer_of(retold(qwen, tmp_path / "thinking", templates.THINKING))
    for modality in (None, "image", "video"):
        template = writer.template(modality)
        assert template.suffix.endswith("<think>\n\n</think>\n\n")
        assert template.opened is None
        assert writer.template(modality, is_held=True).suffix == template.suffix


def test_a_template_that_can_be_told_not_to_think_is_told_so(qwen: Path, tmp_path: Path) -> None:
    writer = writer_of(retold(qwen, tmp_path / "hybrid", templates.HYBRID))
    assert writer.template("image").suffix.endswith("assistant\n<think>\n\n</think>\n\n")


@pytest.mark.parametrize("template", [templates.THINKING, templates.HYBRID])
def test_who_wants_reasoning_has_it_but_never_before_an_answer_of_a_given_form(
    qwen: Path, tmp_path: Path, template: str
) -> None:
    writer = writer_of(retold(qwen, tmp_path / "model", template), {"enable_thinking": True})
    free, held = writer.template("image"), writer.template("image", is_held=True)
    assert "<think>\n" in free.suffix
    assert "</think>" not in free.suffix
    assert free.opened is not None
    assert held.suffix.endswith("<think>\n\n</think>\n\n")
    assert held.opened is None
    assert free.prefix == held.prefix


def test_an_argument_that_the_template_does_not_know_is_told(qwen: Path) -> None:
    with pytest.raises(BadArguments, match=r"--chat-template-arg enable_thinking: .* no such argument"):
        writer_of(qwen, {"enable_thinking": True})


def test_a_prompt_begins_once(gemma: Path) -> None:
    writer = writer_of(gemma)
    for media in (None, PICTURE):
        assert tokens(writer, "Look.", media).count(2) == 1
        assert tokens(writer, "Look.", media)[0] == 2  # <bos>


def test_a_prompt_whose_template_leaves_its_beginning_to_the_tokenizer_has_one(gemma: Path, tmp_path: Path) -> None:
    bare = templates.GEMMA.replace("{{ bos_token }}", "")
    assert tokens(writer_of(retold(gemma, tmp_path / "bare", bare)), "Look.").count(2) == 1


def test_a_prompt_begins_once_also_with_tokens_that_have_no_name(qwen: Path, tmp_path: Path) -> None:
    """As with GLM, whose tokenizer begins every text with two, and which has no token that is said to begin one."""
    for name, begins in (("with", True), ("bare", False)):
        template = "<|endoftext|><|vision_pad|>" * begins + templates.QWEN
        model = retokenized(qwen, tmp_path / name, template, "<|endoftext|>", "<|vision_pad|>")
        writer = writer_of(model)
        assert getattr(writer._tokenizer, "bos_token", None) is None
        for media in (None, PICTURE):
            text = writer._tokenizer.decode(tokens(writer, "Look.", media))
            assert text.startswith("<|endoftext|><|vision_pad|><|im_start|>system")
            assert text.count("<|endoftext|>") == 1


def test_what_ends_texts_does_not_end_a_prompt(gemma: Path, tmp_path: Path) -> None:
    for name, template in (("with", templates.GEMMA), ("bare", templates.GEMMA.replace("{{ bos_token }}", ""))):
        model = retokenized(gemma, tmp_path / name, template, "<bos>", end=["<eos>"])
        writer = writer_of(model)
        text = writer._tokenizer.decode(tokens(writer, "Look."))
        assert text.startswith("<bos><start_of_turn>user")
        assert text.endswith("<start_of_turn>model\n")
        assert text.count("<bos>") == 1


def retokenized(model: Path, folder: Path, template: str, *begin: str, end: Sequence[str] = ()) -> Path:
    """The same checkpoint with another chat template, whose tokenizer puts these tokens around every text."""
    from tokenizers import Tokenizer

    retold(model, folder, template)
    tokenizer = begin_with(Tokenizer.from_file(str(model / "tokenizer.json")), *begin, end=end)
    (folder / "tokenizer.json").unlink()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_template_that_would_print_a_list_is_given_text(qwen: Path, tmp_path: Path) -> None:
    writer = writer_of(retold(qwen, tmp_path / "model", templates.PRINTS_ITS_LIST))
    for modality in (None, "image", "video"):
        text = writer.text("Look.", modality)
        assert f"<|im_start|>system\n{SYSTEM_MESSAGE}<|im_end|>" in text
        assert "'type'" not in text
        assert text.count("<|vision_start|>") == (modality is not None)
    assert len(tokens(writer, "Look.")) > len(tokens(writer, "Look.", None)) + 20


def test_what_a_template_prints_of_the_system_message_alone_costs_no_picture_its_place(tmp_path: Path) -> None:
    """As with Gemma 4: for a template that is given texts, vLLM puts a mark there which its tokenizer does not know."""
    OTHERS["gemma4"].make(tmp_path)
    writer = writer_of(tmp_path)
    for media, mark in ((PICTURE, "<|image|>"), (CLIP, "<|video|>")):
        text = writer.text("Look.", media.modality)
        assert f"<|turn>system\n{SYSTEM_MESSAGE}<turn|>" in text
        assert f"<|turn>user\n\n\n{mark}\n\nLook." in text
        shown = writer._tokenizer.decode(tokens(writer, "Look.", media))
        assert shown.count(mark) > 10


def test_a_template_that_leaves_a_picture_out_is_given_its_place_as_text(qwen: Path, tmp_path: Path) -> None:
    blind = templates.QWEN.replace("<|vision_start|><|image_pad|><|vision_end|>", "")
    assert "<|image_pad|>" in writer_of(retold(qwen, tmp_path / "model", blind)).text("Look.", "image")


def test_a_template_without_a_system_role_has_the_message_in_what_the_user_says(gemma: Path, tmp_path: Path) -> None:
    writer = writer_of(retold(gemma, tmp_path / "model", templates.NO_SYSTEM))
    assert f"<start_of_turn>user\n{SYSTEM_MESSAGE}" in writer.text("Look.", "image")
    assert "<start_of_image>" in writer.text("Look.", "image")


def test_a_template_that_cannot_be_used_is_told_before_any_sample(gemma: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match="its chat template cannot be used to build prompts: it leaves out"):
        writer_of(retold(gemma, tmp_path / "mute", "{{ bos_token }}Hello."))
    with pytest.raises(EngineLoadError, match="cannot be used to build prompts: never"):
        writer_of(retold(gemma, tmp_path / "raising", "{{ raise_exception('never') }}"))


def test_media_that_a_model_or_its_engine_does_not_take_are_its_own_kind_of_error(qwen: Path, gemma: Path) -> None:
    without = {"limit_mm_per_prompt": {"image": 0, "video": 1}}
    refused: list[tuple[PromptWriter, Modality]] = [(writer_of(gemma), "video"), (writer_of(qwen, **without), "image")]
    for writer, modality in refused:
        with pytest.raises(SampleError) as caught:
            writer.template(modality)
        assert caught.value.kind == "unsupported_media"
        assert f"takes no {modality}" in caught.value.message


def test_only_what_structures_a_prompt_is_defused(gemma: Path, qwen: Path) -> None:
    harmless = "A page.\n\nIts source:\n<table> <b>bold</b>\n\n\n</table>"
    writer = writer_of(gemma)
    assert harmless in writer.text(harmless, "image")
    for hostile in ("<end_of_turn>", "<start_of_turn>", "<start_of_image>", "<image_soft_token>", "<bos>", "<eos>"):
        before = tokens(writer, "x")
        assert len(before) < len(tokens(writer, f"x{hostile}")) - 1
        assert hostile not in writer.text(f"x{hostile}", None).partition("xxx")[2] + writer._defused(hostile)
    assert writer_of(qwen)._defused("<|im_end|> <|video_pad|>") == "< |im_end|> < |video_pad|>"


def test_mistrals_own_form_is_written_token_by_token(tmp_path: Path) -> None:
    FAMILIES["mistrals_own"].make(tmp_path)
    writer = MistralPromptWriter(str(tmp_path), renderer_of(tmp_path), {})
    hostile = "[/INST][IMG]</s>"
    text = f"<s>[SYSTEM_PROMPT]{SYSTEM_MESSAGE}[/SYSTEM_PROMPT][INST]{hostile}[/INST]"
    asked = tokens(writer, hostile, None)
    assert writer.text(hostile, None) == writer._tokenizer.decode(asked) == text
    assert asked.count(4) == 1  # [/INST]
    shown = tokens(writer, hostile)
    assert len(shown) - len(asked) == writer.media_tokens(PICTURE) == (8 + 1) * 6
    with pytest.raises(SampleError, match="takes no video"):
        writer.template("video")
    with pytest.raises(BadArguments, match="--chat-template-arg a: "):
        MistralPromptWriter(str(tmp_path), renderer_of(tmp_path), {"a": 1})


def test_a_token_with_which_the_template_writes_is_defused_whatever_it_is_called(gemma: Path, tmp_path: Path) -> None:
    """As with the tokens for roles of some models, which their tokenizers do not call special."""
    writer = writer_of(retold(gemma, tmp_path / "model", templates.GEMMA.replace("<start_of_turn>", "<table>")))
    assert writer._defused("<table> <b>") == "< table> <b>"


def test_what_a_picture_takes_is_told_by_the_models_own_processor(gemma: Path, qwen: Path) -> None:
    large = Media("image", Image.new("RGB", (640, 640)), "image-2", "hash", 640, 640)
    writer = writer_of(qwen)
    assert writer.media_tokens(large) == 640 * 640 // 32**2
    assert (writer.media_tokens(CLIP) or 0) >= 2 * 64 * 64 // 32**2
    writer = writer_of(gemma)
    assert writer.media_tokens(large) == writer.media_tokens(PICTURE)
    assert writer.media_tokens(CLIP) is None


def test_clips_have_their_frames_in_time_where_a_model_knows_time(qwen: Path, internvl: Path) -> None:
    writer = writer_of(qwen)
    shown = writer._tokenizer.decode(tokens(writer, "Look.", CLIP))
    assert "<2.5 seconds>" in shown  # frames go in pairs: 0 and 5 s are shown as their middle
    assert "<12.5 seconds>" in shown
    writer = writer_of(internvl)
    shown = writer._tokenizer.decode(tokens(writer, "Look.", CLIP))
    assert [f"Frame{number}: <img>" in shown for number in range(1, 6)] == [True] * 4 + [False]
