"""What is told while calibrations go on, and at their end."""

from pathlib import Path

from caf_core.calibration.states import State
from caf_core.control.evidence import explain
from caf_core.control.report import CalibrationFailedError, CalibrationReport, Careful, Report, Silence
from caf_core.jobs.ledger import TaskChange, TaskState


class Broken(Silence):
    """Its output is on a full disk."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def said(self, text: str) -> None:
        self.asked.append(text)
        raise OSError(28, "No space left on device")


def test_a_listener_that_fails_is_left_alone() -> None:
    broken = Broken()
    careful = Careful(broken)
    careful.said("one")
    careful.said("two")
    careful.begun({"a": 5})
    careful.ended()
    assert broken.asked == ["one"]


def test_sentences_of_others_become_parts_of_one(tmp_path) -> None:
    (tmp_path / "stderr").write_text("RootFileError: a.root is empty; take it out of the input files.\n")
    change = TaskChange(0, TaskState.FAILED, 1, exit_code=1)
    reason = explain(change, tmp_path / "stderr")
    assert reason == "exit code 1: RootFileError: a.root is empty; take it out of the input files"
    reports = {
        name: CalibrationReport(State.FAILED, 0, "", text, Path("x"))
        for name, text in {"a": f"{reason}.", "b": "give it time ...", "c": ""}.items()
    }
    text = str(CalibrationFailedError(Report(reports, Path("out"))))
    assert "take it out of the input files; b: give it time ...; c: not reached). Look closer" in text
