from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, missing_programs, running_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed ({', '.join(missing)} missing): see script/system_packages.txt")
    with running_cluster() as running:
        yield running
