"""Collectors, what they see, and which runs they want."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.collector import CollectorContext, CommandCollector, RunSelection, collect_function
from caf_core.conditions.chain import Chain
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun, IoV

RUNS = st.builds(ExpRun, st.integers(0, 3), st.integers(0, 9))


@given(st.frozensets(RUNS), st.none() | st.builds(lambda a, b: IoV(*min(a, b), *max(a, b)), RUNS, RUNS), RUNS)
def test_a_selection_survives_json_and_wants_what_it_says(ignored, requested, run) -> None:
    selection = RunSelection(ignored, requested)
    again = RunSelection.from_json(selection.to_json())
    assert again == selection
    expected = run not in ignored and (requested is None or requested.contains(run))
    assert again.wants(run) is expected


def test_a_run_may_be_a_plain_pair(tmp_path) -> None:
    context = CollectorContext((), RunSelection([(1, 2)]), Chain([]), {}, 0, tmp_path, "cal", "default")
    assert context.wants((1, 1))
    assert not context.wants((1, 2))


class Collects:
    def collect(self, context):
        return "collected"


def test_an_object_or_a_function_collects() -> None:
    assert collect_function(Collects())(None) == "collected"
    assert collect_function(lambda context: "function")(None) == "function"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(Collects, r"Collects is a class; give an instance of it"), (17, "int cannot collect")],
)
def test_what_cannot_collect_is_named(wrong, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        collect_function(wrong)


def test_a_command_is_a_list_of_words() -> None:
    command = CommandCollector(["prog", Path("/a b"), 3], sandbox=["x.py"])
    assert command.cmd == ("prog", "/a b", "3")
    assert command.sandbox == (Path("x.py").absolute(),)
    for wrong in ("prog --option", [], ()):
        with pytest.raises(ConfigurationError, match="is a list of words"):
            CommandCollector(wrong)
