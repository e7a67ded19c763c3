"""A restart: ``restart.py prepare|resume DIRECTORY TASKS``.

``prepare`` leaves behind what a killed controller does.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from bench import Bench, Instant, answer, scratch

from caf_core.control.store import FILE_NAME
from caf_core.jobs.ledger import TaskState

RECORD = {
    "schema": 1,
    "attempt": 1,
    "host": "node",
    "pid": 1000,
    "started": 1.0,
    "ended": 2.0,
    "exit_code": 0,
    "signal": None,
    "failure": None,
    "message": "",
    "peak_memory_mb": 100.0,
    "cpu_seconds": 1.0,
    "outputs": ["runs.json"],
    "leftovers": 0,
}


def prepare(folder, count):
    """Submit everything, and let every second task end when nobody looks."""
    backend = Instant()
    bench = Bench(folder, backend, scan_interval=1e9)
    bench.submit(count, argv=("true",))
    bench.pump(lambda: bench.status().counts.get(TaskState.SUBMITTED) == count)
    bench.close()
    (submission,) = (Path(folder) / "job" / "submissions").iterdir()
    for position in range(0, count, 2):
        own = {"position": position, "task": position, "scheduler_id": f"{submission.name}.{position}"}
        record = {**RECORD, "token": submission.name, **own}
        (submission / "records" / f"{position}.json").write_text(json.dumps(record))
    answer(prepared=count)


def resume(folder, count):
    """Go on, from a copy of the checkpoint, so that it can be measured again."""
    copy = scratch()
    shutil.copy(Path(folder) / FILE_NAME, copy)
    begin = time.perf_counter()
    bench = Bench(folder, Instant(), checkpoint=copy)
    if not bench.service.resume(bench.request):
        raise SystemExit("there is nothing to resume")
    ended = (count + 1) // 2

    def known():
        counts = bench.status().counts
        return counts.get(TaskState.COMPLETED) == ended and counts.get(TaskState.RUNNING) == count - ended

    bench.pump(known)
    answer(seconds=time.perf_counter() - begin)
    bench.close()


{"prepare": prepare, "resume": resume}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
