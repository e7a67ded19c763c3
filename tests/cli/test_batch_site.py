"""The command line at a site with a batch system: a fake one, brought by a plugin that is installed."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from caf_core.testing.bench import wait_until

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""
LOCKED = """
from caf_core.jobs.batch.dialogue import Command, refused
from fakes.tiny_backend import TinyBackend


class Locked(TinyBackend):
    def submitting(self, submission):
        answer = yield Command(["sh", "-c", "echo the token has expired >&2; exit 1"])
        raise refused(answer, remedy="get a new one", credentials=True)
"""


@pytest.fixture
def site(make_site, monkeypatch):
    """A folder where ``caf`` finds the backend ``tiny``, and a scheduler for it."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY"):
        monkeypatch.delenv(name, raising=False)
    backends = {"tiny": "fakes.tiny_backend:TinyBackend", "locked": "locked:Locked"}
    modules = {"locked": LOCKED}
    with make_site(backends, modules, folder="work", poll_interval=0.25, slots=2, kill_wait=0.3) as cluster:
        yield cluster


def findings(done):
    return {one["text"]: one for one in json.loads(done.stdout)["findings"]}


def test_the_doctor_is_content(site, run_caf):
    done = run_caf("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"tsub is {site.path_prefix}/tsub" in done.stdout
    assert "a task was executed on" in done.stdout
    assert "is seen and can be written on the node" in done.stdout
    assert "there and back, and the exit record was read" in done.stdout
    assert "the node's clock agrees with ours" in done.stdout
    assert "Python collectors work" in done.stdout
    assert "one submission: at most 1000 tasks" in done.stdout
    assert "tiny: everything is in order" in done.stdout
    assert sorted(path.name for path in Path().iterdir()) == ["caf.toml"]


def test_the_doctor_speaks_to_machines(site, run_caf):
    done = run_caf("doctor", "tiny", "--json", "--cpus", 64, "-o", "new folder")
    assert done.returncode == 0, done.stderr
    (warning,) = [one for one in findings(done).values() if one["level"] == "warning"]
    assert "64 asked for" in warning["text"]
    probe = json.loads(done.stdout)["facts"]["probe"]
    assert probe["values"]["python"] == sys.executable
    assert probe["ended"] and probe["round_trip"] >= 0


def test_the_doctor_may_only_ask(site, run_caf):
    done = run_caf("doctor", "--no-probe")
    assert done.returncode == 0, done.stderr
    assert not site.calls("tsub")


def test_the_doctor_does_not_find_the_commands(site, run_caf):
    done = run_caf("doctor", "--backend-arg", "path_prefix=/nowhere")
    assert done.returncode == 1
    assert "/nowhere/tsub is not there" in done.stdout
    assert "is this a submit node of Tiny, or must path_prefix be set?" in done.stdout


def test_the_doctor_repeats_what_the_scheduler_objects_to(site, run_caf):
    done = run_caf("doctor", "--backend-arg", "queue=golden")
    assert done.returncode == 1
    assert "there is no queue golden" in done.stdout
    assert "-> correct what the scheduler objects to" in done.stdout


def test_the_doctor_does_not_wait_for_ever(site, run_caf):
    site.set(slots=0)
    done = run_caf("doctor", "--wait", "2s", "-q")
    assert done.returncode == 0
    assert "the probe did not end within" in done.stdout
    assert "wait longer with --wait" in done.stdout
    assert not site.jobs(state="pending")


def test_the_doctor_sees_that_the_folder_is_not_shared(site, run_caf, tmp_path):
    """The job ends at once, as if its folder were not there."""
    site.faults.add("tsub", times=0)
    script = Path(site.path_prefix) / "tsub"
    real = script.with_name("tsub.real")
    script.rename(real)
    empty = tmp_path / "empty.sh"
    empty.write_text("exit 1\n")
    script.write_text(
        f'#!/bin/sh\nwhile [ "${{1#-}}" != "$1" ]; do set -- "$@" "$1" "$2"; shift 2; done; shift\n'
        f'exec {shlex.quote(str(real))} "$@" {shlex.quote(str(empty))}\n'
    )
    script.chmod(0o755)
    done = run_caf("doctor", "-q", "--backend-arg", "grace=2")
    assert done.returncode == 1
    assert "left nothing in" in done.stdout and "choose one on a shared file system" in done.stdout


def test_many_tasks_are_one_command(site, run_caf):
    site.set(slots=50)
    done = run_caf("submit", "-q", "--array", 60, "--", "sh", "-c", 'test "$1" -lt 60', "sh", "{index}")
    assert done.returncode == 0, done.stderr
    assert len(site.calls("tsub")) == 1


def test_what_waits_says_why(site, run_caf, caf_words):
    """``caf status`` and ``caf why`` tell what the scheduler says, while the controller waits."""
    site.set(slots=0)
    words = caf_words(["submit", "-q", "-n", 2, "--memory", "500MB", "--walltime", "2h", "--", "true"])
    controller = subprocess.Popen(words, stderr=subprocess.PIPE, env=dict(os.environ))
    try:
        wait_until(lambda: len(site.jobs(state="pending")) == 2, LIMIT, "the tasks wait")
        site.run("thold", "1.0")

        def text():
            return run_caf("why", "job", "tasks/0", "-p", "caf_job").stdout

        wait_until(lambda: "held" in text(), LIMIT, "the hold is known")
        said = text()
        assert "task tasks/0, iteration 0, on tiny: submitted" in said
        assert "id 1.0" in said and "it asks for 500 MB and 2 h" in said
        status = run_caf("status", "-p", "caf_job").stdout
        assert "job: 1 waiting: held by the user" in status
        site.run("trls", "1.0")
        site.set(slots=2)
        assert controller.wait(LIMIT) == 0
    finally:
        site.set(slots=2)
        controller.kill()
        controller.communicate()


def test_an_expired_credential_pauses_and_says_so(site, run_caf, caf_words, tmp_path):
    words = caf_words(["submit", "-b", "locked", "-n", 2, "--", "true"])
    told = tmp_path / "told"
    with told.open("w") as stream:
        controller = subprocess.Popen(words, stderr=stream, env=dict(os.environ))
    try:

        def status():
            return run_caf("status", "-p", "caf_job").stdout

        wait_until(lambda: "expired" in status(), LIMIT, "the pause is known")
        assert "job: 2 not submitted: sh: the token has expired; get a new one" in status()
        assert "0/2" in status() and "failed" not in status()
        said = run_caf("why", "job", "tasks/1", "-p", "caf_job").stdout
        assert "the token has expired; get a new one" in said
        assert "caf submits it as soon as" in said
        words = "tasks wait: sh: the token has expired; get a new one"
        wait_until(lambda: words in told.read_text(), LIMIT, "the controller says so")
    finally:
        controller.kill()
        controller.wait()
