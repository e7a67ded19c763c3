"""A job service with a checkpoint, as a controller has it, and a scheduler that costs nothing."""

import json
import tempfile
from datetime import timedelta
from pathlib import Path

from caf_core.clock import steady
from caf_core.control.store.ledger import StoreLedger
from caf_core.control.store.store import CheckpointStore
from caf_core.jobs.backend import Backend, Capabilities, Report, SchedulerState
from caf_core.jobs.inbox import Inbox
from caf_core.jobs.service import JobRequest, JobService, Tick
from caf_core.jobs.task import TaskSpec

KEY = "benchmark/0/collection"


class Instant(Backend):
    """A scheduler that answers at once: its tasks execute for ever."""

    def __init__(self, array_limit=None):
        super().__init__()
        self.array_limit = array_limit
        self.commands = 0
        self.polls = 0

    def capabilities(self):
        """Polled every minute, as schedulers are."""
        return Capabilities(array_limit=self.array_limit, poll_interval=timedelta(seconds=60))

    def start(self, submission):
        """One command."""
        self.commands += 1
        return [f"{submission.token}.{position}" for position in range(submission.size)]

    def poll(self, ids):
        """All are executing."""
        self.polls += 1
        return dict.fromkeys(ids, Report(SchedulerState.RUNNING, host="node"))

    def cancel(self, ids):
        """Nothing to do."""

    def find(self, token):
        """Nobody asks."""
        return {}


class Bench:
    """A job service on one backend, pumped as the controller does."""

    def __init__(self, directory, backend, clock=steady, checkpoint=None, **settings):
        self.directory = Path(directory)
        self.clock = clock
        self.inbox = Inbox()
        self.store = CheckpointStore(Path(checkpoint or directory))
        self.commits = 0
        self.service = JobService(StoreLedger(self.store), self.inbox.put, clock=clock, **settings)
        self.service.add_backend("backend", backend)

    @property
    def request(self):
        """The one job."""
        return JobRequest(key=KEY, name="benchmark", directory=self.directory / "job", backend="backend")

    def submit(self, count, **task):
        """Submit a job of equal tasks."""
        directory = self.directory / "job"
        argv = task.pop("argv", ())
        specs = (
            TaskSpec(directory / str(n), argv=(*argv, str(n)) if argv else (), **task) for n in range(count)
        )
        self.service.submit(self.request, specs)

    def pump(self, until):
        """Handle events until a condition holds."""
        while not until():
            deadline = self.service.next_deadline()
            wait = 60.0 if deadline is None else deadline - self.clock()
            self.service.handle(self.inbox.get(wait) or Tick(), self.clock())

    def status(self):
        """Where the job is."""
        return self.service.status(KEY)

    def tasks(self):
        """What is known of its tasks."""
        return self.service.tasks(KEY)

    def count_commits(self):
        """Count the transactions of the checkpoint from now on."""
        self.commits = 0

        def count(statement):
            self.commits += statement.startswith("COMMIT")

        self.store.database.connection().set_trace_callback(count)

    def close(self):
        """Let go of everything."""
        self.service.close()
        self.store.close()


def scratch():
    """A new folder; the benchmark removes it when all is measured.

    ext4 looks at every inode that was deleted in the last minutes before it makes a new file, which then
    takes ten times as long as usual.
    """
    return Path(tempfile.mkdtemp())


def answer(**values):
    """What the benchmark reads: the last line."""
    print(json.dumps(values))
