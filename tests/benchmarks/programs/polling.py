"""The service's work for one answer of a scheduler: ``polling.py TASKS ROUNDS``."""

import sys
import time

from bench import Bench, Instant, answer, scratch

from caf_core.jobs.ledger import TaskState


class Polled:
    """A job whose scheduler is asked whenever this is called."""

    def __init__(self, folder, count):
        self.backend, self.count, self.now = Instant(), count, 1000.0
        self.bench = Bench(folder, self.backend, clock=lambda: self.now, scan_interval=1e9)
        self.bench.submit(count, argv=("true",))
        self.bench.pump(lambda: self.all_are(TaskState.SUBMITTED))

    def all_are(self, state):
        """Whether all tasks are in a state."""
        return self.bench.status().counts.get(state) == self.count

    def poll(self):
        """Processor time of one answer [ms]."""
        polls, begin = self.backend.polls, time.process_time()
        self.now += 100  # it is time to ask
        self.bench.pump(lambda: self.backend.polls > polls and self.bench.inbox.empty())
        self.now += 1  # and to write down
        self.bench.pump(lambda: self.all_are(TaskState.RUNNING))
        return 1000 * (time.process_time() - begin)


def main(count, rounds):
    """Measure."""
    same, new = [], []
    for _ in range(rounds):
        folder = scratch()
        polled = Polled(folder, count)
        new.append(polled.poll())
        same.append(polled.poll())
        polled.bench.close()
    answer(same=same, new=new)


main(int(sys.argv[1]), int(sys.argv[2]))
