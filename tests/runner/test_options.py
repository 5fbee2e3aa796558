from dataclasses import replace
from pathlib import Path

import pytest

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.media.decoding.limits import default_memory
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.utils.options_sources import read
from tests.helpers import Runner, small_plan


def parse(*arguments: str) -> StageOptions:
    return read(StageOptions, ["--model", "m", *arguments], "")


def test_what_is_not_said_has_its_default() -> None:
    options = parse()
    assert (options.model, options.engine, options.tensor_parallel_size) == ("m", "vllm", 1)
    assert (options.max_model_len, options.seed, options.engine_options().extra) == (None, None, {})
    assert options.budget() == replace(MediaBudget(), decode_memory=default_memory(1))
    assert (options.prompts_dir, options.max_samples, options.retry_errors) == (None, None, False)
    assert (options.max_error_rate, options.stall_seconds, options.max_deaths) == (0.5, 600.0, 5)


def test_every_flag_of_the_contract_is_taken() -> None:
    options = parse(
        *("--tensor-parallel-size", "2", "--max-model-len", "8192", "--gpu-memory-utilization", "0.8"),
        *("--max-pixels", "90000", "--video-frames", "16", "--video-fps", "0.5", "--prompts-dir", "p"),
        *("--max-samples", "9", "--retry-errors", "--seed", "3", "--video-pixels", "8000"),
        *("--max-source-pixels", "1000000"),
    )
    engine, budget = options.engine_options(), options.budget()
    assert (engine.tensor_parallel_size, engine.max_model_len, engine.gpu_memory_utilization) == (2, 8192, 0.8)
    assert (budget.max_pixels, budget.video_frames, budget.video_fps) == (90000, 16, 0.5)
    assert (budget.video_pixels, budget.max_source_pixels) == (8000, 1_000_000)
    assert (options.prompts_dir, options.max_samples, options.retry_errors, engine.seed) == (Path("p"), 9, True, 3)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("enforce_eager=true", "enforce_eager", True),
        ("max-num-seqs=64", "max_num_seqs", 64),
        ("dtype=bfloat16", "dtype", "bfloat16"),
        ("swap=1.5", "swap", 1.5),
        ('limit={"image": 2}', "limit", {"image": 2}),
        ("path=/a=b", "path", "/a=b"),
        ("revision=", "revision", ""),
        ("quantization=null", "quantization", None),
        ('revision="12"', "revision", "12"),
    ],
)
def test_an_engine_argument_is_json_or_else_text(text: str, name: str, value: object) -> None:
    assert parse("--engine-arg", text).engine_options().extra == {name: value}


def test_engine_arguments_add_up_and_the_last_wins() -> None:
    options = parse("--engine-arg", "a=1", "--engine-arg", "b=2", "--engine-arg", "a=3")
    assert options.engine_options().extra == {"a": 3, "b": 2}


@pytest.mark.parametrize("text", ["x", "=1", "a b=1", "1a=2", ""])
def test_an_engine_argument_without_name_and_value_is_refused(text: str) -> None:
    with pytest.raises(BadArguments, match=r"--engine-arg '.*' is not NAME=VALUE"):
        parse("--engine-arg", text)


BAD = [
    ("--tensor-parallel-size", "0", "must be at least 1"),
    ("--max-pixels", "0", "must be at least 1"),
    ("--video-pixels", "-5", "must be at least 1"),
    ("--max-source-pixels", "0", "must be at least 1"),
    ("--in-flight", "0", "must be at least 1"),
    ("--takeover-chunk", "-1", "must be at least 0"),
    ("--decode-threads", "0", "must be at least 1"),
    ("--decode-seconds", "0", "must be above 0"),
    ("--decode-seconds", "nan", "must be above 0"),
    ("--decode-memory", "-1", "must be above 0"),
    ("--decode-memory", "inf", "must be above 0"),
    ("--max-model-len", "0", "must be at least 1"),
    ("--max-samples", "0", "must be at least 1"),
    ("--max-output-tokens", "-1", "must be at least 1"),
    ("--video-frames", "1", "must be at least 2"),
    ("--video-fps", "0", "must be above 0"),
    ("--video-fps", "nan", "must be above 0"),
    ("--gpu-memory-utilization", "0", "must be above 0 and at most 1"),
    ("--gpu-memory-utilization", "1.5", "must be above 0 and at most 1"),
    ("--gpu-memory-utilization", "nan", "must be above 0 and at most 1"),
    ("--grace-seconds", "-1", "must be"),
    ("--grace-seconds", "nan", "must be"),
    ("--stall-seconds", "-1", "must be at least 0"),
    ("--stall-seconds", "nan", "must be at least 0"),
    ("--max-error-rate", "1.1", "must be from 0 to 1"),
    ("--max-error-rate", "-0.1", "must be from 0 to 1"),
    ("--max-error-rate", "nan", "must be from 0 to 1"),
    ("--max-deaths", "0", "must be at least 1"),
]


@pytest.mark.parametrize(("flag", "value", "complaint"), BAD)
def test_a_value_out_of_range_is_one_line_and_status_2(
    tmp_path: Path, run: Runner, flag: str, value: str, complaint: str
) -> None:
    outcome = run.caption(small_plan(tmp_path, 1), tmp_path / "out", f"{flag}={value}", engine_opens=False)
    assert outcome.status == 2
    assert outcome.said.startswith(f"error: {flag} {complaint}")
    assert outcome.said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--max-pixels", "many"], ["--engine", "magic"], ["--no-such-flag"], ["--seed", "1.5"], ["--model"]],
)
def test_what_argparse_refuses_has_status_2_too(tmp_path: Path, run: Runner, arguments: list[str]) -> None:
    outcome = run.caption(small_plan(tmp_path, 1), tmp_path / "out", *arguments, engine_opens=False)
    assert outcome.status == 2
    assert "error: " in outcome.said.splitlines()[-1]


@pytest.mark.parametrize("missing", ["--plan", "--output-dir"])
def test_plan_and_output_must_be_named(tmp_path: Path, run: Runner, missing: str) -> None:
    from MetaCaptioner import captionpipeline

    given = {"--plan": "p.jsonl", "--output-dir": "out"}
    rest = [text for flag, value in given.items() if flag != missing for text in (flag, value)]
    outcome = run.main(captionpipeline.main, "--model", "m", *rest, engine_opens=False)
    assert outcome.status == 2
    assert missing in outcome.said.splitlines()[-1]


def test_arguments_of_the_chat_template_are_read_as_json_where_they_are() -> None:
    typed = ["--chat-template-arg", "enable_thinking=true", "--chat-template-arg", "style=short", "--keep-reasoning"]
    engine = read(StageOptions, ["--model", "m", *typed], "").engine_options()
    assert engine.template_arguments == {"enable_thinking": True, "style": "short"}
    assert engine.keep_reasoning
    with pytest.raises(BadArguments, match="--chat-template-arg 'style' is not NAME=VALUE"):
        read(StageOptions, ["--chat-template-arg", "style"], "")
