"""A restart: ``restart.py prepare|resume DIRECTORY TASKS``.

``prepare`` leaves behind what a killed controller does.
"""

import json
import sys
import time
from pathlib import Path

from bench import KEY, Bench, Instant, answer

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
    """Go on; what is read is not written, so that it can be measured again."""
    begin = time.perf_counter()
    backend = Instant()
    bench = Bench(folder, backend, scan_interval=0.0)
    bench.store.database.execute_sql("BEGIN")
    ended = (count + 1) // 2
    if not bench.service.resume(bench.request):
        raise SystemExit("there is nothing to resume")

    def known():
        counts = bench.service.status(KEY).counts
        return counts.get(TaskState.COMPLETED) == ended and counts.get(TaskState.RUNNING) == count - ended

    bench.pump(known)
    seconds = time.perf_counter() - begin
    bench.service.close()
    bench.store.database.rollback()
    answer(seconds=seconds)


{"prepare": prepare, "resume": resume}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
