"""SingleIOV and SimpleRunByRun against the table of the design, with results drawn at random."""

from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.calibration.carry_out import carry_out
from caf_core.calibration.plans import Execute, Executed, Past, Result
from caf_core.iov import ExpRun, IoV
from caf_strategies import SimpleRunByRun, SingleIOV

LAST = 10
some_run = st.builds(ExpRun, st.integers(0, 2), st.integers(0, LAST))
tables = st.dictionaries(some_run, st.sampled_from(Result), min_size=1, max_size=14)


def wanted_result(results: set[Result]) -> Result:
    """Failure before all; without any success too few; one that iterates is enough."""
    if Result.FAILURE in results:
        return Result.FAILURE
    successes = results - {Result.NOT_ENOUGH_DATA}
    if not successes:
        return Result.NOT_ENOUGH_DATA
    return Result.ITERATE if Result.ITERATE in successes else Result.OK


@settings(deadline=None)
@given(tables, st.sampled_from(["stop", "keep_previous", "gap"]))
def test_simple_run_by_run(table: dict[ExpRun, Result], on_failure: str) -> None:
    runs = tuple(sorted(table))
    executed: list[Execute] = []

    def execute(request: Execute) -> Executed:
        executed.append(request)
        (run,) = request.runs
        return Executed(str(run), table[run], "words")

    done = carry_out(SimpleRunByRun(on_failure=on_failure).plan(runs, Past()), execute)
    good = [run for run in runs if table[run].success]
    assert [request.runs for request in executed] == [(run,) for run in runs]
    assert [commit.runs for commit in done.commits] == [(run,) for run in good]
    assert [commit.iov for commit in done.commits] == [IoV(*run, *run) for run in good]
    results = set(table.values())
    if on_failure != "stop" and good:
        results.discard(Result.FAILURE)
    assert done.verdict.result is wanted_result(results)
    assert bool(done.verdict.notes) is (
        on_failure != "stop" and bool(good) and Result.FAILURE in table.values()
    )

    universe = [ExpRun(exp, run) for exp in range(3) for run in range(LAST + 1)]
    ends = {exp: (min(mine), max(mine)) for exp in range(3) if (mine := [r for r in runs if r.exp == exp])}
    missing = {run for run in universe if run.exp in ends and ends[run.exp][0] <= run <= ends[run.exp][1]}
    listed = [run for gap in done.verdict.gaps for run in universe if run in gap.iov]
    assert sorted(listed) == sorted(missing - set(good))
    assert listed == sorted(listed)
    for gap in done.verdict.gaps:
        wanted = table.get(gap.iov.first)
        assert gap.failed is (wanted is Result.FAILURE)
        assert gap.reason == (f"{wanted.replace('_', ' ')}: words" if wanted else "no data")


@settings(deadline=None)
@given(
    st.lists(some_run, min_size=1, unique=True),
    st.sampled_from(Result),
    st.one_of(st.none(), st.builds(IoV, st.integers(0, 2), st.integers(0, 9))),
)
def test_single_iov(runs: list[ExpRun], result: Result, apply_iov: IoV | None) -> None:
    data = tuple(sorted(runs))
    executed: list[Execute] = []

    def execute(request: Execute) -> Executed:
        executed.append(request)
        return Executed("one", result)

    done = carry_out(SingleIOV(apply_iov=apply_iov).plan(data, Past()), execute)
    iov = apply_iov or IoV(*min(runs), *max(runs))
    assert executed == [Execute(data, iov)]
    assert [(commit.runs, commit.iov) for commit in done.commits] == ([(data, iov)] if result.success else [])
    assert done.verdict.result is result
    assert done.verdict.gaps == ()
