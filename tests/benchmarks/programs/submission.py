"""Submitting to a scheduler: ``submission.py TASKS ARRAY_LIMIT``."""

import sys
import time

from bench import Bench, Instant, answer, scratch

from caf_core.jobs.ledger import TaskState


def main(count, limit):
    """Measure."""
    folder = scratch()
    backend = Instant(array_limit=limit)
    bench = Bench(folder, backend)
    bench.count_commits()
    begin = time.perf_counter()
    bench.submit(count, argv=("true",))
    bench.pump(lambda: bench.status().counts.get(TaskState.SUBMITTED) == count)
    seconds = time.perf_counter() - begin
    answer(seconds=seconds, commands=backend.commands, commits=bench.commits)
    bench.close()


main(int(sys.argv[1]), int(sys.argv[2]))
