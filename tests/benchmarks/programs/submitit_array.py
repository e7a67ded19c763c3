"""The peer: ``submitit_array.py TASKS`` hands Python functions to Slurm as one array, held there."""

import subprocess
import sys
import time

from bench import answer, scratch


def nothing(number):
    """What a task does."""


def main(count):
    """Measure."""
    try:
        import submitit
    except ImportError:
        answer(missing="submitit is not installed")
        return
    executor = submitit.SlurmExecutor(folder=scratch())
    executor.update_parameters(time=5, array_parallelism=count, additional_parameters={"hold": True})
    begin = time.perf_counter()
    jobs = executor.map_array(nothing, range(count))
    answer(seconds=time.perf_counter() - begin)
    subprocess.run(["scancel", jobs[0].job_id.partition("_")[0]], check=True, timeout=60)


main(int(sys.argv[1]))
