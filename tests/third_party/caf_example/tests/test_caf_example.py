"""What a plugin author's own test file looks like."""

import pytest
from caf_example.backend import ExampleBackend
from caf_example.runner import PairsRunner
from caf_example.splitter import DealingSplitter
from caf_example.strategy import EveryFewRuns

from caf_core.testing import BackendConformance, RunnerConformance, SplitterConformance, StrategyConformance


class TestStrategy(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return EveryFewRuns()


class TestSplitter(SplitterConformance):
    @pytest.fixture
    def splitter(self):
        return DealingSplitter()


class TestRunner(RunnerConformance):
    @pytest.fixture
    def make_runner(self):
        return PairsRunner


class TestBackend(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path):
        return lambda: ExampleBackend(tmp_path / "spool")
