"""Where the servers are that the launch of this machine has started for models, as it tells its ranks.

Addresses and their one key are in the environment alone: no process list, record or log has the key.
"""

from collections.abc import Mapping

import msgspec

from MetaCaptioner.utils.json_text import read_as, to_json

KEY_VARIABLE = "_METACAPTIONER_SERVED_KEY"
_SERVED = "_METACAPTIONER_SERVED"


class Served(msgspec.Struct, frozen=True):
    """The server of one model, and on how many GPUs of its own it is."""

    address: str
    gpus: int


def tell_ranks(served: Mapping[str, Served], key: str) -> dict[str, str]:
    """Variables for ranks, of the servers by the names of their models."""
    return {_SERVED: to_json(msgspec.to_builtins(served)).decode(), KEY_VARIABLE: key}


def served_here(environment: Mapping[str, str]) -> dict[str, Served]:
    """The servers by the names of their models; none where no launch of ours has started this process with any."""
    told = environment.get(_SERVED)
    return read_as(told.encode(), dict[str, Served]) if told else {}
