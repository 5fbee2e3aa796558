"""Qwen2.5-VL models of the published shapes, without weights: vLLM fills them in (`load_format=dummy`).

The tokenizer has as many tokens as the published one. Most are single characters of their own, so that what a model
without weights writes can be read back as just as many tokens; a few thousand are learned from the prompts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo.architecture import MERGE, PATCH, Shape, make_config, save_processor, train_tokenizer
from demo.random_model import SHAPE, prompt_texts

LARGE = Shape(
    hidden=8192,
    intermediate=29568,
    layers=80,
    key_value_heads=8,
    vision_hidden=1280,
    vision_intermediate=3456,
    vision_depth=32,
    full_attention=(7, 15, 23, 31),
    positions=32768,
    tied=False,
    head_dim=128,
    vision_head_dim=80,
)
MEDIUM = replace(LARGE, hidden=3584, intermediate=18944, layers=28, key_value_heads=4, vision_intermediate=3420)
SMALL = replace(
    LARGE,
    hidden=768,
    intermediate=2048,
    layers=12,
    key_value_heads=2,
    vision_hidden=512,
    vision_intermediate=1536,
    vision_depth=12,
    full_attention=(2, 5, 8, 11),
    head_dim=64,
    vision_head_dim=64,
)
SMALLER = replace(
    SMALL,
    hidden=512,
    intermediate=1408,
    layers=8,
    vision_hidden=384,
    vision_intermediate=1024,
    vision_depth=8,
    full_attention=(1, 3, 5, 7),
)
SHAPES = {
    "72b": (LARGE, 152064),
    "7b": (MEDIUM, 152064),
    "130m": (SMALL, 4096),
    "40m": (SMALLER, 4096),
    "tiny": (SHAPE, 8192),
}
"""Shape and vocabulary by name; those of Qwen2.5-VL-72B and 7B are from the published configurations."""

FP8_SCHEMES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "channel": ({"strategy": "channel"}, {"strategy": "token"}),
    "block": (
        {"strategy": "block", "block_structure": [128, 128]},
        {"strategy": "group", "group_size": 128},
    ),
    "tensor": ({"strategy": "tensor"}, {"strategy": "tensor", "dynamic": False}),
}
"""What shares a scale, of the weights and of the activations, by name; `dynamic` scales are found in each step."""

ANSWER_LETTERS = range(0x10000, 0x11000)
"""Some of the code points that are one token each; those of four bytes in UTF-8 begin here."""

_WORDS = 4096
_PATCHES_OF_A_WINDOW = (112 // PATCH) ** 2


@dataclass(frozen=True)
class Work:
    """What one request costs a model, as its engine reports it, in tokens."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int


def make_dummy_model(folder: Path, name: str, fp8: str | None = None) -> Path:
    """Write configuration, tokenizer and processor of a model of a shape of `SHAPES` to `folder`.

    `fp8`, one of `FP8_SCHEMES`, declares the weights of the language model as 8-bit floats, in the compressed-tensors
    format of published FP8 checkpoints.
    """
    shape, vocabulary = SHAPES[name]
    folder.mkdir(parents=True, exist_ok=True)
    train_tokenizer(prompt_texts(), folder, _WORDS)
    _fill_vocabulary(folder / "tokenizer.json", vocabulary)
    config: dict[str, Any] = make_config(shape, vocabulary)
    config |= {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "dtype": "bfloat16",
    }
    if fp8:
        config["quantization_config"] = _fp8_config(*FP8_SCHEMES[fp8])
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_processor(folder)
    return folder


def _fill_vocabulary(path: Path, vocabulary: int) -> None:
    """Add a token for each of the next code points of four bytes, until there are `vocabulary`.

    Byte by byte such a character is joined by three merges that no other text needs, so it is always one token.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    document = json.loads(path.read_text(encoding="utf-8"))
    tokens, merges = document["model"]["vocab"], document["model"]["merges"]
    size = max(*tokens.values(), *(token["id"] for token in document["added_tokens"])) + 1
    as_letters = ByteLevel(add_prefix_space=False, use_regex=False)
    code_point = ANSWER_LETTERS[0]
    while size < vocabulary:
        letters = as_letters.pre_tokenize_str(chr(code_point))[0][0]
        for end in (2, 3, 4):
            if letters[:end] not in tokens and size < vocabulary:
                tokens[letters[:end]] = size
                merges.append([letters[: end - 1], letters[end - 1]])
                size += 1
        code_point += 1
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def _fp8_config(weights: Mapping[str, Any], activations: Mapping[str, Any]) -> dict[str, Any]:
    number: dict[str, Any] = {"num_bits": 8, "type": "float", "symmetric": True}
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "ignore": ["re:.*visual.*", "lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {**number, "dynamic": False, **weights},
                "input_activations": {**number, "dynamic": True, **activations},
                "output_activations": None,
            }
        },
    }


def language_flops(name: str, work: Work) -> float:
    """Floating-point operations of the language model for one request: two a weight and token, and its attention.

    What the prefix cache had is not computed again. Only answered tokens pass the output head.
    """
    shape, vocabulary = SHAPES[name]
    computed = work.input_tokens - work.cached_tokens + work.output_tokens
    key_value = shape.key_value_heads * shape.head_dim
    weights = 2 * shape.hidden * (shape.hidden + key_value) + 3 * shape.hidden * shape.intermediate
    context = (work.input_tokens + work.cached_tokens + work.output_tokens) / 2  # on average
    layers = shape.layers * computed * (2 * weights + 4 * shape.hidden * context)
    return layers + 2.0 * shape.hidden * vocabulary * work.output_tokens


def vision_flops(name: str, tokens: int, frames: int = 1) -> float:
    """Floating-point operations of the vision tower for a picture or clip of so many `tokens` (of four patches).

    `frames` is the number of pairs of frames: no patch looks beyond its own.
    """
    shape, _ = SHAPES[name]
    width, patches = shape.vision_hidden, tokens * MERGE**2
    wide = len(shape.full_attention)
    attended = wide * patches / frames + (shape.vision_depth - wide) * _PATCHES_OF_A_WINDOW
    blocks = shape.vision_depth * 2 * (4 * width**2 + 3 * width * shape.vision_intermediate) + 4 * width * attended
    merger = 2 * (MERGE**2 * width) * (MERGE**2 * width + shape.hidden)
    return patches * blocks + tokens * merger
