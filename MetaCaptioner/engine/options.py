"""How an engine is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EngineOptions:
    """How the engine is built; `extra` goes to it as it is, `template_arguments` to the model's chat template."""

    model: str
    kind: str = "vllm"
    tensor_parallel_size: int = 1
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    seed: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    template_arguments: Mapping[str, object] = field(default_factory=dict)
    keep_reasoning: bool = False

    @property
    def made_by(self) -> str:
        """What records name as their model: where none runs, the engine that answers in its place."""
        return self.model if self.kind == "vllm" else self.kind
