"""What vLLM is started with, by model and GPU."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, Qwen2_5_VLConfig, Qwen2VLConfig

from benchmarks.dummy_model import FP8_SCHEMES, make_dummy_model
from MetaCaptioner.engine import vllm_arguments
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.vllm_arguments import (
    SERVER_ARGUMENTS,
    as_flags,
    environment,
    gpu_capability,
    model_config,
    necessary,
    tokenizer_arguments,
)
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.utils.options_sources import read
from tests.pages import typed

AMPERE, ADA, HOPPER, BLACKWELL = 80, 89, 90, 100
STATIC = {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["visual.blocks.0.attn.qkv"]}
TENSOR = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False}
BY_TOKEN = {**TENSOR, "dynamic": True}  # so vLLM takes it
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": TENSOR, "input_activations": TENSOR}},
    "ignore": ["lm_head", "re:visual.*"],
}


def config(quantization: Mapping[str, Any] | None = None) -> Qwen2_5_VLConfig:
    made = Qwen2_5_VLConfig()
    if quantization is not None:
        made.quantization_config = dict(quantization)
    return made


def chosen_for_speed(
    model: Any, given: Mapping[str, object], capability: int | None, tensor_parallel_size: int = 1
) -> dict[str, Any]:
    options = EngineOptions("m", tensor_parallel_size=tensor_parallel_size, extra=given)
    return vllm_arguments.chosen_for_speed(model, options, capability)


@pytest.mark.engine
@pytest.mark.parametrize("on_gpu", [True, False])
def test_vllm_knows_all_arguments(on_gpu: bool) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    options = EngineOptions("m", seed=3, gpu_memory_utilization=0.5)
    arguments = necessary(config(), options, on_gpu) | chosen_for_speed(config(STATIC), {}, HOPPER)
    made = AsyncEngineArgs(**arguments)
    assert (made.seed, made.gpu_memory_utilization, made.linear_backend) == (3, 0.5, "torch")
    assert made.compilation_config.compile_mm_encoder


@pytest.mark.engine
def test_the_configuration_is_read_as_vllm_reads_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "kimi_vl", "text_config": {}, "vision_config": {}}')
    with pytest.raises(ValueError, match="kimi_vl"):
        AutoConfig.from_pretrained(tmp_path)
    assert model_config(EngineOptions(str(tmp_path))).model_type == "kimi_vl"


@pytest.mark.engine
def test_a_cpu_has_no_capability() -> None:
    assert gpu_capability() is None


@pytest.mark.parametrize(
    ("seed", "on_gpu", "chunked"), [(3, False, False), (3, True, None), (None, False, None), (None, True, None)]
)
def test_prompts_are_read_whole_where_answers_are_drawn_by_seed_on_a_cpu(
    seed: int | None, on_gpu: bool, chunked: bool | None
) -> None:
    """vLLM takes back what a sequence has drawn while its prompt was read; torch's generators for CPUs cannot."""
    assert necessary(config(), EngineOptions("m", seed=seed), on_gpu).get("enable_chunked_prefill") is chunked


@pytest.mark.engine
def test_where_mistrals_own_tokenizer_is_one_of_two_the_other_is_taken(tmp_path: Path) -> None:
    mistrals = ("consolidated.safetensors", "tekken.json", "params.json")

    def chosen(folder: str, *files: str, **extra: object) -> dict[str, Any]:
        (tmp_path / folder).mkdir()
        for name in files:
            (tmp_path / folder / name).write_text("{}")
        return tokenizer_arguments(EngineOptions(str(tmp_path / folder), extra=extra))

    assert chosen("neither") == {}
    assert chosen("one", *mistrals) == {}
    assert chosen("both", *mistrals, "tokenizer.json") == {"tokenizer_mode": "hf"}
    assert chosen("said", *mistrals, "tokenizer.json", tokenizer_mode="mistral") == {}


def test_remote_code_is_off_by_default() -> None:
    arguments = necessary(config(), EngineOptions("m"), on_gpu=True)
    assert "trust_remote_code" not in arguments | chosen_for_speed(config(), {}, HOPPER)


@pytest.mark.parametrize(("longest", "asked", "context"), [(128_000, None, 16384), (4096, None, 4096), (4096, 99, 99)])
def test_the_context_is_at_most_the_models_own(longest: int, asked: int | None, context: int) -> None:
    model = config()
    model.get_text_config().max_position_embeddings = longest
    assert necessary(model, EngineOptions("m", max_model_len=asked), on_gpu=True)["max_model_len"] == context


@pytest.mark.parametrize("scheme", [None, *FP8_SCHEMES])
def test_cublas_multiplies_what_has_one_scale_a_tensor(scheme: str | None, tmp_path: Path) -> None:
    model = AutoConfig.from_pretrained(make_dummy_model(tmp_path, "tiny", scheme))
    chosen = chosen_for_speed(model, {}, HOPPER)
    assert chosen.get("linear_backend") == ("torch" if scheme == "tensor" else None)


@pytest.mark.parametrize(
    ("quantization", "backend"),
    [
        (STATIC, "torch"),
        ({**STATIC, "ignored_layers": None}, None),
        ({**STATIC, "ignored_layers": ["lm_head"]}, None),
        ({**STATIC, "activation_scheme": "dynamic"}, None),
        ({**STATIC, "weight_block_size": [128, 128]}, None),
        (COMPRESSED, "torch"),
        ({**COMPRESSED, "ignore": ["lm_head"]}, None),
        ({**COMPRESSED, "config_groups": {}}, None),
        ({**COMPRESSED, "config_groups": None}, None),
        ({**COMPRESSED, "config_groups": {"FP8": ["Linear"]}}, None),
        ({**COMPRESSED, "config_groups": {"a": {"weights": TENSOR, "input_activations": None}}}, None),
        ({**COMPRESSED, "config_groups": {"a": {"weights": TENSOR, "input_activations": BY_TOKEN}}}, None),
        ({"quant_method": "awq", "bits": 4}, None),
    ],
)
def test_other_formats_of_weights(quantization: Mapping[str, Any], backend: str | None) -> None:
    assert chosen_for_speed(config(quantization), {}, HOPPER).get("linear_backend") == backend


@pytest.mark.parametrize("capability", [AMPERE, ADA, BLACKWELL])
def test_cublas_is_chosen_only_where_it_was_measured(capability: int) -> None:
    everything = chosen_for_speed(config(STATIC), {}, HOPPER)
    assert everything.keys() - chosen_for_speed(config(STATIC), {}, capability).keys() == {"linear_backend"}


def test_gpus_of_another_maker_run_as_vllm_has_it() -> None:
    chosen = chosen_for_speed(config(STATIC), {}, None)
    assert set(chosen) == {"max_num_batched_tokens", "max_num_seqs", "mm_processor_cache_gb"}


def test_the_tower_is_compiled_only_on_one_gpu() -> None:
    assert "compilation_config" not in chosen_for_speed(config(), {}, HOPPER, tensor_parallel_size=2)


def test_every_number_of_sequences_has_a_cuda_graph() -> None:
    chosen = chosen_for_speed(config(), {}, HOPPER)
    assert chosen["max_cudagraph_capture_size"] >= chosen["max_num_seqs"]


def test_only_towers_that_vllm_can_compile_are_compiled() -> None:
    assert chosen_for_speed(config(), {}, HOPPER)["compilation_config"] == {"compile_mm_encoder": True}
    assert "compilation_config" not in chosen_for_speed(Qwen2VLConfig(), {}, HOPPER)


@pytest.mark.parametrize(
    ("given", "left_to_the_user"),
    [
        ({"max_num_seqs": 7}, {"max_num_seqs", "max_cudagraph_capture_size"}),
        ({"enforce_eager": True}, {"max_cudagraph_capture_size"}),
        ({"linear_backend": "auto"}, {"linear_backend"}),
        ({"compilation_config": {"mode": 0}}, {"compilation_config", "max_cudagraph_capture_size"}),
        ({"cudagraph_capture_sizes": [1, 2]}, {"max_cudagraph_capture_size"}),
    ],
)
def test_what_the_user_gives_is_not_chosen(given: Mapping[str, object], left_to_the_user: set[str]) -> None:
    everything = chosen_for_speed(config(STATIC), {}, HOPPER)
    assert everything.keys() - chosen_for_speed(config(STATIC), given, HOPPER).keys() == left_to_the_user


def test_no_gpu_no_gpus_environment() -> None:
    assert environment(on_gpu=True).items() < environment(on_gpu=False).items()


@pytest.mark.parametrize(
    ("first", "drawn"),
    [
        ("", True),
        ("os.environ.update(environment(on_gpu=True))", False),
        (
            "import MetaCaptioner.runner.stage; os.environ.update(environment(on_gpu=True))",
            True,
        ),  # a rank, whose bar stays
    ],
)
def test_a_process_of_the_engine_draws_no_bars(first: str, drawn: bool) -> None:
    code = f"""
import os
from MetaCaptioner.engine.vllm_arguments import environment
{first}
from tqdm import tqdm
print(sum(tqdm(range(3))))
"""
    fresh = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    done = subprocess.run([sys.executable, "-c", code], env=fresh, capture_output=True, text=True, check=True)
    assert (done.stdout, "3/3" in done.stderr) == ("3\n", drawn)


def test_what_is_printed_can_be_pasted() -> None:
    chosen = {**chosen_for_speed(config(STATIC), {}, HOPPER), "enforce_eager": True}
    typed = shlex.split(" ".join(f"--model m --engine-arg {flag}" for flag in as_flags(chosen)))
    assert read(StageOptions, typed, "").engine_options().extra == chosen


def test_users_are_told_what_our_own_servers_are_started_with() -> None:
    """That they start so and answer is in test_openai_vllm."""
    told = shlex.split(typed("a server of one's own").replace("\\\n", " "))
    own = [part for argument in SERVER_ARGUMENTS for part in argument.split("=", 1)]
    assert sorted(own) == sorted(told[5:])
    assert told[3:5] == ["--limit-mm-per-prompt", '{"image": 1, "video": 1}']
