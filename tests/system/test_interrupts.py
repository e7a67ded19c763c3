"""Ctrl-C: once stops cleanly, twice at once; nothing is left executing; started again, it goes on."""

import contextlib
import ctypes
import json
import os
import select
import signal
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from system.gates import PATIENCE, WAIT, Gate

SCRIPT = """
import fcntl
import os
from pathlib import Path
from caf_core import CAF, Algorithm, Calibration, Outcome

HERE = Path(__file__).parent
WAIT
def collect(context):
    name = Path(context.input_files[0]).stem
    with open(HERE / "counts", "a") as counts:
        counts.write(f"{name} begun\\n")
    if name == "b":
        wait()
    context.put((1, ord(name)), [name], entries=1)
    with open(HERE / "counts", "a") as counts:
        counts.write(f"{name} done\\n")

def fit(context):
    return Outcome("ok", {"x": context.data().merged()})

cal = Calibration("cal", collect, [Algorithm(fit, "fit")], [HERE / "a", HERE / "b", HERE / "c"])
cal.collections["default"].max_files_per_collector_job = 1
caf = CAF(HERE / "out")
caf.add_calibration(cal)
caf.run()
""".replace("WAIT", WAIT)


class Scene(Gate):
    """A calibration of three tasks, the second of which waits for a lock that the test holds."""

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return self.execute("-j", "1", *options)

    def counts(self) -> list[str]:
        return sorted((self.folder / "counts").read_text().splitlines())

    def successes(self) -> list[int]:
        """The numbers of the collector's tasks that succeeded, once for each of their attempts that did."""
        query = """SELECT task FROM attempt JOIN job ON job.key = attempt.job
            WHERE job.kind = 'collector' AND attempt.state = 'completed' ORDER BY task"""
        with contextlib.closing(sqlite3.connect(self.folder / "out" / "caf_state.db")) as checkpoint:
            return [task for (task,) in checkpoint.execute(query)]

    def finishes(self) -> str:
        """Start again and let it end."""
        process = self.start()
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        database = (self.folder / "out" / "outputdb" / "database.txt").read_text()
        assert database.startswith("x ")
        return said


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    for name in ("a", "b", "c", "counts"):
        (tmp_path / name).touch()
    with Scene.closed(tmp_path) as made:
        yield made


def ends(pid: int) -> bool:
    """Wait until a process has ended; whether it did."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_stops_cleanly_and_goes_on_later(scene, number) -> None:
    process = scene.start()
    task = scene.who_waits()
    resident = json.loads((scene.folder / "out/.caf/resident/resident.json").read_text())["pid"]
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    sentence = said.splitlines()[-1]
    assert sentence.startswith("caf: stopped; start it again with the same output directory")
    assert str(scene.folder / "out") in sentence
    assert ends(task)
    assert ends(resident)
    assert scene.counts().count("a done") == 1
    scene.open()
    scene.finishes()
    assert scene.counts() == ["a begun", "a done", "b begun", "b begun", "b done", "c begun", "c done"]


def test_twice_stops_at_once_and_loses_nothing(scene) -> None:
    process = scene.start()
    scene.who_waits()
    # Stopped, and both for its main thread, so that both signals are there before that goes on.
    process.send_signal(signal.SIGSTOP)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert ctypes.CDLL(None).tgkill(process.pid, process.pid, number) == 0
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode in (130, 143), said
    assert "Traceback" not in said
    scene.open()
    scene.finishes()
    counts = scene.counts()
    assert counts.count("a done") == counts.count("b done") == counts.count("c done") == 1


@pytest.mark.parametrize("pause", [0, 1])
def test_again_while_it_stops(scene, pause) -> None:
    """The second signal may come at any moment of the clean stop."""
    process = scene.start()
    task = scene.who_waits()
    process.send_signal(signal.SIGINT)
    if pause:
        ends(task)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    scene.open()
    # Where the clean stop could not note that it ended a task, that was ended from outside: again.
    scene.finishes()
    # Its lines are no measure: it may be told to end when it has written the last one, and has not ended yet.
    assert scene.successes() == [0, 1, 2]


def test_before_anything_began(scene) -> None:
    """A signal while the script itself still works is the script's affair; the exit code tells."""
    text = (scene.folder / "script.py").read_text()
    (scene.folder / "script.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n" + text)
    process = scene.start()
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert said.strip() == "caf: stopped."
    (scene.folder / "script.py").write_text(text)
    scene.open()
    scene.finishes()


@pytest.mark.parametrize("how", ["from init", "without their collection"])
def test_collectors_that_nobody_wants_any_more_are_ended(scene, how: str) -> None:
    """Their controller was killed; the next ones do not work in a folder in which they may still do so."""
    first = scene.start()
    left_over = scene.who_waits()
    folder = Path(f"/proc/{left_over}/cwd").readlink()
    first.kill()
    first.communicate()
    if how == "from init":
        second = scene.start("--from", "init")
    else:
        text = (scene.folder / "script.py").read_text()
        text = text.replace(
            "caf = CAF", 'cal.collections["other"] = cal.collections.pop("default")\ncaf = CAF'
        )
        (scene.folder / "script.py").write_text(text)
        second = scene.start()
    assert ends(left_over)
    assert Path(f"/proc/{scene.who_waits()}/cwd").readlink() != folder
    scene.open()
    _, said = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, said
    counts = {"a begun": 2, "a done": 2, "b begun": 2, "b done": 1, "c begun": 1, "c done": 1}
    assert Counter(scene.counts()) == counts
    scene.finishes()


def test_a_start_that_is_refused_does_not_wait_for_what_an_earlier_one_left(scene) -> None:
    first = scene.start()
    left_over = scene.who_waits()
    first.kill()
    first.communicate()
    second = scene.start("--from", "completed")
    _, said = second.communicate(timeout=PATIENCE)
    assert "start it from init instead" in said
    assert Path(f"/proc/{left_over}").exists()
    scene.open()
    scene.finishes()
