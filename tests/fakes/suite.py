"""The conformance suite for backends of batch systems, on a fake scheduler."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from caf_core.testing import BatchConformance
from fakes.cluster import Cluster


class OnFakeCluster(BatchConformance):
    """A subclass names the fake and the tested backend, and says what was asked for."""

    engine: ClassVar[str]
    """The fake scheduler, as ``module:Class``."""
    tested: ClassVar[type]
    settings: ClassVar[Mapping[str, Any]] = {}
    """What the fake scheduler is made with."""
    quick: ClassVar[Mapping[str, Any]] = {"poll_interval": 0.5, "grace": 3.0}
    """What the backend is made with, beside the folder of the commands."""

    @pytest.fixture
    def cluster(self, tmp_path):
        with Cluster(self.engine, tmp_path / "cluster", **self.settings) as cluster:
            yield cluster

    @pytest.fixture
    def faults(self, cluster):
        return cluster.faults

    @pytest.fixture
    def make_backend(self, cluster):
        self.cluster = cluster
        usual = {"path_prefix": cluster.path_prefix, **self.quick}
        return lambda **backend_args: self.tested(backend_args={**usual, **backend_args})
