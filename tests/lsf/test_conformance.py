"""LSF holds the contract of batch backends, in every version of it."""

import re
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from caf_core.jobs.task import Resources
from caf_lsf import LSF
from caf_lsf.site import UNITS
from fakes import lsf
from fakes.cluster import Cluster
from fakes.store import Store
from fakes.suite import OnFakeCluster


class Conformance(OnFakeCluster):
    tested = LSF
    version = ""
    unit = ""
    limit = ""
    reserve = "MB"
    bad_backend_args = MappingProxyType({"queue": "nosuch"})
    refusal = r"nosuch: No such queue.*normal, short"

    @pytest.fixture
    def cluster(self, tmp_path):
        (tmp_path / "cluster" / "etc").mkdir(parents=True)
        conf = f"LSF_UNIT_FOR_LIMITS={self.unit}\n" if self.unit else "LSB_MBD_PORT=6324\n"
        (tmp_path / "cluster" / "etc" / "lsf.conf").write_text(conf)
        settings = {"kill_wait": 0.5, "unit": self.unit}
        with Cluster(f"fakes.lsf:{self.version}", tmp_path / "cluster", **settings) as cluster:
            yield cluster

    def asked_for(self, backend, identity):
        options = backend_options(backend, identity)
        reserved = re.search(r"mem=(\d+):tmp=(\d+)", options["-R"])
        if self.limit:
            assert float(options["-M"]) * UNITS[self.limit] / 1024 == 100
        else:
            assert "-M" not in options
        hours, _, minutes = options["-W"].rpartition(":")
        return Resources(
            int(options.get("-n", 1)),
            int(float(reserved[1]) * UNITS[self.reserve] / 1024),
            timedelta(hours=int(hours or 0), minutes=int(minutes)),
            int(reserved[2]),
        )


def backend_options(backend, identity):
    """What the fake bsub was given for a job."""
    store = Store(Path(backend.backend_args["path_prefix"]).parent / "state")
    (job,) = (job for job in store.every() if lsf.Family(store).identity(job) == identity)
    return job.spec["options"]


class TestVolclava(Conformance):
    version = "Volclava"


class TestIBM(Conformance):
    version, unit, limit = "IBM", "MB", "MB"


@pytest.mark.slow
class TestOpenLava(Conformance):
    version, limit = "OpenLava", "KB"


@pytest.mark.slow
class TestIBM91(Conformance):
    version, limit = "IBM91", "KB"
