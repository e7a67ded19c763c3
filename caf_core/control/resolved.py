"""A calibration that is ready to be carried out: names have become classes, and defaults values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define, frozen

from caf_core.calibration.algorithm import Algorithm
from caf_core.calibration.calibration import Calibration, CalibrationBase
from caf_core.calibration.collection import Collection, FileSelection
from caf_core.calibration.collector import RunSelection
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.control.outstanding import EXECUTIONS
from caf_core.home import given_path
from caf_core.iov import IoV
from caf_core.jobs.splitters import SubjobSplitter
from caf_core.jobs.task import Resources


@frozen
class ResolvedCollection:
    """A collection that is ready to be carried out; ``iovs`` has those of its files that are known."""

    name: str
    collection: Collection
    files: FileSelection
    splitter: SubjobSplitter
    chain: tuple[str, ...]
    iovs: Mapping[str, IoV] = attrs.field(factory=dict)


@frozen
class ResolvedAlgorithm:
    """An algorithm with its strategy, and what its tasks need; the parameters of the two are told apart."""

    index: int
    algorithm: Algorithm
    strategy: AlgorithmStrategy
    params: Mapping[str, Any]
    resources: Resources

    @property
    def name(self) -> str:
        """Unique in its calibration."""
        return self.algorithm.name


@define(eq=False)
class Resolved:
    """A calibration that is ready to be carried out.

    Args:
        calibration: What the user wrote.
        output_dir: Its own folder.
        collections: In the user's order.
        algorithms: In the order of execution.
        selection: Which runs are wanted.
        nearest: What it depends on, directly or not, nearest first.
        chain: URLs of the user's databases for the algorithms, in the order of search.
        backend: Name of its backend, for the job service.
        algorithm_backend: Likewise of the one of its algorithms.
        settings: Every default filled in.
        runner: Makes its runner.
        prints: Fingerprints of its parts that were computed already; nothing that they stand for changes.
    """

    calibration: CalibrationBase
    output_dir: Path
    nearest: tuple[str, ...]
    settings: Mapping[str, Any]
    collections: tuple[ResolvedCollection, ...] = ()
    algorithms: tuple[ResolvedAlgorithm, ...] = ()
    selection: RunSelection = attrs.field(factory=RunSelection)
    chain: tuple[str, ...] = ()
    backend: str = ""
    algorithm_backend: str = EXECUTIONS
    runner: Any = None
    prints: dict[str, str] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        """Unique in the CAF."""
        return self.calibration.name

    @property
    def own(self) -> bool:
        """Whether it is a user's own ``CalibrationBase``."""
        return not isinstance(self.calibration, Calibration)

    @property
    def final_database(self) -> Path:
        """Where its constants lie once it has completed."""
        own = self.calibration.output_database_dir
        return given_path(own) if own is not None else self.output_dir / "outputdb"

    def iteration_dir(self, iteration: int) -> Path:
        """The folder of an iteration."""
        return self.output_dir / str(iteration)

    def collector_dir(self, iteration: int) -> Path:
        """Where the collectors of an iteration leave their output."""
        return self.iteration_dir(iteration) / "collector_output"

    def index_path(self, iteration: int) -> Path:
        """The index of what they left."""
        return self.collector_dir(iteration) / "index.json"

    def iteration_database(self, iteration: int) -> Path:
        """Where an iteration's constants are committed."""
        return self.iteration_dir(iteration) / "algorithm_output" / "outputdb"
