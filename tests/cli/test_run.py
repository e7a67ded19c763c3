"""``caf run``."""

import json
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

from caf_core.testing.bench import wait_until


def test_a_run_tells_its_progress_in_lines_and_ends_with_0(good):
    output, done = good
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "script: done"
    assert done.stdout.splitlines()[0].endswith("--extra"), "options behind the script are the script's own"
    assert "first: iteration 0, running_collector" in done.stderr
    assert "first: default: 5/5 tasks done" in done.stderr
    assert (
        f"second: completed in iteration 0 (converged); constants in {output}/second/outputdb" in done.stderr
    )


def test_classes_of_the_script_travel_and_its_folder_is_known(good):
    output, _ = good
    assert (output / "outputdb" / "database.txt").read_text().count("mean_") == 2


def test_a_second_run_has_nothing_to_do_and_says_so(good, script, good_input, run_caf):
    output, _ = good
    done = run_caf("run", "-o", output, "--json", script, good_input, "--extra")
    assert done.returncode == 0
    assert "it has completed before, and nothing has changed" in done.stderr
    report = json.loads(done.stdout[done.stdout.index("[") :])
    assert report[0]["calibrations"]["first"]["convergence"] == "converged"
    assert report[0]["success"] is True


def test_failed_calibrations_end_with_1_and_one_sentence(bad):
    output, done = bad
    assert done.returncode == 1
    assert "script: done" not in done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("caf: 2 of 2 calibration(s) did not complete")
    assert f"caf why first -p {output}" in last
    reason = "ValueError: too many values"
    assert [reason in line for line in done.stderr.splitlines()].count(True) == 2, "when it fails, and last"
    assert reason in last
    assert "Traceback" not in done.stderr


def test_check_says_what_would_be_done_and_does_nothing(script, good_input, tmp_path, run_caf):
    done = run_caf("run", "--check", "-o", tmp_path / "out", script, good_input)
    assert done.returncode == 0, done.stderr
    assert "first        default     5" in done.stdout
    assert "first: SingleIOV" in done.stdout
    assert not (tmp_path / "out").exists()
    found = json.loads(
        run_caf("run", "--check", "--json", "-q", script, good_input, cwd=tmp_path).stdout.partition("\n")[2]
    )
    assert found["order"] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no luck')", 1, "no luck"),
        ("x = 1\n1 / 0", 2, "line 2: ZeroDivisionError: division by zero"),
        ("def f(:", 2, "line 1: invalid syntax"),
        ("from caf_core.control.caf import CAF\nCAF().run()", 2, "this CAF has no calibrations"),
        ("", 0, "without calling CAF.run()"),
        ("raise KeyboardInterrupt", 130, "stopped"),
        ("import __main__, sys; assert __name__ == '__main__'; assert vars(__main__) is globals()", 0, ""),
        ("from helper import value; assert value == 3", 0, ""),
        ("import nothing_like_this", 2, "ModuleNotFoundError"),
    ],
)
def test_how_scripts_end(text, code, said, tmp_path, run_caf):
    (tmp_path / "helper.py").write_text("value = 3")
    script = tmp_path / "a script.py"
    script.write_text(text)
    done = run_caf("run", script)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback_of_the_script(tmp_path, run_caf):
    script = tmp_path / "s.py"
    script.write_text("def f():\n    return 1 / 0\nf()")
    done = run_caf("run", "--debug", script)
    assert done.returncode == 2
    assert "line 2, in f" in done.stderr
    assert "line 2: ZeroDivisionError" in done.stderr.splitlines()[-1]


def test_usage_errors(caf, tmp_path):
    assert caf("run", tmp_path / "nothing.py").code == 2
    (tmp_path / "s.py").write_text("")
    called = caf("run", "--iteration", "1", tmp_path / "s.py")
    assert called.code == 2
    assert "--from" in called.err
    assert caf("run", "--check", tmp_path / "s.py").code == 2


def test_an_unknown_backend_is_one_sentence(script, good_input, tmp_path, run_caf):
    done = run_caf("run", "-o", tmp_path / "out", "-b", "htcondr", script, good_input)
    assert done.returncode == 2
    assert "there is no backend called 'htcondr'" in done.stderr
    assert not (tmp_path / "out" / "caf_state.db").exists()


def test_a_damaged_checkpoint_ends_with_3(script, good_input, tmp_path, run_caf):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "caf_state.db").write_bytes(b"this is no database" * 100)
    done = run_caf("run", "-o", tmp_path / "out", script, good_input)
    assert done.returncode == 3
    assert done.stderr.startswith("caf: ")


BLOCKING = """
import sys
from pathlib import Path
from caf_core.calibration.algorithm import Outcome
from caf_core.calibration.calibration import Calibration
from caf_core.control.caf import CAF

def collect(context):
    folder = Path(context.params["folder"])
    if not (folder / "go on").exists():
        with open(folder / "door", "w") as door:
            door.write("here I am")
        import time
        time.sleep(1000)
    context.put((1, 1), [1.0], entries=1)

def fit(context):
    return Outcome("ok", {"x": 1.0})

cal = Calibration("slow", collect, [fit])
cal.collections["default"].params = {"folder": sys.argv[1]}
caf = CAF(output_dir=sys.argv[1] + "/out")
caf.add_calibration(cal)
caf.run()
"""


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(tmp_path, caf_words, run_caf):
    script = tmp_path / "slow.py"
    script.write_text(BLOCKING)
    os.mkfifo(tmp_path / "door")
    process = subprocess.Popen(caf_words(["run", script, tmp_path]), stderr=subprocess.PIPE, text=True)
    (tmp_path / "door").read_text()  # waits until the collector is there
    status = run_caf("status", "-p", tmp_path / "out")
    assert f"controller: alive on host {os.uname().nodename}, pid {process.pid}" in status.stdout
    refused = run_caf("status", "update", "slow", "state", "init", "-p", tmp_path / "out")
    assert refused.returncode == 3
    assert f"pid {process.pid}" in refused.stderr
    second = run_caf("run", script, tmp_path)
    assert second.returncode == 3
    assert f"pid {process.pid}" in second.stderr
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "start it again with the same output directory" in said.splitlines()[-1]
    (tmp_path / "go on").touch()
    done = run_caf("run", script, tmp_path)
    assert done.returncode == 0, done.stderr


def test_bars_on_a_terminal(script, good_input, tmp_path, caf_words):
    """One bar a calibration, with its state."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    words = caf_words(["run", "-o", tmp_path / "out", script, good_input])
    process = subprocess.Popen(words, stderr=theirs, stdout=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    drawn = _read_all(ours)
    assert process.wait() == 0, drawn
    assert "first" in drawn and "second" in drawn
    assert "5/5" in drawn
    assert "━" in drawn
    last = drawn.replace("\r", "").split("\x1b[2K")[-1]
    assert "completed" in last


def test_constants_can_be_copied_from_a_narrow_terminal(good, caf, caf_words):
    """A table that is too wide has contents below their rows, and breaks no cell into pieces."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60", "LINES": "24"}
    words = caf_words(["payloads", good[0], "--show"])
    process = subprocess.Popen(words, stdout=theirs, env=environment)
    os.close(theirs)
    drawn = _read_all(ours).replace("\r", "")
    assert process.wait() == 0, drawn
    (row,) = json.loads(caf("payloads", good[0], "--name", "mean_first", "--json").out)
    line, content = drawn[drawn.index("\nmean_first ") + 1 :].splitlines()[:2]
    assert line.split()[:6] == ["mean_first", row["iov"], row["revision"], "5", "5", "first"]
    assert content == "    2.8"


GATED = """
from pathlib import Path
from caf_core import CAF, Calibration, Outcome

HERE = Path(__file__).parent

def collect(context):
    (HERE / "gate").read_text()
    context.put((1, 1), 1, entries=1)

def fit(context):
    return Outcome("ok", {"x": 1})

caf = CAF(HERE / "out")
caf.add_calibration(Calibration("gated", collect, [fit]))
caf.run()
"""


def test_the_bar_shows_the_state_while_it_lasts(tmp_path, caf_words):
    """The collector waits until its state has been drawn."""
    (tmp_path / "gated.py").write_text(GATED)
    os.mkfifo(tmp_path / "gate")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        caf_words(["run", tmp_path / "gated.py"]), stderr=theirs, stdout=subprocess.DEVNULL, env=environment
    )
    os.close(theirs)
    drawn = ""
    while "gated" not in drawn or "running collector" not in drawn:
        assert select.select([ours], [], [], 120)[0], drawn
        drawn += os.read(ours, 65536).decode(errors="replace")
    (tmp_path / "gate").write_text("go")
    rest = _read_all(ours)
    assert process.wait() == 0, rest
    assert "completed" in rest


def _read_all(descriptor: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # what Linux says when the other side is closed
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts).decode()
        parts.append(part)


def test_time_left_follows_the_tasks_of_this_iteration():
    from io import StringIO

    from caf_core.calibration.states import State
    from caf_core.cli.bars import Bars
    from caf_core.control.effects import Move
    from caf_core.jobs.ledger import TaskState
    from caf_core.jobs.service import JobStatus

    now = [0.0]
    bars = Bars(StringIO(), clock=lambda: now[0], live=False)
    bars.begun({"a": 5})
    bars.moved(Move("a", 0, State.INIT, State.RUNNING_COLLECTOR))
    counts = {TaskState.COMPLETED: 10, TaskState.RUNNING: 2, TaskState.INIT: 28}
    bars.jobs("a", "default", JobStatus(counts, {}, 40, 0.25, False, False))
    assert bars._bars["a"].left(20.0) == pytest.approx(60.0)
    bars.moved(Move("a", 1, State.ALGORITHMS_COMPLETED, State.INIT))
    bars.moved(Move("a", 1, State.INIT, State.RUNNING_COLLECTOR))
    assert bars._bars["a"].left(20.0) is None
    bars.ended()
    bars.begun({"b": 0})  # a script may call CAF.run() twice
    bars.ended()


def test_bars_show_what_goes_on_where_it_is(monkeypatch):
    from io import StringIO

    from caf_core.calibration.states import State
    from caf_core.cli.bars import Bars

    monkeypatch.setenv("COLUMNS", "80")
    stream = StringIO()
    bars = Bars(stream, live=False)
    bars.begun({"done": 4, "going": 5, "new": 0})
    bars.placed("done", State.COMPLETED, 2)
    bars.placed("going", State.RUNNING_COLLECTOR, 1)
    bars._console.print(bars._draw())
    drawn = {
        words[0]: " ".join(words[1:]) for words in map(str.split, stream.getvalue().splitlines()) if words
    }
    assert drawn["done"].startswith("completed iteration 2/4")
    assert drawn["going"].startswith("running collector iteration 1/5")
    assert drawn["new"].startswith("waiting iteration 0/0")
    assert bars._bars["done"].drawn(10).percentage_completed == 100
    bars.ended()


def test_lines_are_not_written_for_every_change():
    from io import StringIO

    from caf_core.cli.progress import Lines
    from caf_core.jobs.ledger import TaskState
    from caf_core.jobs.service import JobStatus

    stream, now = StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: now[0])
    for done in range(105):
        now[0] += 0.2
        counts = {TaskState.COMPLETED: done, TaskState.INIT: 105 - done, TaskState.FAILED: int(done > 50)}
        lines.jobs("a", "default", JobStatus(counts, {}, 100, 0.0, False, False))
    text = stream.getvalue().splitlines()
    assert len(text) == 3  # at once, at the failure, ten seconds later
    assert "1 failed" in text[1]


def test_the_last_change_gets_its_line_when_nothing_follows():
    from io import StringIO

    from caf_core.cli.progress import Lines
    from caf_core.jobs.ledger import TaskState
    from caf_core.jobs.service import JobStatus

    stream, now = StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: now[0])
    for done in (0, 1, 7):
        counts = {TaskState.COMPLETED: done, TaskState.RUNNING: 9 - done}
        lines.jobs("a", "default", JobStatus(counts, {}, 9, 0.0, False, False))
        now[0] += 1.0
    lines.tell_withheld()
    assert len(stream.getvalue().splitlines()) == 1, "it is too early"
    now[0] += 10.0
    lines.tell_withheld()
    assert stream.getvalue().splitlines()[1:] == ["a: default: 7/9 tasks done, 2 running"]
    lines.ended()


RESIZED = """
import sys, time
from caf_core.calibration.states import State
from caf_core.cli.bars import Bars
from caf_core.control.effects import Move
from caf_core.jobs.ledger import TaskState
from caf_core.jobs.service import JobStatus

print(*(f"line-{number}" for number in range(int(sys.argv[1]))), sep="\\n", flush=True)
bars = Bars(sys.stderr)
names = ["alpha", "beta", "gamma"]
bars.begun(dict.fromkeys(names, 5))
for name in names:
    bars.moved(Move(name, 0, State.INIT, State.RUNNING_COLLECTOR))
    counts = {TaskState.COMPLETED: 10, TaskState.RUNNING: 2, TaskState.INIT: 28}
    bars.jobs(name, "default", JobStatus(counts, {}, 40, 0.25, False, False))
open(sys.argv[2]).close()
bars.ended()
print("over", flush=True)
open(sys.argv[2]).close()
"""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here, whose screen can be looked at")
@pytest.mark.parametrize("before", [2, 40])
def test_no_old_bar_stays_when_the_terminal_changes_its_width(before, tmp_path):
    (tmp_path / "bars.py").write_text(RESIZED)
    os.mkfifo(tmp_path / "go on")
    # Given, and not inherited: readline has set the size of some terminal behind Python's back.
    environment = {key: os.environ[key] for key in os.environ.keys() - {"COLUMNS", "LINES", "TMUX"}}

    def tmux(*words):
        command = ["tmux", "-S", "tmux", "-f", os.devnull, *map(str, words)]
        options = {"capture_output": True, "text": True, "timeout": 60, "check": True}
        return subprocess.run(command, cwd=tmp_path, env=environment, **options).stdout

    def bars():
        screen = tmux("capture-pane", "-p").splitlines()
        return [line for line in screen if line.strip() and not line.startswith("line-")]

    def drawn_for(width):
        lines = bars()
        names = [line.split()[0] for line in lines]
        return names == ["alpha", "beta", "gamma"] and all((len(line) > 80) == (width > 80) for line in lines)

    words = shlex.join([sys.executable, str(tmp_path / "bars.py"), str(before), str(tmp_path / "go on")])
    tmux("new-session", "-d", "-x", 130, "-y", 30, words)
    try:
        for width in (130, 60, 130, 55, 130):
            tmux("resize-window", "-x", width)
            wait_until(lambda width=width: drawn_for(width), 60, f"there are three bars for {width} columns")
        (tmp_path / "go on").write_text("")
        wait_until(lambda: "over" in bars(), 60, "it ends")
        assert [line.split()[0] for line in bars()] == ["alpha", "beta", "gamma", "over"]
        shown = tmux("capture-pane", "-p", "-S", "-").splitlines()
        assert f"line-{before - 1}" in shown, "what was there before stays"
    finally:
        tmux("kill-server")


@pytest.mark.parametrize("columns", [70, 80, 120])
def test_no_number_is_lost_on_a_narrow_terminal(columns, monkeypatch):
    from io import StringIO

    from caf_core.calibration.states import State
    from caf_core.cli.bars import Bars
    from caf_core.control.effects import Move
    from caf_core.jobs.ledger import TaskState
    from caf_core.jobs.service import JobStatus

    monkeypatch.setenv("COLUMNS", str(columns))
    stream, now = StringIO(), [0.0]
    bars = Bars(stream, clock=lambda: now[0], live=False)
    bars.begun({"a_calibration_with_a_very_long_name": 5, "b": 5})
    bars.moved(Move("b", 3, State.INIT, State.RUNNING_COLLECTOR))
    now[0] = 600.0
    counts = {TaskState.COMPLETED: 1000, TaskState.RUNNING: 16, TaskState.FAILED: 11, TaskState.INIT: 8973}
    bars.jobs("b", "default", JobStatus(counts, {}, 10000, 0.1, False, False))
    bars._console.print(bars._draw())
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    for word in ("running collector", "3/5", "1000/10000 16 running 11 failed"):
        assert word in stream.getvalue(), lines
    bars.ended()
