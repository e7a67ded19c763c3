"""Other ways to execute many commands on one machine: ``rivals.py NAME TASKS SLOTS SCRIPT``."""

import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import answer


def command(number):
    """One task."""
    subprocess.run(["bash", SCRIPT, str(number)], check=True)


def pool(count, slots):
    """What the CAF that is replaced does."""
    begin = time.perf_counter()
    with multiprocessing.Pool(slots) as processes:
        processes.map(command, range(count), chunksize=1)
    return time.perf_counter() - begin


def dask(count, slots):
    """A cluster on this machine, one task a command."""
    from distributed import Client, LocalCluster

    settings = {"n_workers": slots, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 40}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        client.submit(command, -1).result()
        begin = time.perf_counter()
        client.gather(client.map(command, range(count), pure=False))
        return time.perf_counter() - begin


def psij(count, slots):
    """Its executor for this machine, which starts whatever it is given at once, and keeps no slots."""
    from psij import Job, JobExecutor, JobSpec

    executor = JobExecutor.get_instance("local")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        jobs = []
        for number in range(count):
            job = Job(JobSpec(executable="bash", arguments=[SCRIPT, str(number)], directory=Path(folder)))
            executor.submit(job)
            jobs.append(job)
        for job in jobs:
            job.wait()
        return time.perf_counter() - begin


RIVALS = {"multiprocessing.Pool": pool, "dask": dask, "psij-python": psij}

SCRIPT = sys.argv[4]

if __name__ == "__main__":
    try:
        answer(seconds=RIVALS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3])))
    except ModuleNotFoundError as error:
        reason = f"not installed (no module {error.name}); the dependency group `benchmark` brings it"
        answer(missing=f"{sys.argv[1]} is {reason}")
