"""How many ranks are started on this machine, and whether any are: a launcher may have made them already."""

from collections.abc import Mapping
from typing import ClassVar

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.launch.local import Launch
from MetaCaptioner.runtime.gpus import visible_gpus
from MetaCaptioner.runtime.rank import is_of_array, who_am_i
from MetaCaptioner.utils.options import Flag, Options, option


class RanksOption(Options):
    """The ranks of this machine."""

    heading: ClassVar[str] = "ranks of this machine"

    ranks: int | None = option(
        None,
        "ranks of this machine; or NPROC=… (default: its GPUs / --tensor-parallel-size; 1 without, or with servers)",
        Flag("N", environment="NPROC"),
        ge=1,
    )

    def here(self, gpus_a_rank: int, environment: Mapping[str, str]) -> int | None:
        """How many ranks to start; None where a launcher (srun, torchrun, mpirun) has made this process one of several.

        Where a rank claims no GPU, one is enough unless more are asked for. One task of SLURM alone, such as an
        interactive shell of srun, makes those of its node.

        Raises:
            BadArguments: a launcher has, and it was said how many are to be started.
            UserError: the GPUs of this machine cannot be told, or a launcher's variables cannot be understood.
        """
        me = who_am_i(dict(environment))
        if me.launcher != "alone" and not (me.launcher == "slurm" and me.world_size == 1):
            if any(self.is_typed(name) for name in ("ranks", "nodes", "node")):
                raise BadArguments(f"--ranks, --nodes and --node are of no use here: {me} was started by its launcher")
            return None
        return self.ranks or _by_gpus(gpus_a_rank, environment)


def _by_gpus(gpus_a_rank: int, environment: Mapping[str, str]) -> int:
    """As many ranks as the GPUs are enough for; one where none claims any."""
    return max(len(visible_gpus(environment)) // gpus_a_rank, 1) if gpus_a_rank else 1


class LaunchOptions(RanksOption):
    """The ranks of this machine, and of how many machines it is one."""

    nodes: int = option(
        1,
        "machines on which this is started, each by itself; or NNODES=… (default: 1)",
        Flag("N", environment="NNODES"),
        ge=1,
    )
    node: int | None = option(
        None,
        "with --nodes: which of them this is, from 0; or NODE_RANK=…",
        Flag("N", environment="NODE_RANK"),
        ge=0,
    )

    def _of_node(self, gpus_a_rank: int, environment: Mapping[str, str]) -> Launch | None:
        """The ranks of a node that are made by a task of SLURM which is alone there; None where it is another's rank.

        The jobs of an array number their ranks among all of them, and are not told apart here.
        """
        me = who_am_i(dict(environment))
        if me.launcher != "slurm" or me.ranks_on_node != 1 or is_of_array(environment):
            return None
        return Launch(_by_gpus(gpus_a_rank, environment), me.world_size, me.rank)

    def launch(self, gpus_a_rank: int, environment: Mapping[str, str], serves: bool = False) -> Launch | None:
        """The ranks to start, as `here`; where the launch also `serves` models, those of a node by its only task.

        Raises:
            BadArguments: it was not said which machine this is, or which cannot be.
            UserError: as `here`.
        """
        ranks = self.here(gpus_a_rank, environment)
        if ranks is None:
            return self._of_node(gpus_a_rank, environment) if serves else None
        is_a_job = who_am_i(dict(environment)).launcher == "slurm"
        if is_a_job or (self.nodes == 1 and not self.is_typed("node")):
            return Launch(ranks)
        if self.node is None:
            raise BadArguments("--nodes goes with --node (or NODE_RANK=…): which of them this machine is, from 0")
        if self.node >= self.nodes:
            raise BadArguments(f"--node {self.node}: the nodes are numbered from 0 to {self.nodes - 1}")
        return Launch(ranks, self.nodes, self.node)
