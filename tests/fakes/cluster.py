"""A fake scheduler for a test: its commands in a folder, its settings, and what a test does to it.

    @pytest.fixture
    def cluster(tmp_path):
        with Cluster("fakes.gridengine:GridEngine", tmp_path / "cluster", slots=4) as cluster:
            yield cluster

    def test_something(cluster):
        backend = GridEngine(backend_args={"path_prefix": cluster.path_prefix})
        cluster.faults.fail("qsub", rc=1, stderr="try later")

The state of the scheduler is found by the environment variable ``CAF_FAKE_STATE``, and without it where the
cluster was made, so that the ``path_prefix`` alone suffices.
"""

import contextlib
import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from fakes import engine
from fakes.store import CANCELLED, MEMORY, NODE, Store

TESTS = Path(__file__).parents[1]

_WRAPPER = """\
#!/bin/sh
CAF_FAKE_STATE=${{CAF_FAKE_STATE:-{state}}}
export CAF_FAKE_STATE
exec {python} -S -E -c {program} "$@"
"""
_PROGRAM = """\
import sys
sys.path.insert(0, {tests!r})
from fakes.engine import main
main({place!r}, {name!r}, sys.argv[1:])"""


def install(bin_folder, state, place):
    """Write a dialect's commands into a folder, as executable scripts."""
    bin_folder.mkdir(parents=True, exist_ok=True)
    python = shlex.quote(os.path.realpath(sys.executable))
    for name in [*engine.load(place).commands(), "pump"]:
        program = _PROGRAM.format(tests=str(TESTS), place=place, name=name)
        script = bin_folder / name
        text = _WRAPPER.format(state=shlex.quote(str(state)), python=python, program=shlex.quote(program))
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)


class Cluster:
    """A fake scheduler.

    Args:
        place: ``module:Class`` of its dialect.
        folder: A new folder for all that belongs to it.
        settings: See ``store.DEFAULTS`` and the dialect.
    Attributes:
        path_prefix: The folder of its commands.
        environment: What a process needs to use it without a path: ``PATH`` and ``CAF_FAKE_STATE``.
        store: Its state.
        faults: What shall go wrong.
    """

    def __init__(self, place, folder, **settings):
        folder = Path(folder).absolute()
        self.dialect = engine.load(place)
        self.folder = folder
        self.path_prefix = str(folder / "bin")
        install(folder / "bin", folder / "state", place)
        self.store = Store(folder / "state")
        self.environment = {
            "CAF_FAKE_STATE": str(folder / "state"),
            "PATH": f"{self.path_prefix}:{os.environ['PATH']}",
        }
        self.set(**{**self.dialect.settings, **settings})
        self.faults = Faults(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def set(self, **settings):
        """Change settings."""
        with self.store.transaction():
            for name, value in settings.items():
                self.store[name] = value
        self.wake()

    def wake(self):
        """Let waiting jobs start, now that something has changed."""
        if self.store.every("state != 'ended'"):
            subprocess.run([f"{self.path_prefix}/pump"], check=True, timeout=120)

    def run(self, *argv, stdin="", timeout=120, check=True):
        """Execute a command of the scheduler, as a user would; what it prints."""
        done = subprocess.run(
            [f"{self.path_prefix}/{argv[0]}", *argv[1:]],
            input=stdin, capture_output=True, text=True, timeout=timeout, check=check,
        )  # fmt: skip
        return done.stdout

    def calls(self, *commands):
        """The calls so far, of these commands or all: a list of ``[command, argument, ...]``."""
        rows = self.store.sql("SELECT command, args FROM calls ORDER BY id")
        return [[name, *json.loads(args)] for name, args in rows if not commands or name in commands]

    def jobs(self, **columns):
        """All jobs that were ever accepted; see ``store.Job``."""
        where = " AND ".join(f"{name} = ?" for name in columns) or "1"
        return self.store.every(where, *columns.values())

    def job(self, identity):
        """The job with this id."""
        scheduler = self.dialect(self.store)
        return next(job for job in self.jobs() if scheduler.identity(job) == identity)

    # What others do to jobs

    def cancel(self, job):
        """Somebody ends a job."""
        self._do(self.store.cancel, job, CANCELLED)

    def exhaust(self, job, *, whole=True):
        """A running job is killed because it took too much memory, as a whole or but for its first process.

        The kernel takes one process of a control group, and some schedulers then the rest of the job.
        """
        self._do(self.store.cancel, job, MEMORY if whole else "offspring")

    def crash(self, job):
        """The node of a running job dies."""
        self._do(self.store.cancel, job, NODE)

    def hold(self, job, reason="held by the operator"):
        """A waiting job is held."""
        self._do(self.store.hold, job, reason)

    def release(self, job):
        """A held job is released."""
        self._do(self.store.release, job)

    def requeue(self, job):
        """A running job is ended and starts again under its id."""
        self._do(self.store.requeue, job)

    def stop(self, job):
        """A running job is suspended."""
        self._do(self.store.change, job, wish="stop")

    def go_on(self, job):
        """A suspended job goes on."""
        self._do(self.store.change, job, wish="continue")

    def _do(self, method, job, *args, **columns):
        with self.store.transaction():
            (fresh,) = self.store.every("number = ? AND idx = ?", job.number, job.idx)
            if method(fresh, *args, **columns) is False:
                raise AssertionError(f"job {fresh.key} is {fresh.state}")
        self.wake()

    def close(self):
        """End all jobs, and wait until the pump has ended."""
        with self.store.transaction():
            for job in self.store.every("state != 'ended'"):
                self.store.cancel(job, NODE)
            self.store.sql("DELETE FROM moves")
        self.wake()
        if not self._idle(60.0):
            raise AssertionError(f"the fake scheduler in {self.folder} does not end; see state/pump.log")
        self.store.close()
        log = self.folder / "state" / "pump.log"
        if log.exists() and log.read_text():
            raise AssertionError(f"the fake scheduler failed:\n{log.read_text()}")

    def _idle(self, patience):
        until = time.monotonic() + patience
        with contextlib.suppress(FileNotFoundError), (self.folder / "state" / "pump.lock").open("rb") as lock:
            while time.monotonic() < until:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                except BlockingIOError:
                    time.sleep(0.01)
            return False
        return True


class Faults:
    """What goes wrong, now or at the next calls of commands; faults of one command happen one after another.

    ``skip`` lets so many calls pass first; ``times`` is how many are hit, -1 for all until ``clear``.
    """

    def __init__(self, cluster):
        self._cluster = cluster
        self._submits = cluster.dialect.submits
        self._asks = (*cluster.dialect.asks, *cluster.dialect.searches)

    # By command

    def add(self, command, *, skip=0, times=1, **plan):
        """Plan a fault.

        Args:
            command: The name of a command, or ``*``.
            skip: So many calls pass first.
            times: So many are hit.
            plan: ``act=False`` (the command does nothing), ``hang`` [s] (before it answers), ``until`` (a
                path that ends the hanging as soon as it exists), ``rc``, ``stdout``, ``stderr`` (instead of
                its own), ``invalid=True`` (bytes that are no UTF-8 in the middle of its output),
                ``half=True`` (the second half of its output is lost), ``printed=2`` (all is printed twice),
                ``listed=2`` (each job is listed twice), ``copies=2`` (what is submitted is accepted twice),
                ``late`` [s] (what is submitted appears later).
        """
        with self._cluster.store.transaction():
            self._cluster.store.sql(
                "INSERT INTO faults VALUES (NULL, ?, ?, ?, ?)", command, skip, times, json.dumps(plan)
            )

    def clear(self):
        """Nothing goes wrong any more."""
        with self._cluster.store.transaction():
            self._cluster.store.sql("DELETE FROM faults")
        self._cluster.set(down=False, dropped=[], records=None)

    def fail(self, command, rc=1, stderr="", **more):
        """It does nothing, and fails."""
        self.add(command, act=False, rc=rc, stderr=stderr, **more)

    def hang(self, command, **more):
        """It does nothing, and does not end."""
        self.add(command, act=False, hang=engine.FOREVER, **more)

    def garbage(self, command, stdout="\x00%garbage{]\n<", **more):
        """It does nothing, and prints garbage as if all were well."""
        self.add(command, act=False, stdout=stdout, **more)

    def invalid(self, command, **more):
        """It prints some bytes that are no UTF-8 in the middle of its answer."""
        self.add(command, invalid=True, **more)

    # By what the controller wants: the protocol of ``caf_core.testing.batch.Faults``

    def lose_answer(self):
        """The next submission is accepted, but the command dies before it says so."""
        self._each(self._submits, hang=engine.FOREVER)

    def break_answer(self, rc=1, stderr="connection lost"):
        """The next submission is accepted, but the command says that it failed."""
        self._each(self._submits, rc=rc, stdout="", stderr=stderr)

    def accept_late(self, seconds):
        """The next submit command hangs, and is accepted so much later, even if it was killed meanwhile."""
        self._each(self._submits, late=seconds, hang=engine.FOREVER)

    def accept_twice(self):
        """The next submission is accepted twice; the command tells of the second."""
        self._each(self._submits, copies=2)

    def hang_polls(self, times=1):
        """The next questions are not answered."""
        self._each(self._asks, times=times, act=False, hang=engine.FOREVER)

    def fail_polls(self, times=1, rc=1, stderr="communication failure"):
        """The next questions fail."""
        self._each(self._asks, times=times, act=False, rc=rc, stderr=stderr)

    def garble_polls(self, times=1):
        """The next questions are answered by garbage."""
        self._each(self._asks, times=times, act=False, stdout="\x00%garbage{]\n<")

    def cut_polls(self, times=1):
        """The second half of the next answers is lost."""
        self._each(self._asks, times=times, half=True)

    def spoil_polls(self, times=1):
        """The next answers have bytes in the middle that are no UTF-8."""
        self._each(self._asks, times=times, invalid=True)

    def list_twice(self, times=1):
        """The next answers list every job twice."""
        self._each(self._asks, times=times, listed=2)

    def list_nothing(self, times=-1):
        """Listings leave out every job that there is now."""
        self._cluster.set(dropped=[job.key for job in self._cluster.jobs()])

    def delay_records(self, seconds, times=1):
        """The records of the next jobs that start become visible so much later; never if it is ``None``."""
        self._cluster.set(records={"after": seconds, "times": times})

    def down(self):
        """The daemons are down."""
        self._cluster.set(down=True)

    def up(self):
        """They are up again."""
        self._cluster.set(down=False)

    def requeue(self, identity):
        """The scheduler ends a running task and starts it again under its id."""
        self._cluster.requeue(self._cluster.job(identity))

    def crash(self, identity):
        """The node of a running task dies."""
        self._cluster.crash(self._cluster.job(identity))

    def exhaust(self, identity, *, whole=True):
        """A running task is killed because it took too much memory, with what executes it or without."""
        self._cluster.exhaust(self._cluster.job(identity), whole=whole)

    def questions(self):
        """How many questions for states were begun."""
        return len(self._cluster.calls(*self._asks))

    def submissions(self):
        """How many submit commands there were."""
        return len(self._cluster.calls(*self._submits))

    def _each(self, commands, **plan):
        for command in commands:
            self.add(command, **plan)
