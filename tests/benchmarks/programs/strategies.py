"""Decisions of the strategies: ``strategies.py RUNS ROUNDS``."""

import itertools
import sys
import time
from itertools import count

from bench import answer

from caf_core.calibration.plans import Commit, Execute, Executed, FindBoundaries, Parts, Past, Result
from caf_core.iov import ExpRun
from caf_strategies import SequentialBoundaries, SequentialRunByRun, SimpleRunByRun, SingleIOV

ALL_WELL, HALF = (Result.OK,), (Result.OK, Result.NOT_ENOUGH_DATA)
CASES = {
    "SingleIOV": (SingleIOV, ALL_WELL),
    "SequentialRunByRun": (SequentialRunByRun, ALL_WELL),
    "SequentialRunByRun, every other execution too few data": (SequentialRunByRun, HALF),
    "SequentialBoundaries": (SequentialBoundaries, ALL_WELL),
    "SimpleRunByRun": (SimpleRunByRun, ALL_WELL),
}


def results(*cycle):
    """Answers with keys, these results in turn."""
    return (Executed(str(number), result) for number, result in zip(count(), itertools.cycle(cycle)))


def carry_out(plan, answers):
    """Answer a plan's requests at no cost; returns its verdict, and how many requests there were."""
    reply, decisions = None, 0
    while True:
        try:
            request = plan.send(reply)
        except StopIteration as end:
            return end.value, decisions
        decisions += 1
        if isinstance(request, Execute):
            reply = next(answers)
        elif isinstance(request, FindBoundaries):
            reply = request.runs[::2]
        elif isinstance(request, Parts):
            parts = [carry_out(part, answers) for part in request.plans]
            reply, decisions = tuple(verdict for verdict, _ in parts), decisions + sum(n for _, n in parts)
        elif isinstance(request, Commit):
            reply = None


def main(size, rounds):
    """Measure; the runs are of two experiments."""
    runs = tuple(ExpRun(1 + (number > size // 2), number) for number in range(1, size + 1))
    found = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, (kind, cycle) in CASES.items():
            begin = time.perf_counter()
            _, decisions = carry_out(kind().plan(runs, Past()), results(*cycle))
            found[name].append(1e6 * (time.perf_counter() - begin) / max(decisions, size))
    answer(**found)


main(int(sys.argv[1]), int(sys.argv[2]))
