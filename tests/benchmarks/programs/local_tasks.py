"""A job on Local: ``local_tasks.py true TASKS SLOTS SCRIPT`` or ``local_tasks.py python TASKS SLOTS``."""

import resource
import sys
import time
from pathlib import Path

import attrs
from bench import Bench, answer, scratch

from caf_core.calibration.collector import RunSelection
from caf_core.calibration.execution import CollectKit, collect, dotted
from caf_core.control.context import doors_of
from caf_core.control.preloading import basic_preloads
from caf_core.jobs.residence import Residence
from caf_core.jobs.task import Call
from caf_core.plugins.registry import Registry
from caf_local import Local

PRELOAD = ("uproot", "hist", "iminuit")


def collector(context):
    import hist  # noqa: F401 - as collectors do
    import iminuit  # noqa: F401
    import uproot  # noqa: F401

    from caf_core import ExpRun

    context.put(ExpRun(1, 1), 1.0, entries=1)


def python_call(folder):
    """The call that a calibration makes of a Python collector."""
    kit = folder / "kit.pickle"
    kit.write_bytes(CollectKit(collector, {}, "benchmark", "collection").pack())
    registry = Registry.load()
    arguments = {
        "kit": str(kit),
        "selection": RunSelection().to_json(),
        "iteration": 0,
        "chain": [],
        "doors": attrs.asdict(doors_of(registry)),
    }
    return Call(dotted(collect), arguments, preload=(*basic_preloads(registry), *PRELOAD))


def cpu():
    """Processor time of this process so far [s]."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def execute(folder, count, slots, residence, **task):
    """Submit a job, wait for its end, and make sure that all went well."""
    folder.mkdir()
    bench = Bench(folder, Local(slots, residence=residence))
    bench.submit(count, **task)
    bench.pump(lambda: bench.status().ended)
    if not bench.status().success:
        raise SystemExit(f"tasks failed: {bench.status()}")
    return bench


def main(kind, count, slots, script=""):
    """Measure."""
    name = scratch()
    folder = Path(name)
    residence = Residence(folder / "resident")
    open_benches, first = [], 0.0
    if kind == "python":
        task = {"call": python_call(folder)}
        begin = time.perf_counter()
        open_benches.append(execute(folder / "first", 1, slots, residence, **task))
        first = time.perf_counter() - begin
    else:
        task = {"argv": ("bash", script)}
    begin, used = time.perf_counter(), cpu()
    open_benches.append(execute(folder / "all", count, slots, residence, **task))
    seconds, used = time.perf_counter() - begin, cpu() - used
    for bench in open_benches:
        bench.close()
    answer(seconds=seconds, cpu=used, first=first)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
