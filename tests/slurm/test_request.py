"""What is asked of ``sbatch``."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Submission
from caf_core.jobs.task import Resources
from caf_core.testing.bench import HOSTILE
from caf_slurm import Slurm, request


def submission(size=3, name="a name", directory="/some/where", resources=None, **backend_args):
    args = {**request.DEFAULTS, **backend_args}
    return Submission("tabc", name, Path(directory), size, resources or Resources(), args)


def options(one, instance=request.DEFAULTS, **more):
    return request.options(one, request.merged(one.backend_args, instance), **more)


def test_an_array():
    assert options(submission()) == [
        "--parsable",
        "--job-name=tabc",
        "--comment=a name",
        "--array=0-2",
        "--chdir=/some/where",
        "--output=/some/where/scheduler.log",
        "--open-mode=append",
        "--requeue",
        "--export=ALL",
    ]
    assert "--array=0-2%64" in options(submission(array_throttle=64))


@pytest.mark.parametrize(
    "args",
    [
        *[
            {"extra_args": words}
            for words in (["-M", "other"], ["-Mother"], ["--clusters=other"], ["--clus=x"])
        ],
        {"extra_args": ["--cluster-constraint=fast"]},
        {"extra_args": ["--mem=1", ":", "--mem=2"]},
        {"extra_lines": ["#SBATCH --nice --clusters other"]},
        {"extra_lines": ["#SBATCH hetjob"]},
    ],
)
def test_what_nobody_could_follow_is_refused_before_anything_starts(args):
    with pytest.raises(ConfigurationError, match="another cluster, or several jobs"):
        Slurm(backend_args=args)


def test_what_only_looks_like_it_passes():
    Slurm(
        backend_args={"extra_args": ["--comment=-M", "--mem=5"], "extra_lines": ["echo -M", "#SBATCH -J 'a"]}
    )


def test_one_task_is_no_array():
    assert not [word for word in options(submission(1, array_throttle=3)) if word.startswith("--array")]
    assert (
        request.script(submission(1)) == '#!/bin/sh\nexec /bin/sh /some/where/task.sh "0" "$SLURM_JOB_ID"\n'
    )


def test_the_script_of_an_array():
    lines = request.script(submission(extra_lines=["#SBATCH --gres=gpu:1", "module load x"])).splitlines()
    assert lines[:3] == ["#!/bin/sh", "#SBATCH --gres=gpu:1", "module load x"]
    assert lines[3].endswith('task.sh "$SLURM_ARRAY_TASK_ID" "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"')


def test_arguments_become_options():
    words = options(
        submission(
            queue="short",
            account="us",
            qos="low",
            constraint="avx",
            reservation="r",
            nice=100,
            exclude="n1",
            gres="gpu:1",
            licenses="x:1",
            mail_user="me@x",
            mail_type="FAIL",
            requeue=False,
            extra_args=["--gpus=1", "--hint=nomultithread"],
        )
    )
    for word in ("partition=short", "account=us", "qos=low", "constraint=avx", "reservation=r", "nice=100"):
        assert f"--{word}" in words
    for word in (
        "exclude=n1",
        "gres=gpu:1",
        "licenses=x:1",
        "mail-user=me@x",
        "mail-type=FAIL",
        "no-requeue",
    ):
        assert f"--{word}" in words
    assert words[-2:] == ["--gpus=1", "--hint=nomultithread"]


@pytest.mark.parametrize(
    ("resources", "args", "words"),
    [
        (Resources(), {}, []),
        (
            Resources(4, 1000, timedelta(minutes=90), 50),
            {},
            ["cpus-per-task=4", "mem=1000M", "time=90", "tmp=50M"],
        ),
        (Resources(walltime=timedelta(seconds=61)), {}, ["time=2"]),
        (Resources(walltime=timedelta(seconds=1)), {}, ["time=1"]),
        (
            Resources(),
            {"memory": "1.5G", "time": "1-02:00:00", "disk": "2G"},
            ["mem=1536M", "time=1560", "tmp=2048M"],
        ),
        # A further attempt asks for more than the argument said.
        (Resources(memory_mb=3000), {"request_memory": 2000}, ["mem=3000M"]),
        (Resources(memory_mb=1000), {"memory": "2G"}, ["mem=2048M"]),
        (Resources(walltime=timedelta(hours=3)), {"walltime": "2:00:00"}, ["time=180"]),
        (Resources(cpus=2), {"cpus": 8}, ["cpus-per-task=8"]),
    ],
)
def test_resources(resources, args, words):
    found = options(submission(resources=resources, **args))
    rest = [word.removeprefix("--") for word in found[found.index("--export=ALL") + 1 :]]
    assert rest == words


def test_a_site_that_knows_no_disks_is_not_asked_for_some():
    one = submission(resources=Resources(disk_mb=100))
    assert "--tmp=100M" not in options(one, disk=False)
    assert "--tmp=7M" in options(submission(disk=7), disk=False)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        (90, 90),
        ("90", 90),
        ("1:30", 1.5),
        ("2:00:00", 120),
        ("1-0", 1440),
        ("1-12:30", 2190),
        (0.2, 1),
        ("0:10", 1),
    ],
)
def test_times(text, minutes):
    assert request.minutes(text) == minutes


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"memory": "lots"}, "'memory' of Slurm is 'lots'"),
        ({"walltime": "soon"}, "is 'soon'; give minutes"),
        ({"cpus": 0}, "give 1 or more"),
        ({"array_throttle": -1}, "give 1 or more"),
        ({"partitoin": "x"}, "did you mean 'partition'"),
        ({"extra_args": "--x"}, "must be list"),
    ],
)
def test_arguments_are_checked_at_once(args, words):
    with pytest.raises(ConfigurationError, match=words):
        Slurm(backend_args=args)


def test_a_job_wins_under_either_name():
    instance = {**request.DEFAULTS, "partition": "long", "memory": 1000}
    job = submission(**{**instance, "queue": "short", "request_memory": "3G"})
    words = options(job, instance)
    assert "--partition=short" in words
    assert "--mem=3072M" in words
    with pytest.raises(ConfigurationError, match="under its two names"):
        request.merged({"queue": "a", "partition": "b"}, {})


@pytest.mark.parametrize("folder", [f"/x/{HOSTILE}", "/x/%j", "/x/a\\b", "/x/a\nb", "/x/$y", "/x/'"])
def test_folders_that_slurm_would_change_are_kept_from_it(folder):
    one = submission(directory=folder)
    assert not [word for word in options(one) if "/x" in word]
    assert "--output=/dev/null" in options(one)
    assert "scheduler.log" in request.script(one)


def test_ordinary_folders_are_given_to_slurm():
    one = submission(directory="/home/a user/data-1.2/tüv")
    assert "--output=/home/a user/data-1.2/tüv/scheduler.log" in options(one)
    assert "scheduler.log" not in request.script(one)


@given(st.text().filter(lambda text: "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)))
def test_scripts_are_shell_whatever_the_folder(name):
    script = request.script(submission(directory=f"/x/{name}"))
    done = subprocess.run(["/bin/sh", "-n"], input=script.encode(), capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr


@given(st.text())
def test_the_name_for_people_is_one_line(name):
    (comment,) = [word for word in options(submission(name=name)) if word.startswith("--comment=")]
    assert comment.isprintable()
    assert len(comment) < 220
