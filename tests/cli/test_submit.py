"""``caf submit``: jobs without calibrations."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from caf_core.testing.bench import wait_until

# Fails in task 2 until the file in its second argument exists, and counts its executions in the file `count`.
COUNTING = 'echo x >> "$1/count.$2"; [ "$2" != 2 ] || [ -e "$1/mended" ]'


@pytest.fixture
def job(tmp_path):
    """A folder with a hostile name for a job."""
    return tmp_path / "my 'job'"


def test_again_executes_only_what_failed(job, tmp_path, run_caf):
    words = ("submit", "-o", job, "-n", 4, "-j", 2, "--", "sh", "-c", COUNTING, "sh", tmp_path, "{index}")
    done = run_caf(*words)
    assert done.returncode == 1
    assert "1 of 4 tasks failed; tasks/2: exit code 1" in done.stderr.splitlines()[-1]
    assert "3/4, 1 failed" in run_caf("status", "-p", job).stdout
    assert "task tasks/2" in run_caf("why", "job", "-p", job).stdout
    (tmp_path / "mended").touch()
    done = run_caf(*words)
    assert done.returncode == 0, done.stderr
    done = run_caf(*words)
    assert done.returncode == 0
    counts = {path.name: path.read_text().count("x") for path in tmp_path.glob("count.*")}
    assert counts == {"count.0": 1, "count.1": 1, "count.2": 2, "count.3": 1}


def test_a_folder_for_temporary_files_with_a_long_name_holds_a_socket_too(
    job, tmp_path, run_caf, monkeypatch
):
    """The kernel takes 107 bytes of a socket's path."""
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    done = run_caf("submit", "-o", job, "-n", 2, "--", "true")
    assert done.returncode == 0, done.stderr


def test_another_job_in_the_same_place_is_refused(job, run_caf):
    assert run_caf("submit", "-o", job, "--", "true").returncode == 0
    done = run_caf("submit", "-o", job, "--", "false")
    assert done.returncode == 2
    assert "holds something else already" in done.stderr


def test_input_files_are_shared_out(job, tmp_path, run_caf):
    names = ["a b.txt", "c'\".txt", "new\nline.txt"]
    for name in names:
        (tmp_path / name).write_text(name)
    done = run_caf("submit", "-o", job, "--json", "-q", "-i", tmp_path / "*.txt", "--", "cat", "{file}")
    assert done.returncode == 0, done.stderr
    tasks = json.loads(done.stdout)["tasks"]
    assert sorted(Path(task["directory"], "stdout").read_text() for task in tasks) == sorted(names)
    done = run_caf(
        "submit", "-o", f"{job}2", "-q", "-i", tmp_path / "*.txt", "--max-tasks", 1, "--", "cat", "{files}"
    )
    assert done.returncode == 0
    assert (tmp_path / "my 'job'2" / "0" / "attempt-1" / "stdout").read_text() == "".join(sorted(names))


def test_a_task_must_leave_its_outputs(job, run_caf):
    done = run_caf("submit", "-o", job, "--outputs", "*.root", "--", "true")
    assert done.returncode == 1
    assert "no output matches '*.root'" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("-b", "nothing", "--", "true"),
        ("-n", "2", "-i", __file__, "--", "true"),
        ("--", "cat", "{file}"),
        ("-i", "nothing*", "--", "cat", "{file}"),
        ("-i", __file__, "-i", "/etc/hostname", "--max-tasks", "1", "--", "cat", "{file}"),
        ("--max-files", "2", "--", "true"),
        ("--backend-arg", "queue", "--", "true"),
        ("--name", "a/b", "--", "true"),
        (),
    ],
)
def test_wrong_wishes(job, caf, words):
    called = caf("submit", "-o", job, *words)
    assert called.code == 2
    assert called.err.count("\n") == 1
    assert not job.exists()


def test_ctrl_c_stops_and_the_same_command_goes_on(job, tmp_path, run_caf):
    os.mkfifo(tmp_path / "door")
    body = '[ -e "$0/go on" ] || { echo here > "$0/door"; sleep 1000; }'
    words = ["submit", "-o", str(job), "--", "sh", "-c", body, str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "caf_core.cli", *words], stderr=subprocess.PIPE, text=True
    )
    (tmp_path / "door").read_text()
    second = run_caf(*words)
    assert second.returncode == 3
    assert f"pid {process.pid}" in second.stderr
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "give the same command again" in said
    (tmp_path / "go on").touch()
    done = run_caf(*words)
    assert done.returncode == 0, done.stderr


def test_what_another_host_executed_is_taken_over_when_that_is_asked_for(job, tmp_path, run_caf):
    body = 'echo x >> "$0/count"; [ -e "$0/go on" ] || { echo here > "$0/door"; sleep 1000; }'
    words = ["submit", "-o", job, "--", "sh", "-c", body, tmp_path]
    os.mkfifo(tmp_path / "door")
    process = subprocess.Popen([sys.executable, "-m", "caf_core.cli", *words], stderr=subprocess.DEVNULL)
    (tmp_path / "door").read_text()
    process.kill()
    process.wait()
    registered = job / ".caf" / "resident" / "resident.json"
    entry = json.loads(registered.read_text())
    registered.write_text(json.dumps({**entry, "host": "far", "boot": "another"}))
    (tmp_path / "go on").touch()
    try:
        refused = run_caf(*words)
        assert refused.returncode == 3
        assert f"the resident process {entry['pid']} of " in refused.stderr
        assert "is registered on host far; continue there, or" in refused.stderr
        assert "--take-over" in refused.stderr
        kept = run_caf("cancel", "-p", job)
        assert kept.returncode == 1
        assert "is registered on host far" in kept.stdout + kept.stderr
        done = run_caf(*words[:1], "--take-over", *words[1:])
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "count").read_text() == "x\nx\n"
        # The other one lives after all: what it leaves late counts for nothing.
        os.kill(entry["pid"], signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{entry['pid']}").exists(), 60.0, "the first one is gone")
        again = run_caf(*words)
        assert again.returncode == 0, again.stderr
        assert (tmp_path / "count").read_text() == "x\nx\n"
    finally:
        with suppress(ProcessLookupError):
            os.kill(entry["pid"], signal.SIGTERM)


def test_debug_repeats_a_command(job, tmp_path, run_caf):
    run_caf(
        "submit",
        "-o",
        job,
        "-n",
        2,
        "--setup",
        "export WORD=hello",
        "--",
        "sh",
        "-c",
        'echo "$WORD $0"; exit 3',
        "{index}",
    )
    done = run_caf("debug", "job", "tasks/1", "-p", job, "--scratch", tmp_path / "scratch")
    assert done.returncode == 3
    assert done.stdout == "hello 1\n"
    done = run_caf("debug", "--pdb", "job", "tasks/1", "-p", job)
    assert done.returncode == 2
    assert "is a command" in done.stderr


def test_no_name_and_no_text_acts_on_the_terminal(tmp_path, run_caf):
    job = tmp_path / "\x1b]0;title\x07job"
    body = r"printf '\033[2Joops\n' >&2; exit 3"
    said = [run_caf("submit", "-o", job, "-n", 2, "--", "sh", "-c", body)]
    said += [
        run_caf(*words, "-p", job) for words in (["status"], ["why", "job"], ["why"], ["cancel"], ["graph"])
    ]
    said += [run_caf("run", tmp_path / "\x1b[2Jnone.py"), run_caf("payloads", "-p", job), run_caf("\x1b[2J")]
    assert [done.returncode for done in said[:2]] == [1, 0]
    for done in said:
        text = done.stdout + done.stderr
        assert text.replace("\n", "").replace("\t", "").isprintable(), (done.args, text)
    assert "\\x1b[2Joops" in said[2].stdout + said[3].stdout


def test_a_script_that_lies_here_is_found(tmp_path, monkeypatch, run_caf):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "my script.sh"
    script.write_text("#!/bin/sh\necho $1\n")
    script.chmod(0o755)
    done = run_caf("submit", "-q", "-n", 2, "--", "./my script.sh", "{index}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "caf_job" / "1" / "attempt-1" / "stdout").read_text() == "1\n"
