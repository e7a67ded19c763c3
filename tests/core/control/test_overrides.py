"""A start that nobody can begin from is refused before anything is executed."""

from pathlib import Path

import pytest

from caf_core.calibration.states import State
from caf_core.control.deciding import check_override
from caf_core.control.options import Override
from caf_core.control.store.store import CheckpointStore
from caf_core.errors import ConfigurationError


@pytest.fixture
def store(tmp_path: Path):
    opened = CheckpointStore(tmp_path)
    for position, (name, iteration) in enumerate([("a", 2), ("b", 0)]):
        opened.enter(name, position, 5, [])
        opened.place(name, State.COMPLETED, iteration, "")
    yield opened
    opened.close()


def test_an_iteration_to_which_one_came_is_accepted(store) -> None:
    check_override(store, ["a", "b"], Override(State.INIT, 2))
    check_override(store, ["b"], Override(State.INIT))


def test_an_iteration_to_which_none_came_is_refused(store) -> None:
    with pytest.raises(
        ConfigurationError, match=r"iteration 3: a came to iteration 2, b came to iteration 0\."
    ):
        check_override(store, ["a", "b"], Override(State.INIT, 3))
