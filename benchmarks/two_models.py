"""Two models in one run: one looks, and another one, on a server that the launch starts, writes from its notes.

    python -m benchmarks.two_models --work scratch [--shape 7b] [--items 256] [--side 1008] [--runs two alone]

The one that looks is Qwen2.5-VL, the one that writes a Qwen2.5 of text alone, both of a published shape and without
weights, so what they write is noise; every answer is as long as it may be: 256 tokens of each of three observers, 512
of the writer. Where there are GPUs, each has one. The run `alone` is of the first, for all agents. `two_models.md` has
the figures.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.dummy_model import SHAPES, make_dummy_model
from benchmarks.workload import PROMPTS, Workload
from MetaCaptioner.errors import UserError
from MetaCaptioner.metrics.usage import Run, figures, model_figures, runs_of
from MetaCaptioner.runtime.gpus import visible_gpus
from MetaCaptioner.utils.cli import run_main

ROOT = Path(__file__).resolve().parents[1]
OBSERVER_TOKENS, WRITER_TOKENS = 256, 512
_CONTEXT = 8192


@dataclass(frozen=True)
class Measured:
    """What a launch took, from its start to its end, and what its rank did."""

    name: str
    seconds: float
    run: Run


def make_models(folder: Path, shape: str) -> tuple[Path, Path]:
    """(the one that looks, the one that writes): configurations and tokenizers of a shape of `SHAPES`."""
    looks = make_dummy_model(folder / "looks", shape)
    writes = make_dummy_model(folder / "writes", shape)
    config = json.loads((writes / "config.json").read_text())
    for name in [name for name in config if name.startswith("vision") or name in ("image_token_id", "video_token_id")]:
        del config[name]
    del config["rope_scaling"]  # the places of a text are numbers
    config |= {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    (writes / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"):
        (writes / name).unlink(missing_ok=True)
    return looks, writes


def make_prompts(folder: Path) -> Path:
    """Those of benchmarks/throughput.py, but a summary that is shown no picture, and the lengths of answers."""
    content = yaml.safe_load((PROMPTS / "natural.yaml").read_text())
    content = {"domain": "*", "agents": content["agents"]}
    for agent in content["agents"]:
        is_summary = agent["role"] == "summary"
        agent |= {"max_tokens": WRITER_TOKENS if is_summary else OBSERVER_TOKENS, "sees_media": not is_summary}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "every_domain.yaml").write_text(yaml.safe_dump(content))
    return folder


def configuration(looks: Path, writes: Path, on_gpu: bool) -> dict[str, Any]:
    """All ask the one that looks, which is the default, but for the summaries."""
    one = {"max_model_len": _CONTEXT, "engine_arg": {"load_format": "dummy"}}
    writer = {"model": str(writes), **one, "serve": {"gpus": 1} if on_gpu else {}}
    return {"model": str(looks), **one, "models": {"summary": writer}}


def measure(name: str, work: Path, plan: Path, flags: Sequence[str | Path]) -> Measured:
    """Caption with one rank.

    Raises:
        UserError: that has failed.
    """
    output = work / name
    shutil.rmtree(output, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "MetaCaptioner",
        "caption",
        f"--plan={plan}",
        f"--output-dir={output}",
        "--ranks=1",
    ]
    begin = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    status = subprocess.run([*command, *map(str, flags)], cwd=ROOT, env=environment, check=False).returncode
    seconds = time.monotonic() - begin
    if status:
        raise UserError(f"{name}: ended with status {status}")
    [run] = runs_of([output])
    if run.errors:
        raise UserError(f"{name}: samples failed: {dict(run.errors)}")
    return Measured(name, seconds, run)


def table(measured: Sequence[Measured]) -> str:
    """Both launches as Markdown, then what each model has had."""
    lines = ["| run | pictures an hour | output tokens a second | GPU hours per 1,000 | seconds of loading | in all |"]
    lines.append("| --- |" + " ---: |" * 5)
    for one in measured:
        run, sums = one.run, figures([one.run])
        hours = "none" if sums.gpu_hours is None else f"{1000 * sums.gpu_hours / max(1, run.images):.2f}"
        rates = f"{3600 * run.images / run.working_seconds:,.0f} | {run.output_tokens / run.working_seconds:,.0f}"
        lines.append(f"| {one.name} | {rates} | {hours} | {run.loading_seconds:.0f} | {one.seconds:.0f} |")
    lines += [
        "",
        "| run | model | input tokens | of them cached | output tokens |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for one in measured:
        told: Mapping[str, Any] = model_figures([one.run]) or {"the only one": one.run}
        for name, had in told.items():
            tokens = f"{had.input_tokens:,} | {had.cached_tokens:,} | {had.output_tokens:,}"
            lines.append(f"| {one.name} | {Path(name).name} | {tokens} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--shape", choices=[*SHAPES], default="7b")
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--side", type=int, default=1008)
    parser.add_argument("--runs", nargs="+", choices=["two", "alone"], default=["two"])
    given = parser.parse_args(arguments)
    work = given.work.absolute()
    looks, writes = make_models(work / "models", given.shape)
    plan = Workload(items=given.items, side=given.side).write(work / "media")
    config = work / "run.yaml"
    config.write_text(yaml.safe_dump(configuration(looks, writes, bool(visible_gpus(os.environ)))))
    flags = ("--config", config, "--prompts-dir", make_prompts(work / "prompts"))
    of_run: dict[str, tuple[str, ...]] = {"two": (), "alone": ("--models", "{}")}
    measured = [measure(name, work, plan, (*flags, *of_run[name])) for name in given.runs]
    print(table(measured))
    return 0


if __name__ == "__main__":
    run_main(main)
