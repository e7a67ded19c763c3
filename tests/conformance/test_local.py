"""Local passes the suite that plugin authors use."""

import pytest

from caf_core.jobs.residence import Residence
from caf_core.plugins.registry import Registry
from caf_core.testing import BackendConformance


class TestLocal(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path):
        made = []

        def make():
            local = Registry.load().backend("local")(max_processes=5)
            local.residence = Residence(tmp_path / "resident")
            made.append(local)
            return local

        return make
