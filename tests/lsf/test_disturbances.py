"""What goes wrong at LSF in its own ways, on executable fake commands."""

import re

import pytest

from caf_core.errors import SubmissionError
from caf_core.jobs.backend import SchedulerState
from caf_core.jobs.ledger import FailureKind, TaskState
from caf_core.testing.bench import JobBench, records, shell, submission, wait_until
from caf_lsf import LSF
from fakes.cluster import Cluster

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""

OLDER = [pytest.param(name, marks=pytest.mark.slow) for name in ("OpenLava", "IBM91")]


@pytest.fixture(params=["Volclava", "IBM", *OLDER])
def cluster(request, tmp_path):
    (tmp_path / "cluster" / "etc").mkdir(parents=True)
    (tmp_path / "cluster" / "etc" / "lsf.conf").write_text("LSB_MBD_PORT=6324\n")
    with Cluster(f"fakes.lsf:{request.param}", tmp_path / "cluster", kill_wait=0.5) as cluster:
        yield cluster


@pytest.fixture
def backend(cluster):
    return LSF(backend_args={"poll_interval": 0.5, "grace": 2.0, "path_prefix": cluster.path_prefix})


@pytest.fixture
def bench(backend, tmp_path):
    bench = JobBench(backend, tmp_path / "jobs", LIMIT)
    yield bench
    bench.service.close()


def touching(tmp_path, count):
    return [shell(tmp_path / "out" / str(i), f"echo {i} >> {tmp_path}/log") for i in range(count)]


def waiting(tmp_path, count):
    line = f"until test -e {tmp_path}/go; do sleep 0.05; done"
    return [shell(tmp_path / "out" / str(i), line) for i in range(count)]


def test_an_array_that_becomes_no_array_executes_nothing(cluster, bench, tmp_path):
    cluster.set(array_max=3, array_told=1000)
    bench.submit("job", touching(tmp_path, 5))
    bench.wait("job")
    assert {(task.state, task.failure) for task in bench.tasks("job")} == {
        (TaskState.FAILED, FailureKind.SUBMISSION)
    }
    assert "array_limit" in bench.tasks("job")[0].reason
    assert not (tmp_path / "log").exists()
    wait_until(lambda: all(job.state == "ended" for job in cluster.jobs()), LIMIT, "what was taken ended")


def test_the_script_of_an_element_does_nothing_as_a_plain_job(cluster, backend, tmp_path):
    one = submission(tmp_path / "job", touching(tmp_path, 2), backend)
    backend.start(one)
    wait_until(lambda: len(records(one)) == 2, LIMIT, "the tasks were recorded")
    (script,) = (cluster.folder / "state" / "spool").glob("1.sh")
    cluster.run("bsub", "-J", "plain", stdin=script.read_text())
    wait_until(lambda: all(job.state == "ended" for job in cluster.jobs()), LIMIT, "all ended")
    (plain,) = cluster.jobs(number=2)
    assert plain.exit_code == 125
    assert "made no array" in (one.directory / "scheduler.log").read_text()


def test_summaries_are_no_condition(cluster, backend, tmp_path):
    cluster.set(summaries=False)
    one = submission(tmp_path / "job", touching(tmp_path, 4), backend)
    assert len(backend.start(one)) == 4
    wait_until(lambda: len(records(one)) == 4, LIMIT, "the tasks were recorded")


def test_a_quiet_bsub_is_no_problem(cluster, bench, tmp_path):
    cluster.set(quiet=True)
    bench.submit("job", touching(tmp_path, 3))
    (status,) = bench.wait("job")
    assert status.success
    assert len(cluster.calls("bsub")) == 1


@pytest.mark.parametrize("word", ["UNKWN", "ZOMBI", "SSUSP", "PROV", "SOMETHING"])
def test_strange_states_are_waited_for(cluster, bench, tmp_path, word):
    bench.submit("job", waiting(tmp_path, 2))
    bench.pump(lambda: len(bench.running("job")) == 2, "the tasks execute")
    cluster.set(shown={"1:2": word})
    bench.pump_for(1.5)
    assert all(task.state in (TaskState.RUNNING, TaskState.SUBMITTED) for task in bench.tasks("job"))
    cluster.set(shown={})
    (tmp_path / "go").touch()
    (status,) = bench.wait("job")
    assert status.success


def test_a_limit_of_the_user_is_waited_for(cluster, backend, tmp_path):
    cluster.set(refusal="User <cal>: Pending job threshold reached")
    one = submission(tmp_path / "job", touching(tmp_path, 3), backend)
    with pytest.raises(SubmissionError, match="threshold") as raised:
        backend.start(one)
    assert raised.value.transient
    cluster.set(refusal="")
    assert dict(backend.find(one.token)) == {}
    assert len(backend.start(one)) == 3
    wait_until(lambda: len(records(one)) == 3, LIMIT, "the tasks were recorded")


def test_nothing_is_mailed_and_nothing_lies_about(cluster, bench, tmp_path):
    bench.submit("job", touching(tmp_path, 3))
    bench.wait("job")
    assert {job.spec["stdout"] for job in cluster.jobs()} == {"/dev/null"}
    assert {job.spec["cwd"] for job in cluster.jobs()} == {"/"}


def test_few_commands_for_several_arrays(cluster, backend, tmp_path):
    ids = []
    for i in range(3):
        one = submission(tmp_path / f"job-{i}", waiting(tmp_path / str(i), 3), backend)
        ids += backend.start(one)
    backend.poll(ids)  # what this version lacks is learnt
    before = len(cluster.calls())
    told = backend.poll(ids)
    assert set(told) == set(ids)
    assert len(cluster.calls()) == before + 1
    backend.cancel(ids)
    assert cluster.calls("bkill") == [["bkill", "1", "2", "3"]]
    wait_until(
        lambda: all(report.state is SchedulerState.ENDED for report in backend.poll(ids).values()),
        LIMIT,
        "all ended",
    )
    assert {report.failure for report in backend.poll(ids).values()} == {FailureKind.CANCELLED}


def test_a_forgotten_end_is_known_from_the_history(cluster, backend, tmp_path):
    one = submission(tmp_path / "job", waiting(tmp_path, 2), backend)
    ids = list(backend.start(one))
    wait_until(lambda: len(cluster.jobs(state="running")) == 2, LIMIT, "the tasks execute")
    cluster.exhaust(cluster.job(ids[0]))
    wait_until(lambda: len(cluster.jobs(state="ended")) == 1, LIMIT, "one ended")
    cluster.set(keep=0.0)
    told = backend.poll(ids)
    assert told[ids[0]].state is SchedulerState.ENDED
    if cluster.dialect.__name__ != "IBM91":
        assert told[ids[0]].failure is FailureKind.OUT_OF_MEMORY
    assert told[ids[1]].state is SchedulerState.RUNNING
    (tmp_path / "go").touch()


def test_options_go_where_they_belong(cluster, tmp_path):
    args = {"path_prefix": cluster.path_prefix, "queue": "short", "extra_lines": ["#BSUB -P pro"]}
    backend = LSF(backend_args={**args, "max_running": 1, "extra_args": ["-r"]})
    one = submission(tmp_path / "job", touching(tmp_path, 3), backend)
    assert len(backend.start(one)) == 3
    wait_until(lambda: len(records(one)) == 3, LIMIT, "the tasks were recorded")
    asked = cluster.jobs()[0].spec["options"]
    assert (asked["-q"], asked["-P"], asked["-r"]) == ("short", "pro", "")
    assert re.fullmatch(r"\w+\[1-3\]%1", asked["-J"])
