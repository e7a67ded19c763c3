"""``caf why`` and ``caf debug``."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from caf_core.cli.why import attempt_text, done_text
from caf_core.control.reading.causes import Attempt, Case
from caf_core.control.reading.naming import Work


def test_why_tells_of_the_task_that_failed(bad, caf):
    output, _ = bad
    called = caf("why", "first", "-p", output)
    assert called.code == 0
    assert "first: failed, iteration 0, checkpoint init" in called.out
    assert "task default/1, iteration 0, on local: failed" in called.out
    assert "exit code 1" in called.out
    assert "peak memory" in called.out and "no limit asked for" in called.out
    assert "then: nothing; the retry policy gives exit_code no (further) attempt" in called.out
    assert "| ValueError: " in called.out
    assert "default/0" not in called.out
    logs = next(line for line in called.out.splitlines() if "logs: " in line)
    assert Path(logs.partition("logs: ")[2].partition("/stdout")[0], "stderr").exists()


def test_why_tells_of_the_execution_that_failed(ugly, caf):
    output, _ = ugly
    called = caf("why", "first", "-p", output)
    assert "execution fit/" in called.out
    assert "result: failure; IoV 1,0,1,0; runs 1,0" in called.out
    assert "RuntimeError: negative values" in called.out
    assert "fitting 1" in called.out  # its stderr


def test_why_one_task_that_went_well(good, caf):
    called = caf("why", "first", "default/3", "-p", good[0])
    assert called.code == 0
    assert called.out.startswith("task default/3, iteration 0, on local: completed")
    assert caf("why", "first", "3", "-p", good[0]).out == called.out
    assert caf("why", "first", "--lines", "0", "-p", good[0]).code == 0


def test_why_as_json(bad, caf):
    found = json.loads(caf("why", "first", "--json", "-p", bad[0]).out)
    (case,) = found["cases"]
    assert case["attempts"][0]["exit_code"] == 1
    assert case["stderr"][-1].startswith("ValueError: ")


def test_why_an_execution_as_json(ugly, caf):
    found = json.loads(caf("why", "first", "--json", "-p", ugly[0]).out)
    answers = [case["answer"] for case in found["cases"] if case["answer"] is not None]
    assert any(one["runs"] == "1,0" and "negative values" in one["message"] for one in answers)


def test_unknown_names_list_what_exists(good, caf):
    called = caf("why", "frist", "-p", good[0])
    assert called.code == 2
    assert "there is: first, second" in called.err
    for name in ("default/9", "nothing/0", "fit/7", "x"):
        called = caf("why", "first", name, "-p", good[0])
        assert called.code == 2
        assert "it has: default/0 to default/4; fit/" in called.err
    assert caf("why", "first", "default/0", "--iteration", "3", "-p", good[0]).code == 2


def test_a_calibration_that_never_started(bad, caf):
    called = caf("why", "second", "-p", bad[0])
    assert called.code == 0
    assert called.out.splitlines() == [
        "second: init, iteration 0, checkpoint init",
        "  not started, as 'first', on which it depends, failed",
    ]
    assert json.loads(caf("why", "second", "--json", "-p", bad[0]).out)["blocked_by"] == "first"
    assert (
        "\nsecond: not started, as 'first', on which it depends, failed\n" in caf("status", "-p", bad[0]).out
    )


def _attempt(number: int, **facts: object) -> Attempt:
    values = {
        "state": "failed",
        "failure": "out_of_memory",
        "exit_code": None,
        "signal": 9,
        "reason": "the kernel killed it",
        "host": "node1",
        "seconds": 12.0,
        "peak_memory_mb": 99.0,
        "memory_mb": 100,
        "walltime_s": None,
        "scheduler_id": "77[3]",
        "directory": Path("/x"),
    }
    return Attempt(number=number, **{**values, **facts})


def _case(*attempts: Attempt, state: str = "failed", split: tuple[str, ...] = ()) -> Case:
    return Case(
        Work("default/0", "c", 0, "k", 0, Path("/x"), "htcondor", False),
        state,
        attempts,
        {"input_files": ["a", "b"]},
        None,
        split,
    )


def test_an_attempt_in_words():
    text = attempt_text(_attempt(1, walltime_s=60.0))
    assert text == (
        "out of memory: signal 9, the kernel killed it, after 12 s of 1 min asked for, "
        "peak memory 99 MB (100 MB asked for), host node1, id 77[3]"
    )


def test_what_was_done_in_words():
    first, second = _attempt(1), _attempt(2, memory_mb=151)
    assert done_text(_case(first, second), first, second) == "then: tried again with 151 MB"
    assert done_text(_case(first), first, None).startswith("then: nothing")
    assert "waits" in done_text(_case(first, state="init"), first, None)
    assert "split" in done_text(_case(first, split=("default/2", "default/3")), first, None)


def _debug(*words: object, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "caf_core.cli", "debug", *map(str, words)],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_debug_repeats_a_task_elsewhere(bad, tmp_path):
    output, _ = bad
    recorded = {path: path.stat().st_mtime_ns for path in output.rglob("attempt-*/*")}
    done = _debug("first", "default/1", "-p", output, "--scratch", tmp_path / "a b")
    assert done.returncode == 1
    assert "ValueError: " in done.stderr
    done = _debug("first", "default/0", "-p", output, "--scratch", tmp_path / "a b")
    assert done.returncode == 0, done.stderr
    (folder,) = [path.parent for path in (tmp_path / "a b").rglob("runs.json")]
    assert json.loads((folder / "runs.json").read_text())["runs"] == [[1, 0, 1]]
    assert str(folder) in done.stderr
    assert {path: path.stat().st_mtime_ns for path in output.rglob("attempt-*/*")} == recorded


def test_debug_repeats_an_execution_and_ends_in_the_debugger(ugly, tmp_path):
    output, _ = ugly
    name = "fit/0_0"
    done = _debug("first", name, "-p", output, "--scratch", tmp_path)
    assert done.returncode == 1
    assert "RuntimeError: negative values" in done.stderr
    done = _debug("--pdb", "first", name, "-p", output, "--scratch", tmp_path, given="p values\nq\n")
    assert done.returncode == 1
    assert "[-1.0]" in done.stdout


def test_debug_of_what_does_not_exist(good):
    done = _debug("first", "default/99", "-p", good[0])
    assert done.returncode == 2
    assert "it has: default/0 to default/4" in done.stderr


def test_output_that_was_not_kept_is_named_as_such(good, tmp_path, caf):
    copy = shutil.copytree(good[0], tmp_path / "copy")
    with sqlite3.connect(copy / "caf_state.db") as store:
        store.execute("UPDATE job SET directory = replace(directory, ?, ?)", (str(good[0]), str(copy)))
    store.close()
    shutil.rmtree(copy / "first" / "0" / "collector_output" / "default")
    called = caf("why", "first", "default/0", "-p", copy)
    assert called.code == 2
    assert "no tasks any more (keep_collector_output, or caf tidy)" in called.err
    assert caf("status", "-p", copy).out.splitlines()[1].split()[4] == "5/5"
