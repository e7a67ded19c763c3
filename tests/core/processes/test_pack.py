"""What travels to a batch node: the bootstrap script and the zip file, executed as a node would."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from caf_core.jobs import pack
from caf_core.testing.bench import wait_until


@pytest.fixture
def submission(house):
    def make(**spec) -> Path:
        directory = house.submission(
            {"argv": ["true"]}, {"argv": ["sh", "-c", "echo hello; touch a b"]} | spec
        )
        pack.write_node(directory)
        return directory

    return make


def execute(directory: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(directory / "task.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_a_task_is_executed_from_the_zip_alone(submission, tmp_path: Path) -> None:
    directory = submission(output_patterns=["[ab]"])
    done = execute(directory, "1", "77.1", cwd="/", env={"PATH": os.defpath})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    record = json.loads((directory / "records" / "1.json").read_text())
    assert (record["exit_code"], record["outputs"], record["scheduler_id"]) == (0, ["a", "b"], "77.1")
    assert (directory / "claims" / "1").read_text() == "77.1"
    assert (directory / "out" / "1" / "attempt-0" / "stdout").read_text() == "hello\n"
    again = execute(directory, "1", "78")
    assert (again.returncode, again.stderr) == (0, f"caf: task 1 of {directory}: claimed by 77.1\n")


def test_a_supervisor_that_cannot_work_says_so_by_its_exit_code(submission) -> None:
    directory = submission()
    (directory / "manifest.jsonl").unlink()
    done = execute(directory, "0", "77")
    assert (done.returncode, "manifest.jsonl" in done.stderr) == (125, True)
    (directory / "node.pyz").unlink()
    assert execute(directory, "0", "77").returncode == 125


def test_a_python_call_gets_an_interpreter_of_its_own(submission) -> None:
    directory = submission(
        argv=[], call={"entry": "os:mkdir", "arguments": {"path": "x"}}, output_patterns=["x"]
    )
    execute(directory, "1")
    assert json.loads((directory / "records" / "1.json").read_text())["outputs"] == ["x"]


def test_a_node_without_python_writes_the_record_itself(submission, tmp_path: Path) -> None:
    directory = submission(argv=["echo", '"token": "no", \\"task\\": 9'])
    (tmp_path / "bin").mkdir()
    for tool in ("dirname", "tr", "uname", "sed", "grep", "head", "date", "cat", "mv"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    script = (directory / "task.sh").read_text()
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        script = script.replace(f"{python} ", "/no/python ").replace(f"{python};", "/no/python;")
    (directory / "task.sh").write_text(script)
    done = execute(directory, "1", 'a"b', env={"PATH": str(tmp_path / "bin")})
    assert (done.returncode, done.stderr) == (127, "caf: no Python 3.9 or later was found on this node\n")
    record = json.loads((directory / "records" / "1.json").read_text())
    assert (record["token"], record["task"], record["attempt"], record["position"]) == ("t1", 1, 0, 1)
    assert (record["failure"], record["exit_code"], record["scheduler_id"]) == ("submission", 127, "ab")
    assert (directory / "claims" / "1").read_text() == "ab"
    (directory / "records" / "1.json").unlink()
    assert execute(directory, "1", env={"PATH": str(tmp_path / "bin")}).returncode == 127
    assert not list((directory / "records").iterdir())  # somebody else's claim


def test_a_cancelled_job_ends_its_task_and_writes_the_record(submission, fifo) -> None:
    line = fifo("line")
    directory = submission(argv=["sh", "-c", f"echo on > '{line.path}'; sleep 1000"], grace_s=0.2)
    job = subprocess.Popen(["/bin/sh", str(directory / "task.sh"), "1"])
    line.read()
    job.terminate()
    assert job.wait(120) == 128 + signal.SIGTERM  # a scheduler shall not take it for a success
    assert json.loads((directory / "records" / "1.json").read_text())["failure"] == "cancelled"


def test_a_task_that_is_told_to_end_before_its_job_was_cancelled(submission, fifo) -> None:
    """Schedulers signal the processes of a job one after the other."""
    line = fifo("line")
    directory = submission(argv=["sh", "-c", f"echo $$ > '{line.path}'; sleep 1000"], grace_s=0.2)
    job = subprocess.Popen(["/bin/sh", str(directory / "task.sh"), "1"])
    task = int(line.read())
    os.kill(task, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{task}").exists(), 120, "the task is gone")
    job.terminate()
    assert job.wait(120) == 128 + signal.SIGTERM
    assert json.loads((directory / "records" / "1.json").read_text())["failure"] == "cancelled"


@pytest.mark.parametrize(
    ("ended", "again"),
    [
        ({"exit_code": 137, "failure": "exit_code"}, True),
        ({"signal": 9, "failure": "exit_code"}, True),
        ({"exit_code": None, "failure": "cancelled"}, True),
        ({"exit_code": 1, "failure": "exit_code"}, False),
        ({"signal": 9, "failure": "out_of_memory"}, False),
        ({"exit_code": 0, "failure": None}, False),
    ],
)
def test_what_was_killed_from_outside_is_executed_again_by_the_same_job(submission, ended, again) -> None:
    directory = submission(argv=["true"])
    script = ["/bin/sh", str(directory / "task.sh"), "1", "7_1"]
    subprocess.run(script, check=True, timeout=120)
    record = directory / "records" / "1.json"
    first = json.loads(record.read_text()) | ended
    record.write_text(json.dumps(first))
    subprocess.run(script, check=True, timeout=120, capture_output=True)
    after = json.loads(record.read_text())
    assert (after != first) is again
    assert not again or after["exit_code"] == 0


def test_a_job_that_is_begun_again_takes_up_its_claim(submission, fifo) -> None:
    line = fifo("line")
    directory = submission(
        argv=["sh", "-c", f"echo on > '{line.path}'; test -e done || sleep 1000"], grace_s=0.2
    )
    script = ["/bin/sh", str(directory / "task.sh"), "1"]
    job = subprocess.Popen([*script, "7_1"])
    line.read()
    job.terminate()
    job.wait(120)
    other = subprocess.run([*script, "8_1"], capture_output=True, text=True, check=True, timeout=120)
    assert "claimed by 7_1" in other.stderr
    record = directory / "records" / "1.json"
    assert json.loads(record.read_text())["failure"] == "cancelled"
    again = subprocess.Popen([*script, "7_1"])
    line.read()
    assert not record.exists()
    os.kill(again.pid, signal.SIGTERM)
    again.wait(120)
    assert json.loads(record.read_text())["scheduler_id"] == "7_1"


def test_another_version_of_python_takes_the_source_and_not_the_byte_code(
    submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = submission()
    pack.archive.cache_clear()
    monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", b"\x00\x01\r\n")
    (directory / "node.pyz").write_bytes(pack.archive())
    pack.archive.cache_clear()
    assert execute(directory, "1").returncode == 0
    assert json.loads((directory / "records" / "1.json").read_text())["exit_code"] == 0


@pytest.mark.parametrize("version", ["Python 3.8.20", "Python 3.8+", "Python 2.7.18", "", "Python 3.4"])
def test_an_old_python_is_passed_over(submission, tmp_path: Path, version: str) -> None:
    directory = submission()
    old = tmp_path / "old"
    old.write_text(f"#!/bin/sh\necho '{version}'\nexit 0\n")
    old.chmod(0o755)
    (directory / "task.sh").write_text(pack.script(str(old)))
    assert execute(directory, "1").returncode == 0
    assert json.loads((directory / "records" / "1.json").read_text())["exit_code"] == 0


def test_what_lies_in_the_working_directory_is_not_imported(submission, tmp_path: Path) -> None:
    directory = submission()
    for name in ("os", "ctypes", "_json", "caf_core"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the working directory')\n")
    done = execute(directory, "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_zip_holds_the_same_bytes_every_time(tmp_path: Path) -> None:
    first = pack.archive()
    pack.archive.cache_clear()
    assert pack.archive() == first
    (tmp_path / "node.pyz").write_bytes(first)
    with zipfile.ZipFile(tmp_path / "node.pyz") as packed:
        assert "caf_core/jobs/node.py" in packed.namelist()
        assert packed.testzip() is None
