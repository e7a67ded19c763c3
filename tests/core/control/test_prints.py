"""Fingerprints of tasks, collections and calibrations of the user's own."""

import os
import sys

from attrs import evolve

from caf_core.calibration.calibration import CalibrationBase
from caf_core.calibration.collection import Collection, FileSelection
from caf_core.calibration.collector import CommandCollector, RunSelection
from caf_core.control import prints
from caf_core.control.resolved import Resolved, ResolvedCollection
from caf_core.jobs.splitters import MaxSubjobsSplitter


def test_a_file_counts_by_name_size_and_time(tmp_path) -> None:
    path = tmp_path / "a\n\udcff"
    assert prints.file_print(str(path)).endswith("|missing")
    path.write_text("1")
    os.utime(path, ns=(1, 1))
    first = prints.file_print(str(path))
    path.write_text("22")
    os.utime(path, ns=(1, 1))
    second = prints.file_print(str(path))
    os.utime(path, ns=(2, 2))
    assert len({first, second, prints.file_print(str(path))}) == 3
    assert prints.file_print("root://server//a.root") == "root://server//a.root"


class Own(CalibrationBase):
    def __init__(self, name, cut):
        super().__init__(name)
        self.cut = cut

    def run(self):
        """Nothing."""

    def is_valid(self):
        return True


def test_a_users_own_calibration_counts_by_class_and_attributes(tmp_path) -> None:
    one = Own("a", 5)
    before = prints.own_print(one)
    one.state, one.output_dir = "completed", tmp_path
    one.depends_on(Own("b", 1))
    assert prints.own_print(one) == before
    assert prints.own_print(Own("a", 6)) != before


def collection(collector, **selection) -> str:
    part = ResolvedCollection(
        "x", Collection(collector), FileSelection(()), MaxSubjobsSplitter(max_subjobs=1), ()
    )
    one = Resolved(Own("a", 1), None, (), {})
    one.selection = RunSelection(**selection)
    return prints.collection_print(one, part)


def test_a_command_counts_by_its_words_and_its_files(tmp_path) -> None:
    script, steering = tmp_path / "collect.py", tmp_path / "steering.py"
    for path in (script, steering):
        path.write_text("1")
    command = CommandCollector([sys.executable, script, "--fast"], sandbox=[steering])
    before = collection(command)
    assert collection(command) == before
    assert collection(CommandCollector([sys.executable, script, "--slow"], sandbox=[steering])) != before
    assert collection(evolve(command, env={"A": "1"})) != before
    for path in (script, steering):
        path.write_text("22")
        after = collection(command)
        assert after != before
        before = after


def test_which_runs_are_wanted_counts() -> None:
    command = CommandCollector(["true"])
    assert collection(command, ignored=[(1, 2), (1, 1)]) == collection(command, ignored=[(1, 1), (1, 2)])
    assert collection(command, ignored=[(1, 1)]) != collection(command)
