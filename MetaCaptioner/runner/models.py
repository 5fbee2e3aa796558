"""Which models a run asks, by the names that its agents have for them, and how each is reached."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from MetaCaptioner.agents.roles import DEFAULT, looks_by_model
from MetaCaptioner.agents.workflow import Agent
from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.by_model import EngineByModel, Part
from MetaCaptioner.engine.options import EngineOptions, ServedOptions, Servers
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.metrics.model_usage import ModelUsage
from MetaCaptioner.runner.options import ModelOptions, RoleOptions, StageOptions
from MetaCaptioner.runtime.served import KEY_VARIABLE, served_here
from MetaCaptioner.utils.options import said_in


@dataclass(frozen=True, eq=False)
class AskedModel:
    """One model. `name` is the first of those that agents have for it, empty for the default; `asked_by` is an agent.

    `looks`: somebody shows it media.
    """

    name: str
    options: ModelOptions
    looks: bool
    asked_by: str

    @property
    def serve_gpus(self) -> int | None:
        """On how many GPUs of its own the launch serves it; None where it does not."""
        serve = self.options.serve if isinstance(self.options, RoleOptions) else None
        return serve.gpus if serve else None

    @property
    def opened_as(self) -> int:
        """In which order: what fails at once goes first, and what is waited for last."""
        return 2 if self.serve_gpus is not None else int(self.options.runs_in_process)

    @property
    def made_by(self) -> str:
        """What records name as their model."""
        return self.options.engine_options().made_by

    def engine_options(self, seed: int | None) -> EngineOptions:
        """How its engine is built, in a run of that seed.

        Raises:
            BadArguments: it is to be served, and nobody has started a server.
        """
        own = self.options.engine_options()
        own = replace(own, looks=self.looks, seed=seed if own.seed is None else own.seed)
        return own if self.serve_gpus is None else replace(own, kind="openai", extra={}, servers=self._servers())

    def server(self, seed: int | None) -> ServedOptions:
        """The server that the launch starts for it, in a run of that seed."""
        own = self.options.engine_options()
        return ServedOptions(
            model=self.options.model,
            gpus=self.serve_gpus or 0,
            max_model_len=own.max_model_len,
            gpu_memory_utilization=own.gpu_memory_utilization,
            seed=seed if own.seed is None else own.seed,
            extra=dict(own.extra),
        )

    def _servers(self) -> Servers:
        served = served_here(os.environ).get(self.name)
        if served is None:
            raise BadArguments(
                f"models: {self.name}: serve: this process was not started by metacaptioner (but by torchrun, several "
                "tasks a node, or a program), which would have started the server: start one yourself and say "
                "'engine: openai' and 'endpoint' in its place"
            )
        options = self.options
        limits = options.request_seconds, options.outage_seconds, options.pixel_multiple
        return Servers((served.address,), KEY_VARIABLE, *limits, waits_to_begin=True)

    def __str__(self) -> str:
        return f"'{self.name}' ({self.made_by})" if self.name else f"the default ({self.made_by}, for {self.asked_by})"


class AskedModels:
    """The models that some agents ask. Names with the same options are of one model.

    Raises:
        BadArguments: more than one of them would be in the process of a rank.
    """

    def __init__(self, options: StageOptions, agents: Sequence[Agent]) -> None:
        self._by_name: dict[str, AskedModel] = {}
        asking = {agent.model: agent.name for agent in reversed(agents)}
        for name, looks in looks_by_model(agents).items():
            of_name: ModelOptions = options if name == DEFAULT else options.models[name]
            same = next((one for one in self.all if _are_same(one.options, of_name)), None)
            model = AskedModel(name, of_name, looks, asking[name])
            if same is not None:
                model = replace(same, looks=looks or same.looks)
                self._by_name = {other: model if one is same else one for other, one in self._by_name.items()}
            self._by_name[name] = model
        here = [model for model in self.all if model.options.runs_in_process]
        if len(here) > 1:
            raise BadArguments(
                f"two models would be in the process of a rank, where one fits: {' and '.join(map(str, here[:2]))}: "
                "have one of them served ('serve: {gpus: 1}'), or name its server ('engine: openai' and 'endpoint')"
                f"{_hint(here)}"
            )

    @property
    def by_name(self) -> Mapping[str, AskedModel]:
        """Each name that agents have -> its model."""
        return self._by_name

    @property
    def all(self) -> list[AskedModel]:
        """Each model once."""
        return list(dict.fromkeys(self._by_name.values()))

    @property
    def are_several(self) -> bool:
        """Whether agents name models at all."""
        return any(self._by_name)

    @property
    def in_process(self) -> AskedModel | None:
        """The one that a rank has in its own process, if there is one."""
        return next((model for model in self.all if model.options.runs_in_process), None)

    @property
    def gpus_a_rank(self) -> int:
        """GPUs that one rank claims; of a dry run as many as if it were none."""
        told = [model.options.gpus_a_rank for model in self.all if model.serve_gpus is None]
        return max(told, default=0)

    def check_served(self) -> None:
        """Find out whether all that are to be served are.

        Raises:
            BadArguments: nobody has started a server for one.
        """
        for model in self.served:
            model.engine_options(None)

    @property
    def served(self) -> list[AskedModel]:
        """Those for which the launch starts servers."""
        return [model for model in self.all if model.serve_gpus is not None]


def _are_same(one: ModelOptions, other: ModelOptions) -> bool:
    return type(one) is type(other) and said_in(one) == said_in(other)


def _hint(here: Sequence[AskedModel]) -> str:
    """What is most often meant where the default is one of them: no agent's, but that of the router or the judge."""
    asking = next((model.asked_by for model in here if model.name == DEFAULT), "")
    return f"; 'models: {asking}:' would be for the {asking}" if asking in ("router", "judge") else ""


def engine_of(
    models: AskedModels, agents: Sequence[Agent], opened: Callable[[AskedModel], Engine], engine: Engine | None
) -> Engine:
    """The engine that answers `agents`; `engine` is what an earlier stage has had, whose models are kept."""
    if not models.are_several:
        return engine or opened(models.by_name[DEFAULT])
    several = engine if isinstance(engine, EngineByModel) else EngineByModel()
    names = dict.fromkeys(agent.model for agent in agents if agent.model not in several.names)
    try:
        for name in sorted(names, key=lambda name: models.by_name[name].opened_as):
            model = models.by_name[name]
            part = next((part for part in several.parts if part.name == model.name), None)
            several.add(name, part or Part(model.name, opened(model), model.made_by, model.looks))
    except BaseException:
        if several is not engine:
            several.close()
        raise
    return several


def loading(options: EngineOptions, gpus: Sequence[str]) -> str:
    """What to say when an engine is opened."""
    if options.servers is not None and options.servers.waits_to_begin:
        return f"waiting for the server of {options.model}"
    if options.servers is not None:
        return f"asking for {options.model} at {', '.join(options.servers.endpoints)}"
    what = options.model if options.kind == "vllm" else f"the {options.kind} engine"
    return f"loading {what} on {'GPU ' + ','.join(gpus) if gpus else 'the CPU'}"


def places_of(options: StageOptions) -> dict[str, int]:
    """How many times the samples that are enough for an engine without servers, by the names of models."""
    named: dict[str, ModelOptions] = {DEFAULT: options, **options.models}
    return {
        name: 2 * (len(one.endpoint) or (isinstance(one, RoleOptions) and one.serve is not None)) or 1
        for name, one in named.items()
    }


def usage_of(models: AskedModels, gpus: int, ranks_here: int) -> tuple[ModelUsage, ...]:
    """What a rank with so many GPUs has of each model, before it has asked any; nothing where there are not several."""
    if not models.are_several:
        return ()
    served = {name: one.gpus for name, one in served_here(os.environ).items()}
    return tuple(
        ModelUsage(
            model=model.made_by,
            names=tuple(name for name, one in models.by_name.items() if one is model),
            gpus=gpus if model is models.in_process else served.get(model.name, 0) / ranks_here,
            price_in=model.options.price_in,
            price_out=model.options.price_out,
        )
        for model in models.all
    )
