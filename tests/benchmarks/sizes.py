"""How much is measured."""

from attrs import frozen


@frozen
class Sizes:
    """Numbers of everything.

    Args:
        rounds: Repetitions of what takes a second or less.
        long_rounds: Repetitions of what takes longer.
        iterations: Iterations of the longer empty calibration.
        many: Tasks of the calibration whose checkpoint ``caf status`` reads.
        few_tasks: Tasks of ``true``, when all tools take part.
        many_tasks: Tasks of ``true``, when the fast tools take part.
        python_tasks: Tasks of a Python collector.
        tracked: Tasks that are held in memory.
        restarts: Numbers of tasks of the restarts.
        polled: States of one poll.
        runs: Runs a strategy decides about.
        submitted: Numbers of tasks that are submitted to a scheduler.
        followed: Tasks of the job whose end is awaited on a real scheduler.
        whole: Subjobs of the calibration there.
        crew: Resident workers on this machine.
        steps: Steps that they do.
        simulated: Simulated resident workers.
        executions: Runs of the calibrations that execute an algorithm for each of them.
    """

    rounds: int = 7
    long_rounds: int = 3
    iterations: int = 11
    many: int = 10_000
    few_tasks: int = 1_000
    many_tasks: int = 10_000
    python_tasks: int = 300
    tracked: int = 100_000
    restarts: tuple[int, ...] = (10_000, 100_000)
    polled: int = 10_000
    runs: int = 10_000
    submitted: tuple[int, ...] = (1_000, 10_000)
    followed: int = 20
    whole: int = 200
    crew: int = 100
    steps: int = 12
    simulated: int = 1_000
    executions: tuple[int, ...] = (1_000, 10_000, 100_000)

    def rounds_of(self, runs: int) -> int:
        """Repetitions of a calibration of so many runs."""
        return self.long_rounds if runs < 100_000 else 1


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    long_rounds=1,
    iterations=2,
    many=20,
    few_tasks=20,
    many_tasks=40,
    python_tasks=4,
    tracked=1_000,
    restarts=(20, 40),
    polled=100,
    runs=50,
    submitted=(20, 40),
    followed=2,
    whole=4,
    crew=2,
    steps=3,
    simulated=10,
    executions=(20, 40),
)
