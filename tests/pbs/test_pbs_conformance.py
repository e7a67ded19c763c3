"""The backend passes the suite for batch backends: on fakes of three kinds of server."""

from datetime import timedelta

import pytest
from attrs import evolve

from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.task import Resources
from caf_pbs import PBS
from caf_pbs.backend import SPARE_TIME
from caf_pbs.meaning import megabytes, seconds
from caf_pbs.records import Format, read
from fakes.suite import OnFakeCluster


class PBSConformance(OnFakeCluster):
    """Subclasses say which server."""

    tested = PBS
    engine = "fakes.pbs:OpenPBS"
    bad_backend_args = {"queue": "nosuch"}  # noqa: RUF012 - a constant of the suite
    refusal = "(?s)Unknown queue.*workq, short"

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
            (lambda faults, one: faults.exhaust(one, whole=False), FailureKind.NODE_LOST),
        ],
    )
    def test_what_killed_a_task_is_told(self, make_bench, faulty, tmp_path, fault, kind):
        super().test_what_killed_a_task_is_told(make_bench, faulty, tmp_path, fault, kind)

    def test_a_task_cancelled_by_somebody_else_is_explained(self, make_backend, bench, tmp_path):
        with pytest.raises(AssertionError, match="ended from outside"):
            super().test_a_task_cancelled_by_somebody_else_is_explained(make_backend, bench, tmp_path)


@pytest.mark.slow
class TestTorque(PBSConformance):
    engine = "fakes.torque:Torque"

    def asked_for(self, backend, identity):
        record = read(self.cluster_in_use.run("qstat", "-x", identity), Format.XML)[
            identity.partition(".")[0]
        ]
        cpus = int(record["Resource_List.nodes"].partition("ppn=")[2])
        time = timedelta(seconds=seconds(record["Resource_List.walltime"]))
        return Resources(cpus, int(megabytes(record["Resource_List.mem"])), time)
