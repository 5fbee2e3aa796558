"""vLLM's own API server with one model, with the arguments that the engine in process has.

    python -m MetaCaptioner.engine.vllm_server SERVER

SERVER is a `ServedOptions` as JSON. The key is in the environment (VLLM_API_KEY). Whoever has started it is waited for:
it and its processes end with that one.
"""

import os
import signal
import sys
from dataclasses import fields
from typing import Any

from MetaCaptioner.engine.model_place import check_model
from MetaCaptioner.engine.options import ServedOptions
from MetaCaptioner.engine.vllm_arguments import (
    SERVER_ARGUMENTS,
    chosen_for_speed,
    environment,
    gpu_capability,
    model_config,
    necessary,
    tokenizer_arguments,
)
from MetaCaptioner.errors import UserError
from MetaCaptioner.runtime import signals
from MetaCaptioner.utils.json_text import read_as, to_json

# The engine's processes are spawned, and so import this module before they do anything else.
signals.begin_helper()


def server_arguments(options: ServedOptions) -> Any:
    """All arguments of vLLM's API server.

    Raises:
        UserError: there is no such model, or no such engine argument.
    """
    check_model(options.model, options.extra)
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    known = {field.name for field in fields(AsyncEngineArgs)}
    if unknown := sorted(options.extra.keys() - known):
        raise UserError(f"engine_arg {unknown[0]}: vLLM has no such engine argument")
    on_gpu, engine = options.gpus > 0, options.engine_options()
    config = model_config(engine)
    chosen = chosen_for_speed(config, engine, gpu_capability()) if on_gpu else {}
    given = {**necessary(config, engine, on_gpu), **tokenizer_arguments(engine), **chosen, **options.extra}
    where = ["--host=127.0.0.1", f"--port={options.port}", f"--served-model-name={options.model}"]
    # Of JSON the parser makes the configurations that the server wants; all else is as an engine in process has it.
    typed = {name: value for name, value in given.items() if isinstance(value, dict)}
    words = [f"--{name.replace('_', '-')}={to_json(value).decode()}" for name, value in typed.items()]
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args([*where, *SERVER_ARGUMENTS, *words])
    for name in given.keys() - typed.keys():
        setattr(arguments, name, given[name])
    return arguments


def main() -> int:
    """Serve until a signal to stop; 1 where that cannot be done, for a reason that is printed."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # which a scheduler sends to all processes of a job
    options = read_as(sys.argv[1].encode(), ServedOptions)
    for name, value in environment(options.gpus > 0).items():
        os.environ.setdefault(name, value)
    try:
        arguments = server_arguments(options)
    except (UserError, OSError, ValueError) as error:
        sys.stderr.write(f"ModelError: {' '.join(str(error).split())}\n")
        return 1
    import uvloop
    from vllm.entrypoints.launchers.api_server.entry import run_server

    uvloop.run(run_server(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
