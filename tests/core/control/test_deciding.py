"""Where a calibration starts, from what the checkpoint says and what has changed since."""

import pytest
from attrs import define

from caf_core.calibration.algorithm import Algorithm, Outcome
from caf_core.calibration.calibration import Calibration
from caf_core.calibration.collected import write_index
from caf_core.calibration.execution import Doors, dotted
from caf_core.calibration.states import State
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.conditions.codecs import JsonCodec
from caf_core.control.backends import Backends
from caf_core.control.catalogue import Catalogue
from caf_core.control.context import Workshop
from caf_core.control.deciding import Override, decide
from caf_core.control.resolve import resolve
from caf_core.control.store.store import CheckpointStore, IterationEnd, StoredExecution
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.task import Resources
from caf_core.plugins import builtin
from caf_core.plugins.registry import Registry


@define(kw_only=True)
class Whole(AlgorithmStrategy):
    """Never asked for a plan."""

    step_size: int = 1

    def plan(self, runs, past):
        """Nothing."""


def collect(context):
    """Collects nothing."""


def fit(context):
    """Fits nothing."""
    return Outcome("ok")


class Bench:
    """A checkpoint with one calibration, and decisions about it."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.store = CheckpointStore(folder)
        self.store.enter("cal", 0, 5, [])
        self.said: list[str] = []
        self.registry = Registry({"builtin": builtin})
        self.shop = Workshop(
            folder,
            self.store,
            None,
            self.registry,
            Doors((dotted(JsonCodec),)),
            lambda point: None,
            self.said.append,
        )

    def resolved(self, **settings):
        params = settings.pop("params", {})
        cal = Calibration("cal", collect, [Algorithm(fit, "fit", params)], **settings)
        backend = ResidentBackend(1)
        return resolve(
            [cal],
            output_dir=self.folder,
            registry=self.registry,
            backends=Backends(self.registry, backend),
            defaults={"strategies": Whole, "backend": backend},
            requested=None,
            site=Resources(),
        )["cal"]

    def decide(self, override=None, **settings):
        one = self.resolved(**settings)
        start = decide(self.shop, Catalogue({"cal": one}), one, override)
        return start.state, start.iteration

    def reached(self, state, iteration=2, *, kept=(0, 1, 2), **values) -> None:
        """An earlier process came to a state, with the collector output of these iterations."""
        self.decide()
        checkpoint = values.pop("checkpoint", None)
        for number in range(iteration + 1):
            one = StoredExecution("0/0", "fit", "fp", (ExpRun(1, 1),), "", "ok", "", {}, self.folder, number)
            self.store.record_executions("cal", [one])
        for number in kept:
            write_index(self.resolved().index_path(number), [])
        if checkpoint is not None:
            self.store.place("cal", checkpoint, iteration, "")
        self.store.place("cal", state, iteration, "")
        if values:
            self.store.update("cal", **values)

    def executions(self) -> list[int]:
        return [number for number in range(5) if self.store.executions("cal", number)]


@pytest.fixture
def bench(tmp_path):
    found = Bench(tmp_path)
    yield found
    found.store.close()


def test_the_first_start(bench) -> None:
    assert bench.decide() == (State.INIT, 0)
    assert bench.said == []


@pytest.mark.parametrize(
    "state",
    [
        State.RUNNING_COLLECTOR,
        State.COLLECTOR_COMPLETED,
        State.RUNNING_ALGORITHMS,
        State.ALGORITHMS_COMPLETED,
    ],
)
def test_after_a_crash_it_goes_on_where_it_was(bench, state) -> None:
    bench.reached(state)
    assert bench.decide() == (state, 2)
    assert bench.said == [f"cal: it goes on from {state}, iteration 2"]
    assert bench.executions() == [0, 1, 2]


def test_what_has_completed_stays_completed(bench) -> None:
    bench.reached(State.COMPLETED)
    assert bench.decide() == (State.COMPLETED, 2)
    assert "nothing has changed" in bench.said[0]


@pytest.mark.parametrize("checkpoint", [State.INIT, State.COLLECTOR_COMPLETED])
def test_after_a_failure_it_goes_on_from_the_checkpoint(bench, checkpoint) -> None:
    bench.reached(State.FAILED, checkpoint=checkpoint)
    assert bench.decide() == (checkpoint, 2)
    assert f"it failed before: it goes on from {checkpoint}, iteration 2" in bench.said[0]


@pytest.mark.parametrize("state", [State.COMPLETED, State.RUNNING_ALGORITHMS, State.FAILED])
def test_changed_algorithms_start_on_the_output_of_iteration_0(bench, state) -> None:
    bench.reached(state)
    assert bench.decide(params={"cut": 3}) == (State.COLLECTOR_COMPLETED, 0)
    assert bench.executions() == [0]  # kept, as each is compared on its own
    assert not bench.resolved().iteration_dir(1).exists()
    assert bench.resolved().index_path(0).exists()


def test_a_changed_parameter_of_the_strategy_counts_too(bench) -> None:
    bench.reached(State.COMPLETED)
    assert bench.decide(params={"step_size": 3}) == (State.COLLECTOR_COMPLETED, 0)


def test_without_the_output_of_iteration_0_it_starts_again(bench) -> None:
    bench.reached(State.COMPLETED, kept=(2,))
    assert bench.decide(params={"cut": 3}) == (State.INIT, 0)
    assert "was not kept" in bench.said[0]


@pytest.mark.parametrize("settings", [{"ignored_runs": [(1, 1)]}, {"params": {}, "max_collector_jobs": None}])
def test_a_changed_collection_starts_again_at_iteration_0(bench, settings) -> None:
    bench.reached(State.COMPLETED)
    state = bench.decide(**settings)
    if "ignored_runs" in settings:
        assert state == (State.INIT, 0)
        assert "collectors, input or constants have changed" in bench.said[0]
        assert bench.executions() == []
    else:
        assert state == (State.COMPLETED, 2)


def test_changed_constants_start_again_too(bench, tmp_path) -> None:
    from caf_core.conditions.local import LocalDatabase
    from caf_core.conditions.payload import Payload
    from caf_core.conditions.provenance import Provenance
    from caf_core.iov import IoV

    database = tmp_path / "constants"
    for number, expected in [(1, State.INIT), (1, State.RUNNING_COLLECTOR), (2, State.INIT)]:
        LocalDatabase(database).write([(Payload("x", number, IoV.always()), Provenance())])
        state, _ = bench.decide(database_chain=[str(database)])
        assert state is expected
        bench.store.place("cal", State.RUNNING_COLLECTOR, 0, "")


def test_more_iterations_are_used_if_it_had_not_converged(bench) -> None:
    bench.reached(State.COMPLETED, convergence="max_iterations")
    bench.store.end_iteration("cal", 2, IterationEnd("iterate", "", (), {}, ()))
    assert bench.decide(max_iterations=2) == (State.COMPLETED, 2)
    assert bench.decide(max_iterations=3) == (State.COLLECTOR_COMPLETED, 2)


def test_constants_that_are_not_finite_ask_for_no_further_iteration(bench) -> None:
    bench.reached(State.COMPLETED, convergence="not_finite")
    bench.store.end_iteration("cal", 2, IterationEnd("ok", "", (), {}, ()))
    assert bench.decide() == (State.COMPLETED, 2)
    assert bench.decide(require_convergence=True) == (State.COLLECTOR_COMPLETED, 2)


def test_the_user_may_overrule(bench) -> None:
    bench.reached(State.COMPLETED)
    assert bench.decide(Override(State.INIT, 1)) == (State.INIT, 1)
    assert bench.executions() == [0]
    assert not bench.resolved().iteration_dir(2).exists()
    assert bench.said == ["cal: started from init, iteration 1, as you asked"]


def test_what_cannot_be_overruled_is_said(bench) -> None:
    bench.reached(State.COMPLETED, kept=(0, 1))
    with pytest.raises(ConfigurationError, match="cannot be started from running_collector; it can from: "):
        bench.decide(Override(State.RUNNING_COLLECTOR, 0))
    with pytest.raises(ConfigurationError, match=r"collector output .* is not there; start it from init"):
        bench.decide(Override(State.COLLECTOR_COMPLETED, 2))
