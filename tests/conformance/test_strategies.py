"""The strategies of caf-strategies pass the suite that plugin authors use."""

import pytest

from caf_core.plugins.registry import Registry
from caf_core.testing import StrategyConformance


@pytest.fixture(scope="module")
def registry():
    return Registry.load()


class TestSingleIOV(StrategyConformance):
    @pytest.fixture
    def strategy(self, registry):
        return registry.strategy("SingleIOV")()


class TestSequentialRunByRun(StrategyConformance):
    @pytest.fixture(params=[1, 3])
    def strategy(self, registry, request):
        return registry.strategy("SequentialRunByRun")(step_size=request.param)


class TestSimpleRunByRun(StrategyConformance):
    @pytest.fixture
    def strategy(self, registry):
        return registry.strategy("SimpleRunByRun")()


class TestSequentialBoundaries(StrategyConformance):
    @pytest.fixture(params=[None, [(0, 3), (1, 0), (2, 7)]])
    def strategy(self, registry, request):
        parameters = {} if request.param is None else {"payload_boundaries": request.param}
        return registry.strategy("SequentialBoundaries")(**parameters)
