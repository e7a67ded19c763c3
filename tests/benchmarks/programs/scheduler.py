"""caf on a real batch system: ``scheduler.py submit|follow BACKEND TASKS``."""

import sys
import time

from bench import Bench, answer, scratch

from caf_core.jobs.ledger import TaskState
from caf_core.plugins.registry import Registry

HELD = {
    "slurm": {"extra_args": ["--hold"]},
    "htcondor": {"requirements": "false", "global_job_limit": -1},
}
"""What keeps tasks from starting, so that only their submission costs something."""


def watched(name, **backend_args):
    """A backend that notes how long its commands take, and which of them submitted."""

    class Watched(Registry.load().backend(name)):
        commands: list[tuple[bool, float]] = []  # noqa: RUF012 - there is one such class
        ids: list[str] = []  # noqa: RUF012

        def _execute(self, command, lock):
            found = super()._execute(command, lock)
            self.commands.append((command.submits, found.seconds))
            return found

        def start(self, submission):
            found = super().start(submission)
            self.ids += found
            return found

    return Watched(backend_args=backend_args)


def submit(name, count):
    """How long it takes until all are submitted, and how much of it is the scheduler's."""
    backend = watched(name, **HELD[name])
    begin = time.perf_counter()
    backend.capabilities()
    asked = time.perf_counter() - begin
    bench = Bench(scratch(), backend)
    begin = time.perf_counter()
    bench.submit(count, argv=("true",))
    bench.pump(lambda: bench.status().counts.get(TaskState.SUBMITTED) == count)
    seconds = time.perf_counter() - begin
    theirs = [seconds for submits, seconds in backend.commands if submits]
    answer(asked=asked, commands=len(theirs), theirs=sum(theirs), ours=seconds - sum(theirs))
    bench.close()
    backend.cancel(backend.ids)


def follow(name, count):
    """How long after the end of its last task a job is known to have ended."""
    folder = scratch()
    bench = Bench(folder, watched(name))
    bench.submit(count, argv=("true",))
    bench.pump(lambda: bench.status().ended)
    known = time.time()
    ends = [task.ended for task in bench.tasks()]
    if not bench.status().success or len(ends) != count:
        raise SystemExit(f"tasks failed: {bench.status()}")
    answer(seconds=known - max(ends))
    bench.close()


if __name__ == "__main__":
    {"submit": submit, "follow": follow}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
