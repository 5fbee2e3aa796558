"""On which GPUs models are served, and what is left for ranks."""

import pytest

from MetaCaptioner.engine.options import ServedOptions
from MetaCaptioner.errors import UserError
from MetaCaptioner.launch.served import ServedModel, placed
from MetaCaptioner.runtime.served import Served, served_here, tell_ranks


def wanted(**gpus: int) -> list[ServedModel]:
    return [ServedModel(name, ServedOptions(name, gpus=count), "log") for name, count in gpus.items()]


def test_models_are_on_the_last_gpus_and_ranks_see_the_others() -> None:
    found, seen = placed(wanted(judge=1, look=2), 1, {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4"})
    assert [(one.name, one.gpus, one.server.gpus) for one in found] == [("judge", ("4",), 1), ("look", ("2", "3"), 2)]
    assert seen == {"CUDA_VISIBLE_DEVICES": "0,1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_without_gpus_it_is_the_cpu_and_nothing_is_hidden() -> None:
    [one], seen = placed(wanted(judge=2), 1, {"CUDA_VISIBLE_DEVICES": ""})
    assert (one.gpus, one.server.gpus, one.place, seen) == ((), 0, "the CPU", {})


def test_all_gpus_may_be_those_of_servers_where_ranks_claim_none() -> None:
    _, seen = placed(wanted(judge=2), 0, {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    with pytest.raises(UserError, match="models: judge: serve: needs 2 GPUs of its own, and of the 2 here 2 are left"):
        placed(wanted(judge=2), 1, {"CUDA_VISIBLE_DEVICES": "0,1"})
    with pytest.raises(UserError, match="models: look: serve: needs 2 GPUs"):
        placed(wanted(judge=1, look=2), 0, {"CUDA_VISIBLE_DEVICES": "0,1"})


def test_a_launch_that_serves_nothing_says_nothing() -> None:
    assert placed([], 1, {}) == ([], {})
    assert served_here({}) == {}
    told = {"look": Served("http://127.0.0.1:1/v1", 2)}
    assert served_here(tell_ranks(told, "key")) == told
