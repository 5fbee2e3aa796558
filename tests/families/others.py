"""Checkpoints of more families, as in `checkpoints`: tried with `LONG=1`, as they take minutes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.families import templates
from tests.families.checkpoints import Family, qwen_tokenizer
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

_TOWER: Mapping[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
}
"""A vision tower."""
_LLAMA: Mapping[str, Any] = {**TEXT, "model_type": "llama", "tie_word_embeddings": False}
_TOWER_OF_OLD = {"vision_tower.": "vision_tower.vision_model."}
"""What the weights of a tower are called in checkpoints of transformers before its version 5."""
_SIDE, _PATCH = 112, 14
_SQUARE = {"height": _SIDE, "width": _SIDE}


def _save(
    folder: Path, model_class: Any, config: Any, tokenizer: Any, processor: Any, names: Mapping[str, str] = {}
) -> None:
    save_weights(folder, model_class, config, tokenizer.eos_token_id, names)
    processor.save_pretrained(folder)


def _ids(tokenizer: Any, **named: str) -> dict[str, int]:
    return {name: tokenizer.convert_tokens_to_ids(text) for name, text in named.items()}


def make_qwen2_vl(folder: Path) -> None:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    tokenizer = qwen_tokenizer(folder, templates.QWEN)
    media = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    edges = {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}
    config = Qwen2VLConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={"depth": 2, "embed_dim": HIDDEN, "hidden_size": HIDDEN, "mlp_ratio": 2, "num_heads": HEADS},
        **_ids(tokenizer, **media, **edges),
    )
    save_weights(folder, Qwen2VLForConditionalGeneration, config, tokenizer.eos_token_id)
    shared = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, "processor_class": "Qwen2VLProcessor"}
    size = {"shortest_edge": 56 * 56, "longest_edge": 4096 * 4096}
    image, video = "Qwen2VLImageProcessorFast", "Qwen2VLVideoProcessor"
    write_json(folder / "preprocessor_config.json", **shared, **FLAT, size=size, image_processor_type=image)
    write_json(folder / "video_preprocessor_config.json", **shared, **FLAT, size=size, video_processor_type=video)


def make_glm4v(folder: Path) -> None:
    """Its tokenizer begins texts with two tokens, neither of which has a name; and so does its template."""
    from transformers import (
        Glm4vConfig,
        Glm4vForConditionalGeneration,
        Glm4vImageProcessor,
        Glm4vProcessor,
        Glm4vVideoProcessor,
    )

    edges = {
        f"{kind}_{place}_token_id": f"<|{word}_of_{kind}|>"
        for kind in ("image", "video")
        for place, word in (("start", "begin"), ("end", "end"))
    }
    media = {"image_token_id": "<|image|>", "video_token_id": "<|video|>"}
    turns = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer = save_tokenizer(
        folder,
        begin_with(
            byte_level([*turns, *media.values(), *edges.values()], ("<think>", "</think>", "<answer>", "</answer>")),
            "[gMASK]",
            "<sop>",
        ),
        templates.GLM,
        eos_token="<|user|>",
        pad_token="<|endoftext|>",
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6], "partial_rotary_factor": 0.5}
    config = Glm4vConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": HIDDEN,
            "intermediate_size": 256,
            "num_heads": HEADS,
            "out_hidden_size": HIDDEN,
            "image_size": _SIDE,
        },
        **_ids(tokenizer, **media, **edges),
    )
    processor = Glm4vProcessor(Glm4vImageProcessor(), tokenizer, Glm4vVideoProcessor(), chat_template=templates.GLM)
    _save(folder, Glm4vForConditionalGeneration, config, tokenizer, processor)


def make_gemma4(folder: Path) -> None:
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    named = {
        **{"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"},
        **{"boa_token": "<|audio>", "eoa_token": "<audio|>", "audio_token": "<|audio|>"},
    }
    turns = ["<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>"]
    tokenizer = save_tokenizer(
        folder,
        begin_with(byte_fallback([*turns, *named.values(), "<|video|>"]), "<bos>"),
        templates.GEMMA4,
        bos_token="<bos>",
        eos_token="<turn|>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=named,
    )
    vocabulary, seen = -(-len(tokenizer) // 64) * 64, 70
    ids = {f"{name}_id": text for name, text in named.items() if name != "eoa_token"}
    config = Gemma4Config(
        text_config={
            **TEXT,
            "vocab_size": vocabulary,
            "vocab_size_per_layer_input": vocabulary,
            "hidden_size_per_layer_input": 32,
            "global_head_dim": 2 * HEAD_DIM,
            "sliding_window": 512,
            "layer_types": ["sliding_attention", "full_attention"],
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            **_TOWER,
            "num_key_value_heads": HEADS,
            "head_dim": HEAD_DIM,
            "position_embedding_size": 1024,
            "default_output_length": seen,
        },
        **_ids(tokenizer, **ids, video_token_id="<|video|>", eoa_token_index="<audio|>"),
    )
    image, video = Gemma4ImageProcessor(max_soft_tokens=seen), Gemma4VideoProcessor()
    processor = Gemma4Processor(
        *(Gemma4AudioFeatureExtractor(), image, tokenizer, video),
        chat_template=templates.GEMMA4,
        image_seq_length=seen,
    )
    _save(folder, Gemma4ForConditionalGeneration, config, tokenizer, processor)


def make_llama4(folder: Path) -> None:
    from transformers import Llama4Config, Llama4ForConditionalGeneration, Llama4ImageProcessor, Llama4Processor

    turns = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot|>", "<|header_start|>", "<|header_end|>", "<|pad|>"]
    media = [f"<|{name}|>" for name in ("image_start", "image_end", "image", "patch")]
    tiles = ["<|tile_x_separator|>", "<|tile_y_separator|>"]
    tokenizer = save_tokenizer(
        folder,
        begin_with(byte_level([*turns, *media, *tiles]), "<|begin_of_text|>"),
        templates.LLAMA4,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot|>",
        pad_token="<|pad|>",
    )
    config = Llama4Config(
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "intermediate_size_mlp": 256,
            "num_local_experts": 2,
            "interleave_moe_layer_step": 2,
            "no_rope_layer_interval": 2,
            "attention_chunk_size": 8192,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            **_TOWER,
            "intermediate_size": 4 * HIDDEN,
            "image_size": _SIDE,
            "vision_output_dim": HIDDEN,
            "projector_input_dim": HIDDEN,
            "projector_output_dim": HIDDEN,
        },
        **_ids(tokenizer, boi_token_index=media[0], eoi_token_index=media[1], image_token_index=media[3]),
    )
    image = Llama4ImageProcessor(size=_SQUARE, max_patches=4)
    processor = Llama4Processor(image, tokenizer, patch_size=_PATCH, chat_template=templates.LLAMA4)
    _save(folder, Llama4ForConditionalGeneration, config, tokenizer, processor)


def make_llava(folder: Path) -> None:
    """Its template leaves the beginning to the tokenizer."""
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = save_tokenizer(
        folder,
        begin_with(byte_fallback(["<unk>", "<s>", "</s>", "<image>", "<pad>"]), "<s>"),
        templates.LLAVA,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
    )
    config = LlavaConfig(
        text_config={**_LLAMA, "vocab_size": len(tokenizer)},
        vision_config={**_TOWER, "model_type": "clip_vision_model", "image_size": _SIDE, "patch_size": _PATCH},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(_SIDE // _PATCH) ** 2,
    )
    image = CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_SQUARE)
    processor = LlavaProcessor(
        image,
        tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=templates.LLAVA,
    )
    _save(folder, LlavaForConditionalGeneration, config, tokenizer, processor, _TOWER_OF_OLD)


def make_llava_onevision(folder: Path) -> None:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"]
    tokenizer = save_tokenizer(
        folder, byte_level(special), templates.ONEVISION, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    sides = (_SIDE, 2 * _SIDE, 3 * _SIDE)
    shapes = [[height, width] for height in sides for width in sides]
    tower = {**_TOWER, "model_type": "siglip_vision_model", "image_size": _SIDE, "patch_size": _PATCH}
    config = LlavaOnevisionConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tokenizer), "tie_word_embeddings": False},
        vision_config={**tower, "vision_use_head": False},
        image_grid_pinpoints=shapes,
        **_ids(tokenizer, image_token_index="<image>", video_token_index="<video>"),
    )
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=_SQUARE, image_grid_pinpoints=shapes),
        tokenizer,
        LlavaOnevisionVideoProcessor(size=_SQUARE),
        num_image_tokens=(_SIDE // _PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=templates.ONEVISION,
    )
    _save(folder, LlavaOnevisionForConditionalGeneration, config, tokenizer, processor, _TOWER_OF_OLD)


def make_smolvlm(folder: Path) -> None:
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    named = {
        **{"fake_image_token": "<fake_token_around_image>", "image_token": "<image>"},
        **{"global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>"},
    }
    places = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = save_tokenizer(
        folder,
        byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *named.values(), *places]),
        templates.SMOLVLM,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        extra_special_tokens=named,
    )
    config = SmolVLMConfig(
        text_config={**_LLAMA, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id},
        vision_config={**_TOWER, "image_size": _SIDE, "patch_size": _PATCH},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    sizes = {"size": {"longest_edge": 2 * _SIDE}, "max_image_size": {"longest_edge": _SIDE}}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(**sizes),
        tokenizer,
        SmolVLMVideoProcessor(**sizes),
        image_seq_len=(_SIDE // _PATCH // 2) ** 2,
        chat_template=templates.SMOLVLM,
    )
    _save(folder, SmolVLMForConditionalGeneration, config, tokenizer, processor)


def make_minicpmv4_6(folder: Path) -> None:
    from transformers import (
        MiniCPMV4_6Config,
        MiniCPMV4_6ForConditionalGeneration,
        MiniCPMV4_6ImageProcessor,
        MiniCPMV4_6Processor,
        MiniCPMV4_6VideoProcessor,
    )

    named = {
        **{"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        **{"image_start_token": "<image>", "image_end_token": "</image>"},
        **{"slice_start_token": "<slice>", "slice_end_token": "</slice>"},
        **{"image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>"},
    }
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = save_tokenizer(
        folder,
        byte_level([*special, *named.values()], ("<think>", "</think>")),
        templates.HYBRID_BARE,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=named,
    )
    text = {
        **TEXT,
        "model_type": "qwen3_5_text",
        "vocab_size": len(tokenizer),
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": HEADS,
        "linear_num_value_heads": HEADS,
        "linear_key_head_dim": HEAD_DIM,
        "linear_value_head_dim": HEAD_DIM,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
    }
    config = MiniCPMV4_6Config(
        text_config=text,
        vision_config={**_TOWER, "image_size": _SIDE, "patch_size": _PATCH},
        insert_layer_id=0,
        image_size=_SIDE,
        **_ids(tokenizer, image_token_id="<|image_pad|>", video_token_id="<|video_pad|>"),
    )
    slices = {"scale_resolution": _SIDE, "max_slice_nums": 4}
    processor = MiniCPMV4_6Processor(
        MiniCPMV4_6ImageProcessor(**slices),
        MiniCPMV4_6VideoProcessor(**slices),
        tokenizer,
        chat_template=templates.HYBRID_BARE,
    )
    _save(folder, MiniCPMV4_6ForConditionalGeneration, config, tokenizer, processor)


OTHERS: Mapping[str, Family] = {
    "qwen2_vl": Family(make_qwen2_vl),
    "glm4v": Family(make_glm4v, begins="[gMASK]<sop>"),
    "gemma4": Family(make_gemma4, begins="<bos>"),
    "llama4": Family(
        make_llama4,
        takes_clips=False,
        begins="<|begin_of_text|>",
        fails_on_cpu="vLLM hands oneDNN its patches in an order that it does not take",
    ),
    "llava": Family(make_llava, takes_clips=False, begins="<s>"),
    "llava_onevision": Family(make_llava_onevision),
    "smolvlm": Family(make_smolvlm, takes_clips=False, begins="<|im_start|>"),
    "minicpmv4_6": Family(make_minicpmv4_6),
}
