"""Train the demo model: a small Qwen2.5-VL that reads the drawings of all nine domains.

    python -m demo.train --output data/demo/model          # about 12 minutes on one H100 with 16 CPU cores

The same seed and number of steps give the same drawings and questions on any machine; weights differ by rounding.
"""

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from demo.architecture import Shape, new_model, save_model, train_tokenizer
from demo.batches import FRAME_SIDE, PICTURE_SIDE, SHARES, Batch, Batches, Encoder, corpus
from demo.drawing import KINDS
from demo.network import Inputs, Network, exact, losses, to_inputs
from demo.optimizer import Optimizer

WEIGHTS = {
    "letters": 0.5,
    "read": 0.5,
    "route": 0.3,
    "notes": 1.0,
    "reasoning": 0.5,
    "summary": 0.5,
    "judge": 1.0,
    "claims": 0.5,
}
"""What each task's loss counts."""

VOCABULARY, CORPUS_DRAWINGS = 2048, 40


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result.

    `batch` is in drawings, `rate` is the highest learning rate. Every batch serves `reuse` steps on average: once when
    it is drawn, and again by chance while it is in the `pool`.
    """

    steps: int = 7200
    batch: int = 72
    rate: float = 6e-3
    warmup: int = 200
    weight_decay: float = 0.05
    noise: float = 0.05
    seed: int = 0
    reuse: int = 2
    pool: int = 200
    check_batches: int = 40


def rate_at(step: int, settings: Settings) -> float:
    """Share of the highest learning rate: up over `warmup` steps, then down to nothing along a cosine."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def batches(folder: Path, split: str, settings: Settings, workers: int, number: int) -> Iterator[Batch]:
    """The batches of a split in order, drawn ahead by worker processes."""
    dataset = Batches(folder, split, settings.seed, settings.batch, number)
    # as they are: tensors would go through shared memory, of which containers have little
    yield from DataLoader(
        dataset, batch_size=None, num_workers=workers, collate_fn=_as_it_is, prefetch_factor=4 if workers else None
    )


def _as_it_is(batch: Batch) -> Batch:
    return batch


class Step:
    """One step of training; on a GPU recorded once as a CUDA graph, then replayed.

    Without that, the host needs several times as long to launch these small operations as the device to do them.
    """

    def __init__(self, network: Network, settings: Settings, example: Inputs) -> None:
        self._network, self._noise = network, settings.noise
        self._optimizer = Optimizer(network.model, network.reader.parameters(), settings.weight_decay, network.device)
        self._inputs = {name: part.clone() for name, part in example.items()}
        self._graph: torch.cuda.CUDAGraph | None = None
        if network.device == "cuda":
            self._record()

    def __call__(self, inputs: Inputs, rate: float) -> dict[str, Tensor]:
        """Step with this learning rate; returns the losses by task, which the next step overwrites."""
        self._optimizer.rate.fill_(rate)
        for name, part in inputs.items():
            self._inputs[name].copy_(part)
        if self._graph is None:
            return self._run()
        self._graph.replay()
        return self._losses

    def _run(self) -> dict[str, Tensor]:
        parameters = [*self._network.model.parameters(), *self._network.reader.parameters()]
        for parameter in parameters:
            parameter.grad = None
        with torch.autocast(self._network.device, torch.bfloat16, cache_enabled=False):
            found = losses(self._network.logits(self._inputs, list(SHARES), self._noise), self._inputs)
            whole = torch.stack([WEIGHTS[task] * loss for task, loss in found.items()]).sum()
        whole.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self._optimizer.step()
        return {task: loss.detach() for task, loss in found.items()}

    def _record(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # at rate 0: allocates, and leaves the weights as they are
                self._run()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses = self._run()


def supply(source: Iterator[Batch], settings: Settings, device: str) -> Iterator[Inputs]:
    """A batch for every step: fresh ones, and between them some of the last `pool` again, under other noise."""
    chance = random.Random(settings.seed)
    pool: list[Inputs] = []
    for step in range(settings.steps):
        if step % settings.reuse == 0:
            fresh = {name: part.to(device) for name, part in to_inputs(next(source)).items()}
            if len(pool) == settings.pool:
                pool.pop(chance.randrange(settings.pool))
            pool.append(fresh)
            yield fresh
        else:
            yield chance.choice(pool)


def train(network: Network, folder: Path, settings: Settings, workers: int) -> list[dict[str, float]]:
    """Train in place; returns the losses by task every hundredth of the way."""
    source = batches(folder, "train", settings, workers, -(-settings.steps // settings.reuse))
    start, history, do_step = time.monotonic(), [], None
    every = max(1, settings.steps // 100)
    sums: dict[str, Tensor] = {}
    for step, inputs in enumerate(supply(source, settings, network.device)):
        do_step = do_step or Step(network, settings, inputs)
        found = do_step(inputs, settings.rate * rate_at(step, settings))
        sums = {task: sums.get(task, 0) + loss for task, loss in found.items()}
        if (step + 1) % every == 0:
            means = {task: round(float(total) / every, 4) for task, total in sums.items()}
            history.append({"step": step + 1, "seconds": round(time.monotonic() - start, 1), **means})
            sums = {}
            print(json.dumps(history[-1]), flush=True)
    return history


@torch.no_grad()  # type: ignore[untyped-decorator]
def check(network: Network, folder: Path, settings: Settings, workers: int) -> dict[str, dict[str, float]]:
    """Kind of drawing -> task -> share of answers right to the last token, on drawings of the split "test"."""
    names = [*(kind.name for kind in KINDS), "page"]
    right: dict[str, dict[str, list[bool]]] = {name: {task: [] for task in SHARES} for name in names}
    for batch in batches(folder, "test", settings, workers, settings.check_batches):
        inputs = {name: part.to(network.device) for name, part in to_inputs(batch).items()}
        with torch.autocast(network.device, torch.bfloat16):
            logits = network.logits(inputs, list(SHARES))
        for task in SHARES:
            hits = exact(logits[task], inputs[f"{task}/labels"]).tolist()
            for medium, hit in zip(batch.rows[task].media.tolist(), hits, strict=True):
                right[batch.kinds[medium]][task].append(hit)
    return {
        kind: {task: round(sum(hits) / len(hits), 4) for task, hits in tasks.items() if hits}
        for kind, tasks in right.items()
    }


def run(output: Path, settings: Settings, device: str, workers: int) -> None:
    """Train from nothing and write the model, `training.json` with settings, losses and the final table beside it."""
    began = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(corpus(settings.seed, CORPUS_DRAWINGS), output, VOCABULARY)
    shape = Shape()
    model = new_model(shape, len(tokenizer), settings.seed)
    network = Network(model, Encoder(output).head, device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{parameters:,} parameters, {len(tokenizer)} tokens, set up in {time.monotonic() - began:.0f} s", flush=True)
    history = train(network, output, settings, workers)
    table = check(network, output, settings, workers)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    record = {
        "settings": asdict(settings),
        "shape": asdict(shape),
        "parameters": parameters,
        "device": name,
        "torch": torch.__version__,
        "seconds": round(time.monotonic() - began),
        "exact_answers": table,
        "losses": history,
    }
    (output / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    for kind, tasks in table.items():
        print(f"{kind:18}", *(f"{task} {share:.3f}" for task, share in tasks.items()), flush=True)
    save_model(model, output, PICTURE_SIDE**2, FRAME_SIDE**2)
    print(f"{output}: done in {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Settings()
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--batch", type=int, default=defaults.batch, help="drawings a step")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="highest learning rate")
    parser.add_argument("--reuse", type=int, default=defaults.reuse, help="steps that a batch serves")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="processes that draw")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    settings = replace(
        defaults,
        steps=options.steps,
        warmup=min(defaults.warmup, options.steps // 5),
        batch=options.batch,
        rate=options.rate,
        reuse=options.reuse,
        seed=options.seed,
    )
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    run(options.output, settings, options.device, options.workers)


if __name__ == "__main__":
    main()
