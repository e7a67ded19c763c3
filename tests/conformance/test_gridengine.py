"""The example of a backend for another scheduler passes the suite on a fake Grid Engine."""

from datetime import timedelta
from typing import ClassVar

from grid_engine import GridEngine

from caf_core.jobs.task import Resources
from fakes.suite import OnFakeCluster


class TestGridEngine(OnFakeCluster):
    engine = "fakes.gridengine:GridEngine"
    tested = GridEngine
    quick: ClassVar = {**OnFakeCluster.quick, "command_timeout": 30.0}
    bad_backend_args = {"queue": "nosuch"}  # noqa: RUF012 - a constant of the suite
    refusal = 'unknown queue "nosuch"'

    def asked_for(self, backend, identity):
        spec = self.cluster.job(identity).spec
        memory = spec["limits"]["h_vmem"].removesuffix("M")
        return Resources(spec["slots"], int(memory), timedelta(seconds=spec["walltime"]))
