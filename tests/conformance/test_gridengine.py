"""The example of a backend for another scheduler passes the suite on a fake Grid Engine."""

from datetime import timedelta

import pytest
from grid_engine import GridEngine

from caf_core.jobs.task import Resources
from caf_core.testing import BatchConformance
from fakes.cluster import Cluster


class TestGridEngine(BatchConformance):
    bad_backend_args = {"queue": "nosuch"}  # noqa: RUF012 - a constant of the suite
    refusal = 'unknown queue "nosuch"'

    @pytest.fixture
    def cluster(self, tmp_path):
        with Cluster("fakes.gridengine:GridEngine", tmp_path / "cluster") as cluster:
            yield cluster

    @pytest.fixture
    def faults(self, cluster):
        return cluster.faults

    @pytest.fixture
    def make_backend(self, cluster):
        self.cluster = cluster

        def make(**backend_args):
            quick = {"path_prefix": cluster.path_prefix, "poll_interval": 0.5, "grace": 3.0}
            return GridEngine(backend_args={**quick, "command_timeout": 30.0, **backend_args})

        return make

    def asked_for(self, backend, identity):
        spec = self.cluster.job(identity).spec
        memory = spec["limits"]["h_vmem"].removesuffix("M")
        return Resources(spec["slots"], int(memory), timedelta(seconds=spec["walltime"]))
