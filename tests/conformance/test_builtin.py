"""What the core brings passes the suites that plugin authors use."""

import pytest
from caf_core.calibration.runner import ParallelRunner, SequentialRunner
from caf_core.testing import RunnerConformance


class TestSequentialRunner(RunnerConformance):
    @pytest.fixture
    def make_runner(self):
        return SequentialRunner


class TestParallelRunner(RunnerConformance):
    @pytest.fixture
    def make_runner(self):
        return ParallelRunner
