"""The batch template, on a scheduler of a hundred lines, passes the suite that plugin authors use."""

import pytest

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
        def make(**backend_args):
            quick = {"path_prefix": cluster.path_prefix, "poll_interval": 0.5, "grace": 3.0}
            return TinyBackend(backend_args={**quick, **backend_args})

        return make
