"""Many simulated workers that wait and report, asynchronously, against a service in a process of its own:
WORKERS. The last line is the answer.
"""

import json
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.bench import wish
from service.databases import empty_schema
from service.load import live
from service.test_service_restart import Killable

SETTINGS = {"start": 0.1, "accuracy": 0.001, "mode": "brief"}


def main(number: int) -> None:
    """Measure, and print."""
    server = os.environ.get("CAF_POSTGRESQL_URL", "")
    with (
        tempfile.TemporaryDirectory() as folder,
        empty_schema(server) if server else nullcontext("") as database,
    ):
        service = Killable(Path(folder), database)
        service.start()
        try:
            print(json.dumps(_measured(service, number)))
        finally:
            service.close()


def _measured(service: Killable, number: int) -> dict[str, Any]:
    ada, robot = service.patient(service.ada), service.patient(service.robot)
    calibration = ada.post("/calibrations", wish(workers=number, settings=SETTINGS), 201)["id"]
    tokens = robot.post(f"/agent/{calibration}/tokens", {"workers": list(range(number))})["tokens"]
    process, ours = psutil.Process(service.pid), psutil.Process()
    before, begin = (_cpu(process), _cpu(ours)), time.monotonic()
    workers = live(service.port, tokens)
    seconds, after = time.monotonic() - begin, (_cpu(process), _cpu(ours))
    memory = process.memory_info().rss
    told = ada.get(f"/calibrations/{calibration}")
    steps = told["steps"]
    began = {one["serial"]: one["began"] for one in steps}
    delays = sorted(when - began[serial] for one in workers for serial, when in one.heard if serial > 1)
    statuses = [status for one in workers for status in one.statuses]
    # Every worker reports every step once, and the update of every step uses every worker's result.
    wrong = sum(one.statuses != ["counted"] * len(steps) for one in workers)
    wrong += sum(abs(one["used"] - number) + one["late"] for one in steps)
    for error in sorted({error for one in workers for error in one.errors})[:10]:
        print(error, file=sys.stderr)
    assert told["state"] == "finished", told["message"]
    return {
        "steps": len(steps),
        "seconds": seconds,
        "counted": statuses.count("counted"),
        "wrong": wrong,
        "errors": sum(len(one.errors) for one in workers),
        "median": delays[len(delays) // 2],
        "p99": delays[len(delays) * 99 // 100],
        "slowest": delays[-1],
        "reporting": sum(one["quorum_at"] - one["began"] for one in steps[1:]) / (len(steps) - 1),
        "bytes": memory,
        "cpu": (after[0] - before[0]) / len(statuses),
        "load_cpu": (after[1] - before[1]) / len(statuses),
    }


def _cpu(process: psutil.Process) -> float:
    """Processor time, without what its children spent [s]."""
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main(int(sys.argv[1]))
