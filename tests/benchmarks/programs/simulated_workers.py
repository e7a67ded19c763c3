"""Many simulated workers that wait and report, asynchronously, against a service in a process of its own:
WORKERS. The last line is the answer.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.bench import wish
from service.load import crew
from service.test_service_restart import Killable


def main(number: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        service = Killable(Path(folder), os.environ.get("CAF_POSTGRESQL_URL", ""))
        service.start()
        try:
            ada, robot = service.patient(service.ada), service.patient(service.robot)
            wanted = wish(workers=number, settings={"start": 0.1, "accuracy": 0.001})
            calibration = ada.post("/calibrations", wanted, 201)["id"]
            tokens = robot.post(f"/agent/{calibration}/tokens", {"workers": list(range(number))})["tokens"]
            begin = time.monotonic()
            workers = asyncio.run(crew(service, tokens))
            seconds = time.monotonic() - begin
            told = ada.get(f"/calibrations/{calibration}")
            memory = psutil.Process(service.pid).memory_info().rss
        finally:
            service.close()
    began = {one["serial"]: one["began"] for one in told["steps"]}
    delays = sorted(when - began[serial] for one in workers for serial, when in one.heard if serial > 1)
    assert told["state"] == "finished", told["message"]
    answer = {
        "steps": len(began),
        "seconds": seconds,
        "counted": sum(one.counted for one in workers),
        "median": delays[len(delays) // 2],
        "p99": delays[len(delays) * 99 // 100],
        "slowest": delays[-1],
        "bytes": memory,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(int(sys.argv[1]))
