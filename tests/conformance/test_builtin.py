"""What the core brings passes the suites that plugin authors use."""

import pytest

from caf_core.calibration.runner import ParallelRunner, SequentialRunner
from caf_core.jobs.arguments import ArgumentsGenerator, range_arguments
from caf_core.jobs.splitters import ArgumentsSplitter, MaxFilesSplitter, MaxSubjobsSplitter
from caf_core.testing import RunnerConformance, SplitterConformance


class TestSequentialRunner(RunnerConformance):
    @pytest.fixture
    def make_runner(self):
        return SequentialRunner


class TestParallelRunner(RunnerConformance):
    @pytest.fixture
    def make_runner(self):
        return ParallelRunner


class TestMaxFilesSplitter(SplitterConformance):
    @pytest.fixture(params=[1, 3])
    def splitter(self, request):
        return MaxFilesSplitter(request.param)


class TestMaxSubjobsSplitter(SplitterConformance):
    @pytest.fixture(params=[1, 7])
    def splitter(self, request):
        return MaxSubjobsSplitter(request.param)


class TestArgumentsSplitter(SplitterConformance):
    shares_files = True

    @pytest.fixture
    def splitter(self):
        return ArgumentsSplitter(arguments_generator=ArgumentsGenerator(range_arguments, 3, 9))
