"""Small checkpoints of the true architectures with random weights: one maker a family."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.architecture import SPECIAL_TOKENS as QWEN_TOKENS
from demo.random_model import make_random_model
from tests.families import templates
from tests.families.parts import (
    FLAT,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    TEXT,
    begin_with,
    byte_fallback,
    byte_level,
    save_tokenizer,
    save_weights,
    write_json,
)

_THINK = ("<think>", "</think>")


@dataclass(frozen=True)
class Family:
    """How a checkpoint of it is made, whether it takes clips, and what begins its prompts, once."""

    make: Callable[[Path], None]
    takes_clips: bool = True
    begins: str = ""
    fails_on_cpu: str = ""
    """Why vLLM's CPU build cannot look at its pictures, if it cannot."""
    engine: Mapping[str, Any] = field(default_factory=dict)
    """Options of its engine."""


def retold(model: Path, folder: Path, template: str) -> Path:
    """The same checkpoint with another chat template, in `folder`."""
    folder.mkdir()
    for path in model.iterdir():
        if path.name != "chat_template.jinja":
            (folder / path.name).symlink_to(path)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def qwen_tokenizer(folder: Path, template: str) -> Any:
    return save_tokenizer(
        folder,
        byte_level(QWEN_TOKENS, _THINK),
        template,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=[],
    )


def _qwen_processors(folder: Path, name: str) -> None:
    """Of the newer Qwens, whose patches are of 16 pixels."""
    shared = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "processor_class": name, **FLAT}
    size = {"shortest_edge": 64 * 64, "longest_edge": 4096 * 4096}
    image = {"image_processor_type": "Qwen2VLImageProcessorFast", "size": size}
    video = {"video_processor_type": "Qwen3VLVideoProcessor", "size": size}
    write_json(folder / "preprocessor_config.json", **shared, **image)
    write_json(folder / "video_preprocessor_config.json", **shared, **video)


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>"}
    edges = {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(text) for name, text in (names | edges).items()}


_QWEN_TOWER: Mapping[str, Any] = {
    "depth": 2,
    "hidden_size": HIDDEN,
    "intermediate_size": 256,
    "num_heads": HEADS,
    "out_hidden_size": HIDDEN,
    "patch_size": 16,
    "num_position_embeddings": 256,
}
_MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_interleaved": True}


def make_text_only(folder: Path) -> None:
    """A model that takes neither pictures nor clips."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = qwen_tokenizer(folder, templates.QWEN)
    config = Qwen2Config(**TEXT, vocab_size=len(tokenizer))
    save_weights(folder, Qwen2ForCausalLM, config, tokenizer.eos_token_id)


def make_qwen3_vl(folder: Path, template: str = templates.QWEN) -> None:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = qwen_tokenizer(folder, template)
    config = Qwen3VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "rope_parameters": {**_MROPE, "mrope_section": [12, 10, 10]},
        },
        vision_config={**_QWEN_TOWER, "deepstack_visual_indexes": [0]},
        **_qwen_ids(tokenizer),
    )
    save_weights(folder, Qwen3VLForConditionalGeneration, config, tokenizer.eos_token_id)
    _qwen_processors(folder, "Qwen3VLProcessor")


def make_qwen3_5(folder: Path) -> None:
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    tokenizer = qwen_tokenizer(folder, templates.HYBRID)
    text = {
        **TEXT,
        "vocab_size": len(tokenizer),
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": HEADS,
        "linear_num_value_heads": HEADS,
        "linear_key_head_dim": HEAD_DIM,
        "linear_value_head_dim": HEAD_DIM,
        "rope_parameters": {**_MROPE, "mrope_section": [4, 2, 2], "partial_rotary_factor": 0.25},
    }
    config = Qwen3_5Config(text_config=text, vision_config=dict(_QWEN_TOWER), **_qwen_ids(tokenizer))
    save_weights(folder, Qwen3_5ForConditionalGeneration, config, tokenizer.eos_token_id)
    _qwen_processors(folder, "Qwen3VLProcessor")


def make_internvl(folder: Path) -> None:
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *named.values()]
    tokenizer = save_tokenizer(
        folder,
        byte_level([*special, "<video>"]),
        templates.INTERNVL,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={**named, "video_token": "<video>"},
    )
    side, patch = 112, 14
    config = InternVLConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tokenizer), "tie_word_embeddings": False},
        vision_config={
            "hidden_size": HIDDEN,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "image_size": [side, side],
            "patch_size": [patch, patch],
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=(side // patch // 2) ** 2,
        tie_word_embeddings=False,
    )
    save_weights(folder, InternVLForConditionalGeneration, config, tokenizer.eos_token_id)
    size = {"height": side, "width": side}
    image = {"image_processor_type": "GotOcr2ImageProcessorFast", "crop_to_patches": True, "max_patches": 4}
    name = {"processor_class": "InternVLProcessor"}
    write_json(folder / "preprocessor_config.json", **name, **image, size=size, **FLAT)
    write_json(
        folder / "video_preprocessor_config.json", **name, video_processor_type="InternVLVideoProcessor", size=size
    )
    write_json(folder / "processor_config.json", **name, image_seq_length=(side // patch // 2) ** 2)


GEMMA_ADDED = ("\n", "\n\n", "\n\n\n", "\n\n\n\n", "<table>", "<b>", "</b>")
"""What Gemma's tokenizer knows as a whole beside its special tokens."""


def make_gemma3(folder: Path) -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    turns = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = save_tokenizer(
        folder,
        begin_with(byte_fallback([*turns, *named.values()], GEMMA_ADDED), "<bos>"),
        templates.GEMMA,
        bos_token="<bos>",
        eos_token="<end_of_turn>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=named,
    )
    side, patch, seen = 112, 14, 16
    ids = {f"{name}_index": tokenizer.convert_tokens_to_ids(text) for name, text in named.items()}
    vocabulary = -(-len(tokenizer) // 64) * 64
    config = Gemma3Config(
        text_config={
            **TEXT,
            "vocab_size": vocabulary,
            "sliding_window": 512,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": HEAD_DIM,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": HIDDEN,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "image_size": side,
            "patch_size": patch,
            "vision_use_head": False,
        },
        mm_tokens_per_image=seen,
        **ids,
    )
    names = {"vision_tower.": "vision_tower.vision_model."}
    save_weights(folder, Gemma3ForConditionalGeneration, config, tokenizer.eos_token_id, names)
    name = {"processor_class": "Gemma3Processor"}
    size = {"height": side, "width": side}
    write_json(
        folder / "preprocessor_config.json", **name, **FLAT, image_processor_type="Gemma3ImageProcessor", size=size
    )
    write_json(folder / "processor_config.json", **name, image_seq_length=seen)


def make_mistral3(folder: Path) -> None:
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    tokenizer = save_tokenizer(
        folder,
        begin_with(byte_level([*special, "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<pad>"]), "<s>"),
        templates.MISTRAL,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )
    config = Mistral3Config(
        text_config={**TEXT, "model_type": "mistral", "vocab_size": len(tokenizer), "tie_word_embeddings": False},
        vision_config={
            "model_type": "pixtral",
            "hidden_size": HIDDEN,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "head_dim": HEAD_DIM,
            "image_size": 1540,
            "patch_size": 14,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        tie_word_embeddings=False,
    )
    save_weights(folder, Mistral3ForConditionalGeneration, config, tokenizer.eos_token_id)
    name = {"processor_class": "PixtralProcessor"}
    image = {"image_processor_type": "PixtralImageProcessorFast", "size": {"longest_edge": 1540}, "patch_size": 14}
    write_json(folder / "preprocessor_config.json", **name, **image, **FLAT)
    write_json(folder / "processor_config.json", **name, patch_size=14, spatial_merge_size=2)


_TEKKEN = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"),
    *("[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)


def make_mistrals_own(folder: Path) -> None:
    """Mistral's own form: params.json and tekken.json, in which every byte is a token. Its weights are the loader's."""
    import torch
    from safetensors.torch import save_file

    size = len(_TEKKEN) + 256
    bytes_ = [{"rank": n, "token_bytes": b64encode(bytes([n])).decode(), "token_str": None} for n in range(256)]
    special = [{"rank": n, "token_str": text, "is_control": True} for n, text in enumerate(_TEKKEN)]
    pattern = {"pattern": r"\S+|\s+", "num_vocab_tokens": 256, "version": "v7"}
    sizes = {"default_vocab_size": size, "default_num_special_tokens": len(_TEKKEN)}
    image = {"image_patch_size": 14, "max_image_size": 1540, "spatial_merge_size": 2}
    write_json(folder / "tekken.json", config=pattern | sizes, vocab=bytes_, special_tokens=special, multimodal=image)
    tower = {
        "hidden_size": HIDDEN,
        "num_channels": 3,
        "image_size": 1540,
        "max_image_size": 1540,
        "patch_size": 14,
        "rope_theta": 10000.0,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "mm_projector_id": "patch_merge",
        "spatial_merge_size": 2,
        "add_pre_mm_projector_layer_norm": True,
        "adapter_bias": False,
        **{f"image{name}_token_id": _TEKKEN.index(f"[IMG{name.upper()}]") for name in ("", "_break", "_end")},
    }
    text = {"dim": HIDDEN, "n_layers": 2, "head_dim": HEAD_DIM, "hidden_dim": 256, "n_heads": HEADS, "n_kv_heads": 1}
    more = {"norm_eps": 1e-5, "vocab_size": size, "rope_theta": 1e6, "max_position_embeddings": 32768}
    write_json(folder / "params.json", **text, **more, vision_encoder=tower)
    save_file({"norm.weight": torch.ones(HIDDEN, dtype=torch.bfloat16)}, folder / "consolidated.safetensors")


FAMILIES: Mapping[str, Family] = {
    "qwen2_5_vl": Family(make_random_model),
    "qwen3_vl": Family(make_qwen3_vl),
    "qwen3_vl_thinking": Family(lambda folder: make_qwen3_vl(folder, templates.THINKING)),
    "qwen3_5": Family(make_qwen3_5),
    "internvl": Family(make_internvl),
    "gemma3": Family(make_gemma3, takes_clips=False, begins="<bos>"),
    "mistral3": Family(make_mistral3, takes_clips=False, begins="<s>"),
    "mistrals_own": Family(
        make_mistrals_own,
        takes_clips=False,
        begins="<s>",
        engine={"max_model_len": 16384, "extra": {"load_format": "dummy"}},  # a prompt has a token for every byte
    ),
}


def architecture(model: Path) -> str:
    """As the checkpoint names it."""
    if not (model / "config.json").exists():
        return "params.json"
    [name] = json.loads((model / "config.json").read_text())["architectures"]
    return str(name)
