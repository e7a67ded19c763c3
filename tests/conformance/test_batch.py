"""The batch template, on a scheduler of a hundred lines, passes the suite that plugin authors use."""

from datetime import timedelta

import pytest

from caf_core.jobs.task import Resources
from caf_core.testing import BatchConformance
from fakes.cluster import Cluster
from fakes.tiny_backend import TinyBackend


class TestTiny(BatchConformance):
    bad_backend_args = {"queue": "nosuch"}  # noqa: RUF012 - a constant of the suite
    refusal = "no queue nosuch"

    @pytest.fixture
    def cluster(self, tmp_path):
        with Cluster("fakes.tiny:Tiny", tmp_path / "cluster") as cluster:
            yield cluster

    @pytest.fixture
    def faults(self, cluster):
        return cluster.faults

    @pytest.fixture
    def make_backend(self, cluster):
        self.cluster = cluster

        def make(**backend_args):
            quick = {"path_prefix": cluster.path_prefix, "poll_interval": 0.5, "grace": 3.0}
            return TinyBackend(backend_args={**quick, **backend_args})

        return make

    def asked_for(self, backend, identity):
        spec = self.cluster.job(identity).spec
        walltime = timedelta(seconds=spec["walltime"] - 30)  # TinyBackend leaves the node time to end a task
        return Resources(memory_mb=int(spec["memory"]), walltime=walltime, disk_mb=None)
