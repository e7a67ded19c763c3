"""Cancels a job of some subjobs when all execute, as: cancelling.py BACKEND FOLDER TASKS."""

import sys
from pathlib import Path

from caf_core import ArgumentsGenerator, ArgumentsSplitter, Job, range_arguments
from caf_core.plugins.registry import Registry
from caf_core.testing.bench import wait_until

BACKEND, FOLDER, TASKS = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
SHELL = 'echo $$ > "$0/counts/$1"; exec sleep 300'


def all_execute(job):
    """Whether every task has told its process."""
    job.update_status()
    return sum(path.stat().st_size > 0 for path in (FOLDER / "counts").iterdir()) == TASKS


def main():
    """Cancel, and tell how each subjob ended."""
    job = Job("sleepers", cmd=["sh", "-c", SHELL, FOLDER], working_dir=FOLDER / "job")
    job.splitter = ArgumentsSplitter(arguments_generator=ArgumentsGenerator(range_arguments, 0, TASKS, 1))
    backend = Registry.load().backend(BACKEND)()
    backend.submit(job)
    wait_until(lambda: all_execute(job), 100, "all tasks execute")
    job.cancel()
    if not backend.join(100):
        sys.exit("the cancelled job does not end")
    for subjob in job.subjobs.values():
        print(subjob.status, subjob.result.failure)


if __name__ == "__main__":
    main()
