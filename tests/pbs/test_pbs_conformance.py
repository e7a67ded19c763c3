"""The backend passes the suite for batch backends: on fakes of three kinds of server."""

from datetime import timedelta

import pytest
from attrs import evolve

from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.task import Resources
from caf_core.testing import BatchConformance
from caf_pbs import PBS
from caf_pbs.backend import SPARE_TIME
from caf_pbs.meaning import megabytes, seconds
from caf_pbs.records import Format, read
from fakes.cluster import Cluster


class PBSConformance(BatchConformance):
    """Subclasses say which server."""

    dialect = "fakes.pbs:OpenPBS"
    settings = {}  # noqa: RUF012 - a constant
    bad_backend_args = {"queue": "nosuch"}  # noqa: RUF012 - a constant of the suite
    refusal = "(?s)Unknown queue.*workq, short"

    @pytest.fixture
    def cluster(self, tmp_path):
        with Cluster(self.dialect, tmp_path / "cluster", **self.settings) as cluster:
            yield cluster

    @pytest.fixture
    def faults(self, cluster):
        return cluster.faults

    @pytest.fixture
    def make_backend(self, cluster):
        def make(**backend_args):
            quick = {"path_prefix": cluster.path_prefix, "poll_interval": 0.5, "grace": 3.0}
            return PBS(backend_args={**quick, **backend_args})

        return make

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster):
        self.cluster_in_use = cluster


class TestOpenPBSWithHistory(PBSConformance):
    settings = {"job_history": True}  # noqa: RUF012 - a constant

    def asked_for(self, backend, identity):
        printed = self.cluster_in_use.run("qstat", "-f", "-F", "json", identity)
        record = read(printed, Format.JSON)[identity.partition(".")[0]]
        chunk = dict(part.split("=") for part in record["Resource_List.select"].split(":")[1:])
        time = timedelta(seconds=seconds(record["Resource_List.walltime"]))
        return Resources(int(chunk["ncpus"]), int(megabytes(chunk["mem"])), time)


@pytest.mark.slow
class TestOpenPBSWithoutHistory(PBSConformance):
    """What such a server forgets at once, it cannot explain: only the task's own word is left."""

    settings = {"job_history": False}  # noqa: RUF012 - a constant

    def asked_for(self, backend, identity):
        told = TestOpenPBSWithHistory.asked_for(self, backend, identity)
        return evolve(told, walltime=told.walltime - SPARE_TIME)

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (lambda faults, one: faults.crash(one), FailureKind.NODE_LOST),
            (lambda faults, one: faults.exhaust(one), FailureKind.NODE_LOST),
            (lambda faults, one: faults.exhaust(one, whole=False), FailureKind.EXIT_CODE),
        ],
    )
    def test_what_killed_a_task_is_told(self, make_bench, faulty, tmp_path, fault, kind):
        super().test_what_killed_a_task_is_told(make_bench, faulty, tmp_path, fault, kind)

    def test_a_task_cancelled_by_somebody_else_is_explained(self, make_backend, bench, tmp_path):
        with pytest.raises(AssertionError, match="ended from outside"):
            super().test_a_task_cancelled_by_somebody_else_is_explained(make_backend, bench, tmp_path)


@pytest.mark.slow
class TestTorque(PBSConformance):
    dialect = "fakes.torque:Torque"

    def asked_for(self, backend, identity):
        record = read(self.cluster_in_use.run("qstat", "-x", identity), Format.XML)[
            identity.partition(".")[0]
        ]
        cpus = int(record["Resource_List.nodes"].partition("ppn=")[2])
        time = timedelta(seconds=seconds(record["Resource_List.walltime"]))
        return Resources(cpus, int(megabytes(record["Resource_List.mem"])), time)
