"""What calibrations, collections and jobs take for their settings, and what reading and setting them does."""

from pathlib import Path

import numpy as np
import pytest

from caf_core import (
    CAF,
    Algorithm,
    Calibration,
    Collection,
    CommandCollector,
    ExpRun,
    IoV,
    Job,
    MaxFilesSplitter,
    Outcome,
)
from caf_core.errors import ConfigurationError


def collect(context):
    """Collects nothing."""


def fit(context):
    """Fits nothing."""
    return Outcome("ok")


def fit_again(context):
    """Fits nothing either."""
    return Outcome("ok")


def lists_of(*names):
    """The names in every form that a list can have."""
    return {
        "list": list(names),
        "tuple": tuple(names),
        "generator": (name for name in names),
        "set": set(names),
        "keys": dict.fromkeys(names).keys(),
        "paths": [Path(name) for name in names],
        "bytes": [name.encode() for name in names],
        "array": np.array(names),
    }


TAKERS = {
    "Calibration(...)": lambda value: Calibration("c", collect, fit, value).input_files,
    "Calibration": lambda value: with_set(Calibration("c"), "input_files", value),
    "Collection(...)": lambda value: Collection(collect, value).input_files,
    "Collection": lambda value: with_set(Collection(), "input_files", value),
    "Calibration.output_patterns": lambda value: with_set(Calibration("c"), "output_patterns", value),
    "Collection.output_patterns": lambda value: with_set(Collection(), "output_patterns", value),
    "Collection.preload": lambda value: list(with_set(Collection(), "preload", value)),
    "Job.input_files": lambda value: with_set(Job("j"), "input_files", value),
    "Job.output_patterns": lambda value: with_set(Job("j"), "output_patterns", value),
    "Job.setup_cmds": lambda value: with_set(Job("j"), "setup_cmds", value),
    "Job.input_sandbox_files": lambda value: with_set(Job("j"), "input_sandbox_files", value),
    "SubJob.input_files": lambda value: with_set(Job("j").create_subjob(0), "input_files", value),
    "CommandCollector.setup_cmds": lambda value: list(CommandCollector(["x"], setup_cmds=value).setup_cmds),
    "CommandCollector.sandbox": lambda value: [
        str(path.relative_to(Path.cwd())) for path in CommandCollector(["x"], sandbox=value).sandbox
    ],
}


def with_set(thing, name, value):
    setattr(thing, name, value)
    return getattr(thing, name)


@pytest.mark.parametrize("taker", TAKERS)
def test_one_text_is_one_item_and_any_list_is_a_list(taker) -> None:
    take = TAKERS[taker]
    assert take("run_1.txt") == take(Path("run_1.txt")) == take(b"run_1.txt") == ["run_1.txt"]
    assert take(None) == []
    for form, value in lists_of("b.txt", "a.txt").items():
        assert take(value) == (["a.txt", "b.txt"] if form == "set" else ["b.txt", "a.txt"]), form
    for wrong in (5, ["a", ["b"]], ["a", None]):
        with pytest.raises(ConfigurationError, match=r"is no (list of )?texts?"):
            take(wrong)


def test_a_command_is_no_single_text() -> None:
    for make in (lambda cmd: Job("j", cmd=cmd), lambda cmd: Job("j", args=cmd), CommandCollector):
        with pytest.raises(ConfigurationError, match=r"write \['my-program', '--option'\]"):
            make("echo 1")
    assert Job("j", cmd=("echo", 1), args=np.array([2, 3])).full_command == ["echo", "1", "2", "3"]


def test_algorithms_strategies_and_runs_in_any_form() -> None:
    for value in (
        [fit, fit_again],
        (fit, fit_again),
        (item for item in [fit, fit_again]),
        {fit: 1, fit_again: 2},
    ):
        assert [part.name for part in Calibration("c", collect, value).algorithms] == ["fit", "fit_again"]
    cal = Calibration("c", collect, Algorithm(fit, "only"))
    assert [part.name for part in cal.algorithms] == ["only"]
    for runs in ((5, 12), "5,12", [(5, 12)], {(5, 12)}, np.array([[5, 12]]), ExpRun(5, 12)):
        cal.ignored_runs = runs
        assert cal.ignored_runs == [ExpRun(5, 12)]
    cal.ignored_runs = ()
    assert cal.ignored_runs == []


def test_the_table_of_intervals_takes_what_people_write() -> None:
    cal = Calibration("c", collect, fit)
    one, many = IoV(1, 2, 1, 2), IoV(1, 2, 3, -1)
    table = {"a": (1, 2), "b": ExpRun(1, 2), "c": [1, 2, 1, 2], "d": "1,2,1,2", Path("e"): one}
    cal.files_to_iovs = table
    assert cal.files_to_iovs == dict.fromkeys("abcde", one)
    cal.files_to_iovs = {"a": ((1, 2), (3, -1)), "b": np.array([1, 2, 3, -1]), "c": (1, 2, 3, -1)}
    assert cal.files_to_iovs == dict.fromkeys("abc", many)
    for wrong in ((1,), (1, 2, 3), None, "x", ((1, 2), 3)):
        with pytest.raises(ConfigurationError, match=r"files_to_iovs gives 'a' the interval .* correct it"):
            cal.files_to_iovs = {"a": wrong}
    with pytest.raises(ConfigurationError, match="no table"):
        cal.files_to_iovs = [("a", one)]


def test_reading_a_setting_changes_nothing() -> None:
    cal = Calibration("c", algorithms=[fit])
    cal.add_collection("own", Collection(collect, ["a"]))
    for name in ("collector", "input_files", "files_to_iovs", "max_files_per_collector_job", "granularity"):
        getattr(cal, name)
    assert cal.is_valid() and set(cal.collections) == {"own"}
    cal.input_files.append("run_1.txt")
    with pytest.raises(ConfigurationError, match="'default' has no collector"):
        cal.check()
    cal.collector = collect
    assert cal.is_valid() and cal.collections["default"].input_files == ["run_1.txt"]


def test_of_the_settings_that_cut_the_work_the_one_set_last_counts() -> None:
    cal = Calibration("c", collect, fit, "a", max_collector_jobs=3)
    names = ("max_collector_jobs", "max_files_per_collector_job", "splitter")
    for name, value in zip((*names, names[0]), (4, 2, MaxFilesSplitter(1), 5), strict=True):
        setattr(cal, name, value)
        assert [getattr(cal, other) for other in names if other != name] == [None, None]
        assert getattr(cal, name) == value
        assert cal.is_valid()
    cal.splitter = None
    assert cal.max_collector_jobs == 5
    with pytest.raises(
        ConfigurationError, match="give one of max_files_per_collector_job and max_collector_jobs"
    ):
        Calibration("c", collect, fit, "a", max_collector_jobs=3, max_files_per_collector_job=1)


def test_a_collector_is_no_collection() -> None:
    with pytest.raises(ConfigurationError, match=r"write add_collection\('more', Collection"):
        Calibration("c", collect, fit).add_collection("more", collect)
    assert CAF().calibrations == {}
