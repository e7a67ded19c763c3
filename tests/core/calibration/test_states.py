"""The table of states and its drawings."""

import pytest

from caf_core.calibration.states import CHECKPOINTS, END_STATES, TRANSITIONS, Machine, State
from caf_core.errors import CheckpointError

MACHINE = Machine()


def test_every_state_is_in_the_table() -> None:
    assert set(MACHINE.states) == set(State)
    assert MACHINE.states[0] is State.INIT


def test_a_trigger_leads_to_one_state() -> None:
    pairs = [(row.source, row.trigger) for row in TRANSITIONS]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row.source}-{row.trigger}")
def test_the_machine_follows_the_table(row) -> None:
    assert MACHINE.target(row.source, row.trigger) is row.target
    assert row.trigger in MACHINE.triggers(row.source)


def test_an_end_state_is_left_by_refusal_only_and_each_is_reached() -> None:
    assert MACHINE.triggers(State.FAILED) == ()
    assert MACHINE.triggers(State.COMPLETED) == ("refuse",)
    for state in END_STATES:
        assert any(row.target is state for row in TRANSITIONS)
    for state in set(State) - END_STATES:
        assert MACHINE.triggers(state)


def test_what_the_table_does_not_have_is_refused_with_what_it_has() -> None:
    with pytest.raises(
        CheckpointError, match="in state init cannot finish; in that state it can: submit_coll"
    ):
        MACHINE.target(State.INIT, "finish")
    with pytest.raises(CheckpointError, match="it can: nothing"):
        MACHINE.target(State.FAILED, "iterate")


def test_checkpoints_are_states_that_are_left_without_loss() -> None:
    assert set(CHECKPOINTS) == {State.INIT, State.COLLECTOR_COMPLETED, State.COMPLETED}


def test_the_drawings_show_every_transition_and_where_calibrations_are() -> None:
    mermaid, dot = MACHINE.mermaid({"cdc": State.FAILED}), MACHINE.dot({"cdc": State.FAILED})
    for row in TRANSITIONS:
        assert f"    {row.source} --> {row.target}: {row.trigger}\n" in mermaid
        assert f'    {row.source} -> {row.target} [label="{row.trigger}"];\n' in dot
    assert "note right of failed: cdc" in mermaid
    assert [line for line in dot.splitlines() if "filled" in line] == [
        '    failed [label="failed", peripheries=2, style="rounded,filled"];'
    ]
