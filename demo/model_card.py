"""Write the model card: what the model is, how its last training went, and what the pipeline reaches with it.

    python -m demo.model_card data/demo/model

It is made from `training.json` (written by `demo.train`) and `quality.json` (by `benchmarks.demo_quality`).
"""

import argparse
import json
from pathlib import Path
from typing import Any

CARD = """# The demo model

A Qwen2.5-VL of {parameters:,} parameters ({megabytes:.1f} MB in bfloat16) that reads the drawings of `demo/drawing`.
**It is for the demo and the tests of MetaCaptioner only.** It has seen nothing but those drawings: on a photograph, or
with any prompts but those of `data/demo/prompts`, its answers mean nothing.

- **Architecture:** `Qwen2_5_VLForConditionalGeneration`; vision tower of {vision_depth} blocks of width
  {vision_hidden}, language model of {layers} layers of width {hidden}, head_dim 64, a byte-level BPE of its own with
  {vocabulary} tokens. Its processor shrinks pictures to 224x224 and the frames of clips to 112x112 pixels: 64 tokens
  for either.
- **Data:** {drawings:,} drawings of nine domains, drawn while training and each used {reuse} times on average
  ({steps:,} steps of {batch}), and pages of scattered words to learn to read from. The demo's pictures, the
  evaluation's and the tests' come from random streams that training never draws from.
- **Tasks:** the router's code, every agent's notes, the caption from the notes, and the judge's verdict on right and
  corrupted captions.
- **Made by** `python -m demo.train --output data/demo/model`
  on {device}, torch {torch}, in {minutes:.1f} minutes, seed {seed}.
- **Licence:** Apache 2.0, like the code that made it.

## The last training

![Loss by task](loss.png)

Share of answers right to the last token, on drawings that were not trained on. Each token is predicted from the right
ones before it, so reasoning is given true notes here. Where groups may be named in any order, as in abstract art and
blood smears, an answer can be right and not the same.

{exact}
## What the pipeline reaches with it

{quality}"""


def _table(rows: list[list[str]]) -> str:
    head, *body = [" | ".join(["", *row, ""]).strip() for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body]) + "\n"


def exact_table(exact: dict[str, dict[str, float]]) -> str:
    """The final table of the training as Markdown."""
    tasks = list(dict.fromkeys(task for found in exact.values() for task in found))
    rows = [["kind of drawing", *tasks]]
    for kind, found in exact.items():
        rows.append([kind.replace("_", " "), *(f"{found[task]:.3f}" if task in found else "" for task in tasks)])
    return _table(rows)


def plot_losses(history: list[dict[str, float]], path: Path) -> None:
    """The losses by task over the steps, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    steps = [entry["step"] for entry in history]
    for task in (name for name in history[0] if name not in ("step", "seconds", "waited")):
        axes.plot(steps, [entry[task] for entry in history], label=task)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("cross-entropy of an answer token (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def write_card(folder: Path) -> None:
    """Write README.md and loss.png into the model's folder.

    Raises:
        FileNotFoundError: the model has not been trained or measured yet.
    """
    training: dict[str, Any] = json.loads((folder / "training.json").read_text())
    quality: dict[str, Any] = json.loads((folder / "quality.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    settings = training["settings"]
    plot_losses(training["losses"], folder / "loss.png")
    card = CARD.format(
        **training["shape"],
        parameters=training["parameters"],
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        vocabulary=(config.get("text_config") or config)["vocab_size"],
        drawings=-(-settings["steps"] // settings["reuse"]) * settings["batch"],
        reuse=settings["reuse"],
        steps=settings["steps"],
        batch=settings["batch"],
        device=training["device"],
        torch=training["torch"],
        minutes=training["seconds"] / 60,
        seed=settings["seed"],
        exact=exact_table(training["exact_answers"]),
        quality=quality["markdown"],
    )
    (folder / "README.md").write_text(card)


def main() -> None:
    """Write the card of the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the model")
    write_card(parser.parse_args().folder)


if __name__ == "__main__":
    main()
