"""``caf status``: show, update, watch."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from attrs import evolve

from caf_core.cli.status import rows
from caf_core.control.reading.overview import CalibrationRow, Overview


@pytest.fixture
def copy(good, tmp_path):
    """An output directory that may be changed."""
    return shutil.copytree(good[0], tmp_path / "copy")


def test_show_is_what_happens_without_a_word(good, caf):
    output, _ = good
    called = caf("status", "-p", output)
    assert called.code == 0
    head, first, second, controller = called.out.splitlines()
    assert head.split() == ["name", "state", "checkpoint", "iteration", "tasks", "convergence", "since"]
    assert first.split()[:6] == ["first", "completed", "completed", "0/5", "5/5", "converged"]
    assert second.startswith("second")
    assert controller.startswith("controller: none; the last one ended")
    assert caf("status", "show", "-p", output).out.splitlines()[:1] == [head]
    assert caf("status", "-p", output, "show").code == 0


def test_convergence_is_that_of_a_calibration_that_has_completed(copy, caf):
    assert caf("status", "-p", copy, "update", "first", "state", "failed").code == 0
    first, second = json.loads(caf("status", "-p", copy, "--json").out)["calibrations"]
    assert (first["state"], first["convergence"]) == ("failed", "")
    assert (second["convergence"], second["blocked_by"]) == ("converged", "first")
    told = caf("status", "-p", copy).out
    assert "\nsecond: not started again, as 'first', on which it depends, failed\n" in told


def test_json(good, bad, caf):
    found = json.loads(caf("status", "--json", "-p", good[0]).out)
    assert found["controller"] is None
    assert found["calibrations"][1]["depends_on"] == ["first"]
    assert found["calibrations"][0]["executions"] == {"ok": 1}
    found = json.loads(caf("status", "-p", bad[0], "show", "--json").out)
    assert found["calibrations"][0]["tasks"] == {"completed": 1, "failed": 1}
    assert found["calibrations"][0]["state"] == "failed"
    assert found["last"]["how"] == "failed"


def test_no_checkpoint(good, caf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = tmp_path / "wrong"
    said = f"caf: there is no checkpoint in {wrong}; name the output directory of a calibration run with -p"
    called = caf("status", "-p", wrong)
    assert called.code == 3
    assert called.err == f"{said}.\n"
    (tmp_path / "mine").symlink_to(good[0])
    assert caf("status", "-p", wrong).err == f"{said} (here are: mine).\n"


def test_the_output_directory_is_no_word_of_its_own(good, caf):
    called = caf("status", good[0])
    assert called.code == 2
    assert called.err == f"caf: there is no command {str(good[0])!r}; name an output directory with -p.\n"
    called = caf("status", "shwo")
    assert "there is no command 'shwo'; there are: show, update, watch." in called.err


def test_what_was_stopped_does_not_run():
    row = CalibrationRow(
        "scale",
        "running_algorithms",
        "collector_completed",
        0,
        5,
        (),
        {},
        {"ok": 2, "running": 1},
        "",
        None,
        "",
    )
    found = Overview(Path(), (row,), (), None, "interrupted", 1.0)
    assert rows(found, 2.0)[0][4] == "2 executed, 1 stopped"
    assert rows(evolve(found, how="", ended=None), 2.0)[0][4] == "2 executed, 1 running"
    assert rows(evolve(found, controller={}), 2.0)[0][4] == "2 executed, 1 running"


def test_a_newer_checkpoint_is_refused(copy, caf):
    with sqlite3.connect(copy / "caf_state.db") as store:
        store.execute("UPDATE setting SET value = '99' WHERE key = 'schema'")
    store.close()
    for words in (("status",), ("why", "first"), ("status", "update", "first", "state", "init")):
        called = caf(*words, "-p", copy)
        assert called.code == 3
        assert called.err.startswith("caf: ")


def test_update_sets_a_state_and_writes_history(copy, caf):
    called = caf("status", "update", "first", "state", "collector_completed", "-p", copy)
    assert called.code == 0, called.err
    assert "was completed and is collector_completed" in called.out
    assert caf("status", "-p", copy).out.splitlines()[1].split()[:3] == [
        "first",
        *["collector_completed"] * 2,
    ]
    assert caf("status", "update", "first", "checkpoint", "init", "-p", copy).code == 0
    assert caf("status", "-p", copy).out.splitlines()[1].split()[:3] == [
        "first",
        "collector_completed",
        "init",
    ]
    assert "set to collector_completed by caf status update" in caf("why", "first", "-p", copy).out


def test_after_an_update_the_next_run_goes_on_from_there(copy, caf, run_caf, script, good_input):
    caf("status", "update", "first", "state", "collector_completed", "-p", copy)
    done = run_caf("run", "-o", copy, script, good_input, "--extra")
    assert done.returncode == 0, done.stderr
    assert "first: iteration 0, running_algorithms" in done.stderr
    assert "running_collector" not in done.stderr.split("second:")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("first", "colour", "blue"), "there are: state, checkpoint, iteration"),
        (("first", "state", "happy"), "it can to: collector_completed, completed, init, failed"),
        (("first", "checkpoint", "failed"), "it can to: collector_completed, completed, init"),
        (("first", "iteration", "1"), "it has come to 0, so it can be set to 0 only."),
        (("first", "iteration", "-1"), "see caf status update --help"),
        (("third", "state", "init"), "there is: first, second"),
    ],
)
def test_update_refuses_nonsense(good, caf, words, said):
    called = caf("status", "update", *words, "-p", good[0])
    assert called.code == 2
    assert said in called.err


def test_update_refuses_a_state_that_promises_what_is_not_there(bad, caf):
    called = caf("status", "update", "first", "state", "completed", "-p", bad[0])
    assert called.code == 2
    assert "outputdb is not there; set it to init instead" in called.err


def test_watch_ends_with_the_controller(good, bad, caf):
    assert caf("status", "watch", "-p", good[0]).code == 0
    called = caf("status", "watch", "-p", bad[0])
    assert called.code == 1
    assert "1/2, 1 failed" in called.out
