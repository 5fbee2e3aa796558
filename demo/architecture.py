"""The Qwen2.5-VL architecture in small: configuration, tokenizer frame, chat template and processor files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TOKEN_IDS = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{ message.content }}"
    "{%- else %}{%- for part in message.content %}"
    "{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{%- else %}{{ part.text }}{%- endif %}{%- endfor %}{%- endif %}{{ '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
PATCH, MERGE, FRAME_PAIR = 14, 2, 2
"""Pixels of a patch's side, patches of a token's side, frames of a temporal patch: those of the published models."""

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
HEAD_DIM = 64
"""Of the small models here: the smallest that vLLM's CPU attention takes."""
_PIXELS = 12845056  # what the processors of the published models shrink to


@dataclass(frozen=True)
class Shape:
    """The sizes that may differ; `full_attention` lists the vision blocks that look beyond a window of 112 pixels."""

    hidden: int = 256
    intermediate: int = 704
    layers: int = 5
    key_value_heads: int = 2
    vision_hidden: int = 192
    vision_intermediate: int = 512
    vision_depth: int = 6
    full_attention: tuple[int, ...] = (1, 3, 5)
    positions: int = 16384
    tied: bool = True
    head_dim: int = HEAD_DIM
    vision_head_dim: int = HEAD_DIM


def make_config(shape: Shape, vocabulary: int) -> dict[str, Any]:
    """The keyword arguments of transformers' Qwen2_5_VLConfig."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.hidden // shape.head_dim,
        "num_key_value_heads": shape.key_value_heads,
        "max_position_embeddings": shape.positions,
        "rope_theta": 1000000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [shape.head_dim * part // 16 for part in (2, 3, 3)]},
        "tie_word_embeddings": shape.tied,
        "bos_token_id": TOKEN_IDS["<|endoftext|>"],
        "eos_token_id": TOKEN_IDS["<|im_end|>"],
        "pad_token_id": TOKEN_IDS["<|endoftext|>"],
        "vision_start_token_id": TOKEN_IDS["<|vision_start|>"],
        "vision_end_token_id": TOKEN_IDS["<|vision_end|>"],
        "vision_token_id": TOKEN_IDS["<|vision_pad|>"],
        "image_token_id": TOKEN_IDS["<|image_pad|>"],
        "video_token_id": TOKEN_IDS["<|video_pad|>"],
        "vision_config": {
            "depth": shape.vision_depth,
            "hidden_size": shape.vision_hidden,
            "intermediate_size": shape.vision_intermediate,
            "num_heads": shape.vision_hidden // shape.vision_head_dim,
            "out_hidden_size": shape.hidden,
            "fullatt_block_indexes": list(shape.full_attention),
            "window_size": 112,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAME_PAIR,
            "tokens_per_second": 2,
        },
    }


def train_tokenizer(texts: list[str], folder: Path, vocabulary: int) -> Any:
    """Train a byte-level BPE, digits one by one, on `texts` and save it to `folder` with the chat template.

    Any text can be written with it: what was never seen falls into bytes. Returns the transformers tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        model_max_length=16384,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    return fast


def new_model(shape: Shape, vocabulary: int, seed: int) -> Any:
    """A Qwen2_5_VLForConditionalGeneration with fresh random weights, float32."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig(**make_config(shape, vocabulary))
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = TOKEN_IDS["<|im_end|>"]
    model.generation_config.pad_token_id = TOKEN_IDS["<|endoftext|>"]
    return model


def save_model(model: Any, folder: Path, image_pixels: int = _PIXELS, frame_pixels: int = _PIXELS) -> None:
    """Write weights in bfloat16, configuration and processor files to `folder`, beside the tokenizer."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.to(torch.bfloat16).save_pretrained(folder)
    save_processor(folder, image_pixels, frame_pixels)


def save_processor(folder: Path, image_pixels: int = _PIXELS, frame_pixels: int = _PIXELS) -> None:
    """Write the processor files: it shrinks pictures to `image_pixels` and the frames of clips to `frame_pixels`."""
    shared = {
        "patch_size": PATCH,
        "temporal_patch_size": FRAME_PAIR,
        "merge_size": MERGE,
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
        "processor_class": "Qwen2_5_VLProcessor",
    }
    image = shared | {"min_pixels": 3136, "max_pixels": image_pixels, "image_processor_type": "Qwen2VLImageProcessor"}
    video = shared | {
        "size": {"shortest_edge": 3136, "longest_edge": frame_pixels},
        "cap_pixels_per_frame": False,
        "video_processor_type": "Qwen2VLVideoProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(image, indent=2) + "\n")
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2) + "\n")
