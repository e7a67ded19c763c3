"""One controller per output directory."""

import json
import shutil
import socket
import subprocess
import sys
import time

import pytest

from caf_core.control.lease import LEASE_FILE, Lease, controller_lives, read_lease
from caf_core.errors import CheckpointError
from caf_core.processes import kernel

HOLDER = """
import sys, time
from pathlib import Path
from caf_core.control.lease import Lease
lease = Lease(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
if sys.argv[2] == "release":
    lease.release()
"""


@pytest.fixture
def private(tmp_path):
    folder = tmp_path / "out" / ".caf"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def holder(private):
    """Start another process that holds the lease until it is told to go on."""
    started = []

    def start(ending: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(private), ending],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_controller_is_refused_with_host_pid_and_age(private, holder) -> None:
    first = holder("release")
    with pytest.raises(CheckpointError) as caught:
        Lease(private)
    text = str(caught.value)
    assert f"host {socket.gethostname()}, pid {first.pid}, started " in text
    assert str(private.parent) in text
    assert text.endswith("wait for it, or stop it (Ctrl-C).")
    assert controller_lives(private)["pid"] == first.pid
    first.communicate("go on\n")
    Lease(private).release()
    assert controller_lives(private) is None


def test_taking_over_from_a_living_controller_of_this_host_is_refused_too(private, holder) -> None:
    holder("release")
    with pytest.raises(CheckpointError, match="driven by another controller"):
        Lease(private, take_over=True)


@pytest.mark.parametrize("ending", ["leave", "kill"])
def test_a_controller_that_died_leaves_nothing_in_the_way(private, holder, ending) -> None:
    first = holder("leave")
    if ending == "kill":
        first.kill()
    first.communicate("go on\n")
    assert read_lease(private)["pid"] == first.pid
    assert controller_lives(private) is None
    Lease(private).release()
    assert read_lease(private) is None


def elsewhere(private, *, beat: float, **more) -> None:
    """The lease file as a controller on another host would have left it."""
    content = {"host": "far.example.org", "pid": 17, "started": 1000.0, "beat": beat, **more}
    (private / LEASE_FILE).write_text(json.dumps(content))


def test_on_another_host_the_heartbeat_decides(private) -> None:
    elsewhere(private, beat=1050.0)
    with pytest.raises(
        CheckpointError, match=r"host far\.example\.org, pid 17, started 60 s ago\); .*--take-over"
    ):
        Lease(private, clock=lambda: 1060.0)
    waited = []
    lease = Lease(private, clock=lambda: 1141.0, pause=waited.append)
    assert sum(waited) >= 20.0
    assert read_lease(private)["host"] == socket.gethostname()
    lease.release()


def test_on_one_kernel_the_lock_decides_under_another_name_too(private) -> None:
    mine = kernel.here()
    elsewhere(private, beat=1059.0, boot=mine["boot"], space="pid:[1]")
    Lease(private, clock=lambda: 1060.0, pause=lambda _: None).release()
    elsewhere(private, beat=1059.0, boot=mine["boot"], space=mine["space"], pid=2**22 + 1)
    assert controller_lives(private) is None


def test_another_host_can_be_declared_dead(private) -> None:
    elsewhere(private, beat=1059.0)
    lease = Lease(private, take_over=True, clock=lambda: 1060.0)
    assert read_lease(private)["host"] == socket.gethostname()
    lease.release()


def test_who_was_declared_dead_and_is_not_ends_at_its_next_beat(private) -> None:
    lease = Lease(private, clock=lambda: 900.0)
    elsewhere(private, beat=1000.0)
    with pytest.raises(CheckpointError, match=r"far\.example\.org.*take over from this one, which ends here"):
        lease.beat()
    lease.release()
    assert read_lease(private)["host"] == "far.example.org"


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_kills_no_controller_of_another_host_and_keeps_no_dead_one(private, jump) -> None:
    elsewhere(private, beat=1050.0)
    with pytest.raises(CheckpointError, match=r"far\.example\.org, pid 17"):
        Lease(private, clock=lambda: 1060.0 + jump, pause=lambda _: elsewhere(private, beat=1060.0))
    elsewhere(private, beat=1050.0)
    Lease(private, clock=lambda: 1060.0 + jump, pause=lambda _: None).release()
    assert read_lease(private) is None


def test_a_clock_that_jumps_hides_no_controller_of_this_host(private, holder, monkeypatch) -> None:
    first = holder("release")
    for jump in (-86_400.0, 86_400.0):
        moment = time.time() + jump
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        assert controller_lives(private)["pid"] == first.pid


def test_who_wakes_after_his_successor_has_ended_ends_too(private) -> None:
    lease = Lease(private)
    (private / LEASE_FILE).unlink()  # as the successor leaves it
    with pytest.raises(CheckpointError, match=r"has taken .* over from this one, and has ended since"):
        lease.beat()
    assert not (private / LEASE_FILE).exists()
    lease.release()


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_directory_that_is_removed_or_moved_away_is_told_and_not_made_anew(private, how) -> None:
    lease, out = Lease(private), private.parent
    if how == "removed":
        shutil.rmtree(out)
    else:
        out.rename(out.with_name("elsewhere"))
    if how == "replaced":
        private.mkdir(parents=True)
        Lease(private).release()
    with pytest.raises(CheckpointError, match=r"out was removed or moved away while it was used"):
        lease.beat()
    assert out.exists() == (how == "replaced")
    lease.release()


def test_beats_are_written_down(private) -> None:
    times = iter([100.0, 101.0, 130.0])
    lease = Lease(private, clock=lambda: next(times))
    lease.beat()
    assert (read_lease(private)["started"], read_lease(private)["beat"]) == (100.0, 130.0)
    lease.release()


def test_a_process_that_only_has_the_number_of_a_dead_one_is_no_controller(private) -> None:
    elsewhere(private, beat=0.0, host=socket.gethostname(), pid=1, started=1000.0, ticks=-1)
    assert controller_lives(private) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"host": "x", "pid": "y", "started": 0, "beat": 0}'])
def test_a_broken_lease_file_counts_as_none(private, text) -> None:
    (private / LEASE_FILE).write_text(text)
    assert read_lease(private) is None
    Lease(private).release()
