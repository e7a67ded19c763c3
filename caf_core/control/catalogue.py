"""The calibrations of a process, and where each looks for constants."""

from collections.abc import Iterable, Mapping

from attrs import define

from caf_core.control.resolved import Resolved


@define
class Catalogue:
    """The resolved calibrations of a run, by name."""

    calibrations: Mapping[str, Resolved]

    def __getitem__(self, name: str) -> Resolved:
        return self.calibrations[name]

    def inherited(self, one: Resolved) -> list[str]:
        """The databases of what a calibration depends on, nearest first."""
        finals = [self.calibrations[name].final_database for name in one.nearest]
        return [str(path) for path in finals if (path / "database.txt").exists()]

    def collector_chain(self, one: Resolved, own: Iterable[str], iteration: int) -> list[str]:
        """Where collectors look for constants, in the order of search."""
        previous = [str(one.iteration_database(iteration - 1))] if iteration else []
        return [*previous, *self.inherited(one), *own]

    def algorithm_chain(self, one: Resolved, iteration: int, algorithm: int) -> list[str]:
        """Where an algorithm looks: earlier algorithms of this iteration first, then as collectors do."""
        current = [str(one.iteration_database(iteration))] if algorithm else []
        return [*current, *self.collector_chain(one, one.chain, iteration)]
