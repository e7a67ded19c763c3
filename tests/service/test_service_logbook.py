"""What a service says in its log about calibrations."""

import logging

import pytest

from caf_service.events import Killed
from caf_service.store.store import Store
from service.bench import Bench


@pytest.fixture
def said(bench: Bench, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "caf.service")
    return caplog


def lines(said: pytest.LogCaptureFixture, calibration: int) -> list[tuple[int, str]]:
    """What was said about a calibration, without its number."""
    begin = f"calibration {calibration} ", f"calibration {calibration}: "
    return [
        (level, text.removeprefix(begin[0]).removeprefix(begin[1]))
        for name, level, text in said.record_tuples
        if name == "caf.service" and text.startswith(begin)
    ]


def test_a_calibration_is_told_from_its_beginning_to_its_end(
    bench: Bench, said: pytest.LogCaptureFixture
) -> None:
    calibration = bench.create(workers=3, quorum=0.6, start={"stage": 1})
    told = bench.finish(calibration, bench.workers(calibration))
    assert told["state"] == "finished"
    found = lines(said, calibration)
    assert found[0][1].startswith("of ada begins: plan toy, version ")
    assert found[0][1].endswith("3 workers, of which 2 are needed")
    phase = f"{told['steps'][0]['stage']}.{told['steps'][0]['phase']}"
    assert found[1][1] == f"step 1 begins, step 0 of phase {phase}"
    assert found[2][1] == "step 1 is updated; results: 2, missing: worker 2"
    ended = [text for _, text in found if text.startswith("step 1 has ended, ")]
    assert len(ended) == 1
    assert found[-1][1].startswith(f"has finished in step {told['serial']}")
    assert {level for level, _ in found} == {logging.INFO}
    begun = [text for _, text in found if "begins, step" in text]
    assert len(begun) == len(told["steps"])


def test_deaths_and_resubmissions_are_told(bench: Bench, said: pytest.LogCaptureFixture) -> None:
    calibration = bench.create(workers=2)
    bench.desk.died(calibration, {0: "it is\ngone\x1b[2J"})
    bench.desk.died(calibration, {0: "again"})
    bench.desk.resubmitted(calibration, [0])
    bench.desk.died(calibration, {1: "its time was over"}, excused=[1])
    bench.desk.died(calibration, {0: "no memory"})
    found = lines(said, calibration)[2:]
    assert found == [
        (logging.WARNING, "worker 0 ended in step 1; failures so far: 1: it is gone [2J"),
        (logging.INFO, "to be submitted again: worker 0"),
        (logging.INFO, "submitted again: worker 0"),
        (logging.INFO, "worker 1 ended in step 1; failures so far: 1: its time was over"),
        (logging.INFO, "to be submitted again: worker 1"),
        (logging.WARNING, "worker 0 ended in step 1; failures so far: 2: no memory"),
        (
            logging.WARNING,
            "has failed in step 1: 2 workers have failed, as many as there are; the last one, worker 0: "
            "no memory",
        ),
    ]


def test_what_is_killed_and_cleaned_is_told(bench: Bench, said: pytest.LogCaptureFixture) -> None:
    calibration = bench.create()
    bench.ada.post(f"/calibrations/{calibration}/kill")
    bench.ada.post(f"/calibrations/{calibration}/clean")
    assert lines(said, calibration)[2:] == [
        (logging.INFO, "was ended in step 1: killed by ada"),
        (logging.INFO, "is cleaned"),
    ]


def test_nothing_is_told_that_is_not_written_down(bench: Bench, said: pytest.LogCaptureFixture) -> None:
    calibration = bench.create()
    known = lines(said, calibration)

    def broken(store: Store) -> None:
        bench.service.conductor.handle(store, calibration, Killed("eve"))
        raise RuntimeError("in the end")

    with pytest.raises(RuntimeError, match="in the end"):
        bench.service.thread.do(broken)
    assert lines(said, calibration) == known
