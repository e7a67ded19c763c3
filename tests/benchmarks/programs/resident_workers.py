"""A service in a process of its own, its agent, and real workers on this machine: WORKERS STEPS.

The steps are trivial, so that what is measured is what the service adds: telling the workers, taking their
results, executing the update function in a process of its own. The last line is the answer.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

TESTS = Path(__file__).parents[2]
sys.path.insert(0, str(TESTS))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))

from service.rig import ServiceProcess, worker_pids  # noqa: E402 - its folder has to be on the path


def main(workers: int, steps: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        service = ServiceProcess.make(Path(folder) / "service")
        service.start()
        try:
            with service.client() as client:
                # One phase of one stage takes all the steps.
                more = {"start": {"stage": "first"}, "stop": {"stage": "first"}, "quorum": 1.0}
                begin = time.time()
                number = client.create_calibration(
                    "toy", workers=workers, settings={"rounds": steps}, **more
                ).id
                status = client.status(number)
                memory, each = 0, 0.0
                for status in client.watch(number):
                    if status["serial"] >= steps - 1 and not memory:
                        memory = psutil.Process(service.pid).memory_info().rss
                        home = service.data / "agent" / "calibrations" / str(number)
                        sizes = [psutil.Process(pid).memory_info().rss for pid in worker_pids(home).values()]
                        each = sum(sizes) / max(len(sizes), 1)
        finally:
            service.stop()
    assert status["state"] == "finished", status["message"]
    told = status["steps"]
    assert [one["used"] for one in told] == [workers] * steps
    answer = {
        "workers": workers,
        "first": told[0]["quorum_at"] - begin,
        "step": (told[-1]["ended"] - told[1]["began"]) / (steps - 1),
        "reporting": sum(one["quorum_at"] - one["began"] for one in told[1:]) / (steps - 1),
        "service_bytes": memory,
        "worker_bytes": each,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
