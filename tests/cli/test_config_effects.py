"""What ``caf.toml`` and the options do to ``caf run``, ``caf submit`` and programs."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
from datetime import timedelta
from caf_core.calibration.algorithm import Outcome
from caf_core.calibration.calibration import Calibration
from caf_core.calibration.collection import Collection
from caf_core.control.caf import CAF
from caf_core.jobs.task import Resources


class Collector:
    def collect(self, context):
        context.put((1, 1), [1.0], entries=1)


def fit(context):
    return Outcome("ok", {"mean": 1.0})


caf = CAF(calibration_defaults={"resources": Resources(disk_mb=7)})
one = Calibration("one", Collector(), [fit])
one.resources = Resources(memory_mb=900)
one.add_collection("other", Collection(Collector(), resources=Resources(memory_mb=500)))
caf.add_calibration(one)
caf.run()
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder, where files of configuration are looked for."""
    monkeypatch.delenv("CAF_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def asked(folder):
    """What every submission of collectors below a folder asked for."""
    found = [path for path in sorted(folder.rglob("manifest.jsonl")) if "algorithm_output" not in path.parts]
    lines = [json.loads(path.read_text().splitlines()[0]) for path in found]
    return [[line[key] for key in ("cpus", "memory_mb", "walltime_s", "disk_mb")] for line in lines]


def test_resources_come_from_where_they_are_said_first(project, run_caf):
    (project / "caf.toml").write_text('[resources]\nwalltime = "2h"\nmemory_mb = 100\ndisk_mb = 1\n')
    done = run_caf("run", "-o", "out", "--cpus", 2, "--memory", "3GB", "script.py")
    assert done.returncode == 0, done.stderr
    assert asked(project / "out" / "one") == [[2, 900, 7200, 7], [2, 500, 7200, 7]]


def test_an_unknown_backend_of_the_file_names_the_file(project, run_caf):
    (project / "caf.toml").write_text('backend = "lokal"\n')
    for words in (("run", "script.py"), ("submit", "--", "true")):
        done = run_caf(*words)
        assert done.returncode == 2
        assert f"{project / 'caf.toml'}: there is no backend called 'lokal'" in done.stderr
    assert run_caf("submit", "-q", "-b", "local", "--", "true").returncode == 0


def test_local_has_its_number_of_processes_from_the_file(project, run_caf):
    (project / "caf.toml").write_text("[backends.local]\nmax_processes = 0\n")
    done = run_caf("submit", "--", "true")
    assert done.returncode == 2
    assert "max_processes is 0" in done.stderr
    assert run_caf("submit", "-j", 1, "--", "true").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--backend-arg", "queue=long"), "the backend 'local' has no argument 'queue'"),
        (("--backend-arg", "max_processes=many"), "must be int"),
        (("--memory", "lots"), "is no amount of memory"),
        (("--walltime", "soon"), "is no time span"),
        (("--min-fraction", "2"), "0<x<=1"),
        (("--attempts", "0"), "x>=1"),
    ],
)
def test_wrong_options(project, run_caf, words, said):
    done = run_caf("submit", *words, "--", "true")
    assert done.returncode == 2
    assert said in done.stderr
    if words[0] != "--min-fraction" and words[0] != "--attempts":
        done = run_caf("run", *words, "script.py")
        assert done.returncode == 2
        assert said in done.stderr


def test_a_script_for_a_batch_system_is_tried_here_and_a_site_is_not_misspelt(project, run_caf):
    text = SCRIPT.replace("one.resources =", 'one.backend_args = {"queue": "long"}; one.resources =')
    (project / "script.py").write_text(text)
    done = run_caf("run", "-o", "out", "script.py")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("local has no backend argument 'queue'; it is not used") == 1
    (project / "script.py").write_text(SCRIPT)
    (project / "caf.toml").write_text('[backends.local]\nqueue = "long"\n')
    done = run_caf("run", "--check", "script.py")
    assert done.returncode == 2
    assert f"{project / 'caf.toml'}: local has no backend argument 'queue'; there are: max_p" in done.stderr


def test_arguments_for_a_backend_that_nobody_uses_are_refused(project, run_caf):
    text = SCRIPT.replace("caf.run()", 'one.backend = "local"\ncaf.backend = "local"\ncaf.run()')
    (project / "script.py").write_text(text)
    assert run_caf("run", "--check", "--backend-arg", "max_processes=2", "script.py").returncode == 0
    (project / "script.py").write_text(
        text.replace('one.backend = "local"', "from caf_local import Local; one.backend = Local()")
    )
    done = run_caf("run", "--check", "--backend-arg", "max_processes=2", "script.py")
    assert done.returncode == 2
    assert "every calibration names its own (local)" in done.stderr


def test_a_program_takes_the_file_as_well(project):
    (project / "caf.toml").write_text("[resources]\nmemory_mb = 77\n[retry.attempts]\nexit_code = 2\n")
    (project / "program.py").write_text(
        "from caf_core import Job\nfrom caf_local import Local\n"
        "job, backend = Job('failing', cmd=['false']), Local()\n"
        "backend.submit(job)\nbackend.join()\nprint(job.result.attempt)\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, timeout=300, env=dict(os.environ)
    )
    assert done.stdout == "2\n", done.stderr
    assert asked(project / "failing") == [[1, 77, None, None]] * 2


def test_submit_tries_again_and_lets_some_fail(project, run_caf):
    words = ("-n", 4, "--attempts", 2, "--env", "NAME=a b", "--", "sh", "-c", 'test "$0" != 3', "{index}")
    done = run_caf("submit", "--json", "-q", *words)
    assert done.returncode == 1
    assert [task["attempt"] for task in json.loads(done.stdout)["tasks"]] == [1, 1, 1, 2]
    done = run_caf("submit", "-o", "again", "--min-fraction", 0.75, *words)
    assert done.returncode == 0
    assert "3 tasks done" in done.stderr
    assert "1 of 4 tasks failed, which --min-fraction allows" in done.stderr


def test_submit_gives_variables_and_resources(project, run_caf):
    done = run_caf(
        *("submit", "-q", "--env", "NAME=a=b c", "--cpus", 2, "--memory", "1GB", "--walltime", 3),
        *("--disk", "2GB", "--", "sh", "-c", 'echo "$NAME"'),
    )
    assert done.returncode == 0, done.stderr
    assert (project / "caf_job" / "0" / "attempt-1" / "stdout").read_text() == "a=b c\n"
    assert asked(project / "caf_job") == [[2, 1024, 180, 2048]]
