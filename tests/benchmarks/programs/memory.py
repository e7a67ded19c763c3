"""Memory of tracked tasks: ``memory.py TASKS``."""

import gc
import os
import sys
from pathlib import Path

from bench import Bench, Instant, answer, scratch

from caf_core.jobs.ledger import TaskState


def resident_bytes():
    """Memory of this process that is really there [bytes]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(count):
    """Measure."""
    folder = scratch()
    backend = Instant(array_limit=10_000)
    now = [1000.0]
    bench = Bench(folder, backend, clock=lambda: now[0], scan_interval=1e9)
    gc.collect()
    before = resident_bytes()
    files = tuple(f"root://storage.example.org//store/data/file-{number}.root" for number in range(10))
    bench.submit(count, argv=("true",), input_files=files)
    bench.pump(lambda: backend.commands * 10_000 >= count and bench.inbox.empty())
    now[0] += 100  # it is time to poll
    bench.pump(lambda: bench.status().counts.get(TaskState.RUNNING) == count)
    gc.collect()
    answer(bytes=max(0, resident_bytes() - before))
    bench.close()


main(int(sys.argv[1]))
