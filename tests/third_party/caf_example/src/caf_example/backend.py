"""Every task a process of its own, started at once: a small backend that finds its tasks again."""

import json
import shlex
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path

import psutil

from caf_core.errors import SubmissionError
from caf_core.jobs.backend import Backend, Capabilities, Report, SchedulerState


class ExampleBackend(Backend):
    """Starts processes and keeps book in a folder, so that another instance finds what this one started.

    Args:
        spool: The folder.
    """

    def __init__(self, spool=None, *, backend_args=None):
        super().__init__(backend_args=backend_args)
        self.spool = Path(spool or tempfile.mkdtemp(prefix="caf-example-"))

    def capabilities(self):
        """Whatever the machine can take."""
        return Capabilities(
            poll_interval=timedelta(seconds=0.2), grace=timedelta(seconds=2), find_again_after=None
        )

    def start(self, submission):
        """One shell starts all the processes; they outlive it, and us."""
        task = shlex.join(submission.argv("")[:-1])
        one = f"{task} $n </dev/null >/dev/null 2>&1 & echo $!"
        command = ["/bin/sh", "-c", f"n=0; while [ $n -lt {submission.size} ]; do {one}; n=$((n+1)); done"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True)
        if done.returncode:
            code, output = done.returncode, done.stderr
            raise SubmissionError("the shell failed", command=command, returncode=code, output=output)
        ids = [_identity(int(pid)) for pid in done.stdout.split()]
        self.spool.mkdir(parents=True, exist_ok=True)
        (self.spool / submission.token).write_text(json.dumps(ids))
        return ids

    def poll(self, ids):
        """Who lives, executes; of the others nothing is known."""
        return {one: Report(SchedulerState.RUNNING) for one in ids if _process(one)}

    def cancel(self, ids):
        """The script passes the signal on."""
        for process in filter(None, map(_process, ids)):
            process.terminate()

    def find(self, token):
        """What is in the book."""
        book = self.spool / token
        return dict(enumerate(json.loads(book.read_text()))) if book.exists() else {}


def _identity(pid):
    """A process and when it began, for numbers of processes come again."""
    try:
        return f"{pid}@{psutil.Process(pid).create_time()}"
    except psutil.NoSuchProcess:
        return f"{pid}@ended"


def _process(identity):
    """The process of an id, if it lives."""
    pid, at, _ = identity.partition("@")
    if not at or _identity(int(pid)) != identity or identity.endswith("@ended"):
        return None
    try:
        process = psutil.Process(int(pid))
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None
