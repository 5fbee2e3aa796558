"""What the small checkpoints have in common: tokenizers of the two kinds in use, sizes, and how they are written."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from demo.random_model import prompt_texts

VOCABULARY = 1024
HIDDEN, HEADS, HEAD_DIM = 128, 2, 64
"""The smallest head that vLLM's attention on a CPU takes."""
TEXT: Mapping[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 32768,
}
"""A language model."""
FLAT = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@cache
def _texts() -> tuple[str, ...]:
    return tuple(prompt_texts())


def byte_level(special: Sequence[str], added: Sequence[str] = ()) -> Any:
    """A tokenizer of bytes, as those of Qwen, InternVL and newer Mistrals are; `special` come first in its vocabulary.

    `added` are tokens that it knows as a whole, but does not call special.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    return tokenizer


def byte_fallback(special: Sequence[str], added: Sequence[str] = ()) -> Any:
    """A tokenizer of pieces in which spaces are marks; other things fall into bytes, as with Gemma's and Llama's."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fallback = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[*special, *fallback], limit_alphabet=100, show_progress=False
    )
    words = [word.replace(" ", "▁") for text in _texts() for word in text.splitlines()]
    tokenizer.train_from_iterator(words, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [one for one in state["added_tokens"] if one["content"] not in fallback]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    return tokenizer


def begin_with(tokenizer: Any, *tokens: str, end: Sequence[str] = ()) -> Any:
    """Let the tokenizer begin every text with `tokens`, and end it with those of `end`."""
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*tokens, "$A", *end],
        pair=[*tokens, "$A", "$B", *end],
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (*tokens, *end)],
    )
    return tokenizer


def save_tokenizer(folder: Path, tokenizer: Any, template: str, **named: Any) -> Any:
    """Write it with its chat template and the tokens that have a name; returns the tokenizer of transformers."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32768, **named)
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


def save_weights(folder: Path, model_class: Any, config: Any, end: int, names: Mapping[str, str] = {}) -> None:
    """Write random weights of a true architecture, whose answers are noise that the token `end` may end.

    `names` are beginnings of the weights' names that published checkpoints have in another form than transformers.
    """
    import torch
    from safetensors.torch import load_file, save_file
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nan_to_num_(parameter)
        model.get_output_embeddings().weight.mul_(0.02)  # larger logits would fall into loops
    model.generation_config.eos_token_id = end
    model.to(torch.bfloat16).save_pretrained(folder)
    if names:
        weights = load_file(folder / "model.safetensors")
        for ours, theirs in names.items():
            weights = {
                f"{theirs}{name.removeprefix(ours)}" if name.startswith(ours) else name: weight
                for name, weight in weights.items()
            }
        save_file(weights, folder / "model.safetensors", {"format": "pt"})


def write_json(path: Path, **content: object) -> None:
    path.write_text(json.dumps(content, indent=1))
