"""Before ranks are started: which models their stages ask, and which of these the launch serves, so that a mistake is
told once and at once."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.launch.local import Launch
from MetaCaptioner.launch.served import ServedModel, placed
from MetaCaptioner.metrics.run_log import server_log
from MetaCaptioner.runner.models import AskedModels
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import Stage, models_of


def launched(
    stages: Sequence[Stage[Any]],
    options: StageOptions,
    folder: Callable[[], Path],
    launch_of: Callable[[int, bool], Launch | None],
) -> Launch | None:
    """The ranks to start for stages, and the models that are served to them; `folder` tells where the results are.

    `launch_of` is told how many GPUs a rank claims and whether models are served, and makes the ranks; it makes none
    where this process is a rank already. From now on this process sees no GPU of a model that is served.

    Raises:
        BadArguments: the models cannot be had together, or nobody is there to serve one.
        UserError: an agent asks a model that there is not; there are not enough GPUs.
    """
    models = _asked(stages, options)
    if models is None:
        return launch_of(options.gpus_a_rank, False)
    wanted = _wanted(models, options, folder()) if models.served else []
    if wanted and launch_of(0, True) is None:
        raise BadArguments(
            f"models: {wanted[0].name}: serve: nobody is there to start the server, as a launcher (torchrun, srun, "
            "mpirun) makes the ranks: start metacaptioner once on each machine (of SLURM --ntasks-per-node=1, and no "
            "array); or start a server yourself, and say 'engine: openai' and 'endpoint'"
        )
    served, seen = placed(wanted, models.gpus_a_rank, os.environ)
    os.environ.update(seen)
    launch = launch_of(models.gpus_a_rank, bool(wanted))
    return launch and replace(launch, served=tuple(served))


def _asked(stages: Sequence[Stage[Any]], options: StageOptions) -> AskedModels | None:
    """The models that are asked; None where it can only be the default."""
    if not options.models and options.prompts_dir is None:
        return None
    return models_of(stages, options, options.prompts())


def _wanted(models: AskedModels, options: StageOptions, folder: Path) -> list[ServedModel]:
    logs = {model.name: str(server_log(folder, model.name).absolute()) for model in models.served}
    return [
        ServedModel(model.name, model.server(options.seed), logs[model.name], quiet=options.quiet)
        for model in models.served
    ]
