"""Daemons of a real batch system are stopped in the middle, and started again; nothing is lost or fails."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from caf_core.testing.bench import wait_until
from clusters.experiment import Experiment, ended_well
from clusters.starting import start

MINUTE = 60.0
SLOW = 'echo x >> "$0/counts/{index}"; sleep "$1"'
"""Shell for a task that leaves a line in a file of its own, and takes its time."""


def pid_of(path: Path) -> int:
    """The process that a file names."""
    return int(path.read_text())


def call(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stderr)


class Slurm:
    """How Slurm's daemons are stopped and started."""

    def __init__(self, cluster):
        self.cluster = cluster

    def stop_node(self) -> None:
        os.kill(pid_of(self.cluster.place / "run" / "slurmd.pid"), signal.SIGTERM)

    def start_node(self) -> None:
        start(self.cluster.name, self.cluster.instance, **self.cluster.settings)

    def lose_node(self) -> None:
        call("scontrol", "update", f"nodename={self._node()}", "state=down", "reason=test")

    def _node(self) -> str:
        listed = subprocess.run(["sinfo", "-hN", "-o", "%N"], check=True, capture_output=True, text=True)
        return listed.stdout.split()[0]

    def stop_controller(self) -> None:
        # If it were killed, it would forget the jobs of its last seconds, and give their numbers away again.
        os.kill(pid_of(self.cluster.place / "run" / "slurmctld.pid"), signal.SIGTERM)

    def start_controller(self) -> None:
        start(self.cluster.name, self.cluster.instance, **self.cluster.settings)


class HTCondor:
    """How HTCondor's daemons are stopped and started: its master must not be quicker than we are."""

    def __init__(self, cluster):
        self.cluster = cluster

    def stop_node(self) -> None:
        call("condor_off", "-startd", "-fast")

    def start_node(self) -> None:
        call("condor_on", "-startd")

    lose_node = stop_node

    def stop_controller(self) -> None:
        os.kill(pid_of(self.cluster.place / "master.pid"), signal.SIGSTOP)
        (schedd,) = (
            int(environ.parent.name)
            for environ in Path("/proc").glob("[0-9]*/exe")
            if self._is_ours(environ, "condor_schedd")
        )
        os.kill(schedd, signal.SIGKILL)

    def start_controller(self) -> None:
        os.kill(pid_of(self.cluster.place / "master.pid"), signal.SIGCONT)

    def _is_ours(self, exe: Path, name: str) -> bool:
        try:
            environment = exe.with_name("environ").read_bytes().split(b"\0")
            return exe.readlink().name == name and (
                f"CONDOR_CONFIG={self.cluster.environment['CONDOR_CONFIG']}".encode() in environment
            )
        except OSError:
            return False


@pytest.fixture
def daemons(second_cluster):
    daemons = {"slurm": Slurm, "htcondor": HTCondor}[second_cluster.name](second_cluster)
    yield daemons
    daemons.start_controller()
    daemons.start_node()


@pytest.fixture
def counts(second_experiment):
    (second_experiment.place / "counts").mkdir()
    return second_experiment


def begun(experiment) -> int:
    return len(list((experiment.place / "counts").iterdir()))


def test_the_daemon_of_a_node_goes_and_comes_back(daemons, counts):
    process = counts.submit("-n", 8, "--", "sh", "-c", SLOW, counts.place, 6)
    wait_until(lambda: begun(counts) >= 4, 60, "half of the tasks execute")
    daemons.stop_node()
    time.sleep(8)  # as long as the daemon is away
    daemons.start_node()
    ended_well(process)
    # A scheduler that has lost its node begins again by itself, and nobody else does.
    assert set(counts.work()) == {str(index) for index in range(8)}
    assert max(counts.work().values()) <= (2 if counts.backend == "htcondor" else 1)
    assert counts.submissions() == 1


def test_a_node_is_lost_in_the_middle_of_a_plan(daemons, second_experiment, tmp_path):
    here = Experiment("local", tmp_path / "here")
    here.place.mkdir()
    here.finish("planning.py")
    process = second_experiment.start("planning.py", CAF_TEST_WAIT="1")
    wait_until(lambda: (second_experiment.place / "waits.4").exists(), 200, "half of the plan is done")
    daemons.lose_node()
    waits = int((second_experiment.place / "waits.4").read_text())
    wait_until(lambda: not Path(f"/proc/{waits}").exists(), 60, "what the node executed has ended")
    (second_experiment.place / "go on").touch()
    daemons.start_node()
    ended_well(process)
    assert second_experiment.result() == here.result()
    # What was recorded is not executed again, in either of the two iterations.
    assert second_experiment.work() == {**dict.fromkeys("1235678", 2), "4": 3}


def test_the_scheduler_is_away_for_a_minute(daemons, counts):
    """Tasks end meanwhile, which is noticed, and one is to be tried again, which has to wait."""
    shell = f"{SLOW}; test {{index}} != 1 || test $(wc -l < $0/counts/1) = 2"
    process = counts.submit("-n", 8, "--attempts", 2, "--", "sh", "-c", shell, counts.place, 10)
    wait_until(lambda: begun(counts) == 8, 60, "all tasks execute")
    daemons.stop_controller()
    time.sleep(MINUTE)
    assert process.poll() is None, process.communicate()
    status = counts.caf("status", "-p", "out")
    assert "7/8" in status, status
    daemons.start_controller()
    ended_well(process)
    assert counts.work() == {str(index): 2 if index == 1 else 1 for index in range(8)}
