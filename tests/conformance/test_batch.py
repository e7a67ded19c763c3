"""The batch template, on a scheduler of a hundred lines, passes the suite that plugin authors use."""

from datetime import timedelta

from caf_core.jobs.task import Resources
from fakes.suite import OnFakeCluster
from fakes.tiny_backend import TinyBackend


class TestTiny(OnFakeCluster):
    engine = "fakes.tiny:Tiny"
    tested = TinyBackend
    bad_backend_args = {"queue": "nosuch"}  # noqa: RUF012 - a constant of the suite
    refusal = "no queue nosuch"

    def asked_for(self, backend, identity):
        spec = self.cluster.job(identity).spec
        walltime = timedelta(seconds=spec["walltime"] - 30)  # TinyBackend leaves the node time to end a task
        return Resources(memory_mb=int(spec["memory"]), walltime=walltime, disk_mb=None)
