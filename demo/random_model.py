"""Makes a small Qwen2.5-VL with random weights: the real architecture, and answers that are noise.

For whatever only needs a model that moves as a real one does.

    python -m demo.random_model Output/random_model
"""

import argparse
from pathlib import Path

from demo.architecture import Shape, new_model, save_model, train_tokenizer

PROMPTS = Path(__file__).resolve().parents[1] / "MetaCaptioner" / "prompts"
SHAPE = Shape(
    hidden=128,
    intermediate=256,
    layers=2,
    key_value_heads=1,
    vision_hidden=128,
    vision_intermediate=256,
    vision_depth=2,
    full_attention=(1,),
    positions=32768,
    tied=False,
)
VOCABULARY = 4096


def prompt_texts() -> list[str]:
    """The shipped prompts, for tokenizers to be trained on; phrases that are looked for in answers are none."""
    files = sorted(path for path in PROMPTS.glob("*.yaml") if path.name != "refusals.yaml")
    return [path.read_text(encoding="utf-8") for path in files]


def make_random_model(folder: Path, seed: int = 0, shape: Shape = SHAPE) -> None:
    """Write the model to `folder`. Its words come from the prompt files, so that noise reads like words."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(prompt_texts(), folder, VOCABULARY)
    model = new_model(shape, len(tokenizer), seed)
    with torch.no_grad():
        model.lm_head.weight.mul_(0.02)  # near-uniform noise: larger logits would fall into loops at low temperature
    save_model(model, folder)


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the model")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make_random_model(options.folder, options.seed)
    print(f"random-weight Qwen2.5-VL in {options.folder}: its captions are noise")


if __name__ == "__main__":
    main()
