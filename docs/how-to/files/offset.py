"""A small calibration: the time offset of every run."""

from pathlib import Path
from statistics import fmean, stdev

from caf_core import Calibration, ExpRun, Metric, Outcome, Result


class Times:
    """Collects the times of all hits, with the offset of the previous iteration taken off."""

    def collect(self, context):
        """Read the files of one task."""
        times = {}
        for name in context.input_files:
            for line in Path(name).read_text().splitlines():
                experiment, number, time = line.split()
                run = ExpRun(int(experiment), int(number))
                offset = context.conditions.get("offset", run, 0.0)
                times.setdefault(run, []).append(float(time) - offset)
        for run, values in times.items():
            context.put(run, values, entries=len(values))


class MeanOffset:
    """Takes the mean time of the hits as their offset."""

    def calibrate(self, context):
        """Determine the offset of some runs."""
        times = context.data().merged()
        if len(times) < context.params.get("min_hits", 10):
            return Outcome(Result.NOT_ENOUGH_DATA, message=f"{len(times)} hits")
        change = fmean(times)
        before = context.conditions.get("offset", context.runs[0], 0.0)
        metric = Metric(change, tolerance=0.1 * stdev(times) / len(times) ** 0.5)
        result = Result.OK if abs(change) < metric.tolerance else Result.ITERATE
        return Outcome(result, {"offset": before + change}, {"change": metric})


def offset_calibration(files):
    """The calibration, for any input files."""
    calibration = Calibration("offset", collector=Times(), algorithms=[MeanOffset()], input_files=files)
    calibration.strategies = "SequentialRunByRun"
    return calibration
