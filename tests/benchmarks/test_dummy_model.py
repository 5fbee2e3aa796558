"""Models without weights: their tokenizer, and the count of their arithmetic."""

import json
from pathlib import Path

import pytest

from benchmarks.dummy_model import (
    ANSWER_LETTERS,
    FP8_SCHEMES,
    SHAPES,
    Work,
    language_flops,
    make_dummy_model,
    vision_flops,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dummy_model(tmp_path_factory.mktemp("model"), "tiny", fp8="channel")


def test_what_is_written_is_read_as_as_many_tokens(folder: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == SHAPES["tiny"][1]
    letters = [chr(letter) for letter in ANSWER_LETTERS[:1000:7]]
    ids = tokenizer.encode("".join(letters), add_special_tokens=False).ids
    assert len(ids) == len(letters) == len(set(ids))
    assert tokenizer.decode(ids) == "".join(letters)


def test_the_configuration_is_one_that_transformers_reads(folder: Path) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    assert config.architectures == ["Qwen2_5_VLForConditionalGeneration"]
    assert config.quantization_config["quant_method"] == "compressed-tensors"


@pytest.mark.parametrize("scheme", FP8_SCHEMES)
def test_the_fp8_schemes_are_ones_that_compressed_tensors_reads(scheme: str, tmp_path: Path) -> None:
    from compressed_tensors.quantization import QuantizationConfig

    config = json.loads((make_dummy_model(tmp_path, "tiny", scheme) / "config.json").read_text())
    read = QuantizationConfig.model_validate(config["quantization_config"])
    group = read.config_groups["group_0"]
    assert group.weights.strategy == scheme
    assert group.input_activations.dynamic == (scheme != "tensor")


def test_arithmetic_is_two_operations_a_weight_and_token() -> None:
    # Qwen2.5-VL-7B: 6.53 thousand million weights in its 28 layers and 0.55 in its output head.
    one = language_flops("7b", Work(1, 0, 0))
    assert one == pytest.approx(2 * 6.53e9, rel=0.01)
    assert language_flops("7b", Work(0, 0, 1)) - one == pytest.approx(2 * 0.545e9, rel=0.01)
    assert language_flops("7b", Work(1000, 1000, 0)) == 0
    assert language_flops("7b", Work(1000, 400, 0)) == pytest.approx(600 * one, rel=0.03)


def test_a_picture_of_1008_pixels_is_seven_tera_operations() -> None:
    assert vision_flops("7b", 36 * 36) == pytest.approx(7.2e12, rel=0.03)
    assert vision_flops("7b", 16 * 100, 16) == pytest.approx(16 * vision_flops("7b", 100), rel=1e-6)
