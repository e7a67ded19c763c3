"""What is tried before anything is submitted: sending objects to other processes, opening databases."""

from caf_core.calibration.collector import CommandCollector
from caf_core.calibration.execution import CollectKit
from caf_core.calibration.loaded_algorithm import AlgorithmKit
from caf_core.conditions.chain import Chain
from caf_core.control.resolved import Resolved
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.plugins.registry import Registry


def try_out(one: Resolved, registry: Registry) -> None:
    """Find out now what would otherwise fail after hours of collecting.

    Raises:
        ConfigurationError: If something cannot be pickled, or a database cannot be opened.
    """
    for part in one.collections:
        if not isinstance(part.collection.collector, CommandCollector):
            CollectKit(part.collection.collector, part.collection.params, one.name, part.name).pack()
    for algorithm in one.algorithms:
        AlgorithmKit(algorithm.algorithm, algorithm.params, algorithm.strategy, one.name).pack()
    urls = dict.fromkeys((*one.chain, *(url for part in one.collections for url in part.chain)))
    if urls:
        try:
            Chain.from_description(list(urls), registry.conditions_openers() or None)
        except PayloadError as error:
            raise ConfigurationError(f"calibration {one.name!r}: {error}") from error
