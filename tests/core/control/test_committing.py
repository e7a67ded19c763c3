"""What is committed: no overlaps, the metrics of every run."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.convergence import Metric
from caf_core.calibration.plans import Commit, Result, Verdict
from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.control import collecting
from caf_core.control.accounting import iteration_metrics
from caf_core.control.committing import _refuse_overlaps, tell_notes
from caf_core.control.store.store import StoredExecution
from caf_core.errors import AlgorithmError
from caf_core.iov import ExpRun, IoV

STEP = SimpleNamespace(one=SimpleNamespace(name="cal"), iteration=0)
RUNS = st.builds(ExpRun, st.integers(0, 2), st.integers(0, 4))
IOVS = st.builds(
    lambda a, b, end: IoV(*min(a, b), *(max(a, b) if end else (-1, -1))), RUNS, RUNS, st.booleans()
)


def items(iovs, name="x") -> list[StoredPayload]:
    return [StoredPayload(Entry(name, "0" * 12, iov), "json", b"1") for iov in iovs]


@given(st.lists(IOVS, max_size=5))
def test_payloads_of_one_name_never_overlap(iovs) -> None:
    runs = [ExpRun(exp, run) for exp in range(4) for run in range(6)]
    overlap = any(sum(iov.contains(run) for iov in iovs) > 1 for run in runs)
    if overlap:
        with pytest.raises(AlgorithmError, match="two payloads called 'x' would both be valid"):
            _refuse_overlaps(items(iovs), STEP)
    else:
        _refuse_overlaps(items(iovs), STEP)


def test_payloads_of_other_names_may_overlap() -> None:
    both = [*items([IoV(1, 1, -1, -1)]), *items([IoV(1, 1, -1, -1)], "y")]
    _refuse_overlaps(both, STEP)
    with pytest.raises(AlgorithmError):  # the same intervals under one name
        _refuse_overlaps([*both, *both], STEP)


def test_metrics_belong_to_every_run_of_what_was_committed() -> None:
    answer = {"metrics": {"shift": [1.0, 2.0]}}
    execution = StoredExecution("0/1", "fit", "fp", (), "", "ok", "", answer, Path("/x"))
    commits = {0: (Commit("0/1", (ExpRun(1, 1), ExpRun(1, 2)), IoV(1, 1, 1, 2), "enough data"),), 1: ()}
    assert iteration_metrics({"0/1": execution, "0/0": execution}, commits) == {
        (0, "shift", ExpRun(1, 1)): Metric(1.0, 2.0),
        (0, "shift", ExpRun(1, 2)): Metric(1.0, 2.0),
    }


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 100), st.integers(0, 30))
def test_tasks_that_are_used_again_count_as_successes(todo, reused, percent, succeeded) -> None:
    succeeded = min(succeeded, todo)
    layout = [None] * todo + [["directory", [], "fp"]] * reused
    wanted = percent / 100
    enough = succeeded / todo >= collecting._min_fraction(wanted, layout) - 1e-8
    assert enough is ((succeeded + reused) / (todo + reused) >= wanted - 1e-8)


def test_without_tasks_that_are_used_again_the_fraction_is_the_users() -> None:
    assert collecting._min_fraction(0.7, None) == 0.7
    assert collecting._min_fraction(0.7, [None, None]) == 0.7


def test_notes_of_strategies_are_told_once_and_not_by_the_hundred() -> None:
    parts = [SimpleNamespace(name="fit"), SimpleNamespace(name="check")]
    many = tuple(f"note {number}" for number in range(25))
    verdicts = (Verdict(Result.OK, notes=many), Verdict(Result.OK, notes=("note 0",)))
    step = SimpleNamespace(one=SimpleNamespace(name="cal", algorithms=parts), verdicts=verdicts)
    told, said = set(), []
    tell_notes(step, told, said.append)
    assert said[0] == "cal: algorithm 'fit': note 0"
    assert len(said) == 12
    assert said[10].startswith("cal: algorithm 'fit': 15 more like this")
    assert said[11] == "cal: algorithm 'check': note 0"
    tell_notes(step, told, said.append)
    assert len(said) == 12
