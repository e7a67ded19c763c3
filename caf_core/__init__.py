"""caf runs detector calibrations: collect, calibrate, store constants with their validity, iterate.

The public names are imported when they are first used (PEP 562), so ``import caf_core`` is quick.
"""

from importlib import import_module
from importlib.util import find_spec

TYPE_CHECKING = False  # the real one would import typing, which takes longer than everything else here
if TYPE_CHECKING:
    from typing import Any

    from caf_core.calibration.algorithm import Algorithm as Algorithm
    from caf_core.calibration.algorithm import AlgorithmContext as AlgorithmContext
    from caf_core.calibration.algorithm import Metric as Metric
    from caf_core.calibration.algorithm import Outcome as Outcome
    from caf_core.calibration.algorithm import Result as Result
    from caf_core.calibration.calibration import Calibration as Calibration
    from caf_core.calibration.calibration import CalibrationBase as CalibrationBase
    from caf_core.calibration.collection import Collection as Collection
    from caf_core.calibration.collector import CollectorContext as CollectorContext
    from caf_core.calibration.collector import CommandCollector as CommandCollector
    from caf_core.calibration.convergence import Convergence as Convergence
    from caf_core.calibration.plans import Commit as Commit
    from caf_core.calibration.plans import Execute as Execute
    from caf_core.calibration.plans import Executed as Executed
    from caf_core.calibration.plans import FindBoundaries as FindBoundaries
    from caf_core.calibration.plans import Gap as Gap
    from caf_core.calibration.plans import Parts as Parts
    from caf_core.calibration.plans import Past as Past
    from caf_core.calibration.plans import Plan as Plan
    from caf_core.calibration.plans import Statistics as Statistics
    from caf_core.calibration.plans import Verdict as Verdict
    from caf_core.calibration.runner import AlgorithmsRunner as AlgorithmsRunner
    from caf_core.calibration.runner import ParallelRunner as ParallelRunner
    from caf_core.calibration.runner import SequentialRunner as SequentialRunner
    from caf_core.calibration.states import Machine as Machine
    from caf_core.calibration.states import State as State
    from caf_core.calibration.strategy import AlgorithmStrategy as AlgorithmStrategy
    from caf_core.conditions.chain import Chain as Chain
    from caf_core.conditions.payload import Payload as Payload
    from caf_core.control.caf import CAF as CAF
    from caf_core.control.report import CalibrationFailedError as CalibrationFailedError
    from caf_core.control.report import InterruptedRunError as InterruptedRunError
    from caf_core.control.report import Report as Report
    from caf_core.errors import AlgorithmError as AlgorithmError
    from caf_core.errors import BackendError as BackendError
    from caf_core.errors import CafError as CafError
    from caf_core.errors import CheckpointError as CheckpointError
    from caf_core.errors import ConfigurationError as ConfigurationError
    from caf_core.errors import DependencyCycleError as DependencyCycleError
    from caf_core.errors import DuplicatePluginError as DuplicatePluginError
    from caf_core.errors import InvalidIoVError as InvalidIoVError
    from caf_core.errors import PayloadError as PayloadError
    from caf_core.errors import PluginError as PluginError
    from caf_core.errors import PluginLoadError as PluginLoadError
    from caf_core.errors import PollError as PollError
    from caf_core.errors import SubmissionError as SubmissionError
    from caf_core.errors import UnknownPluginError as UnknownPluginError
    from caf_core.iov import ExpRun as ExpRun
    from caf_core.iov import IoV as IoV
    from caf_core.jobs.arguments import ArgumentsGenerator as ArgumentsGenerator
    from caf_core.jobs.arguments import range_arguments as range_arguments
    from caf_core.jobs.backend import Backend as Backend
    from caf_core.jobs.batch.template import Batch as Batch
    from caf_core.jobs.input_data import get_input_data as get_input_data
    from caf_core.jobs.ledger import FailureKind as FailureKind
    from caf_core.jobs.ledger import TaskState as TaskState
    from caf_core.jobs.model import Job as Job
    from caf_core.jobs.model import SubJob as SubJob
    from caf_core.jobs.retry import Remedy as Remedy
    from caf_core.jobs.retry import RetryPolicy as RetryPolicy
    from caf_core.jobs.retry import Rule as Rule
    from caf_core.jobs.splitters import ArgumentsSplitter as ArgumentsSplitter
    from caf_core.jobs.splitters import MaxFilesSplitter as MaxFilesSplitter
    from caf_core.jobs.splitters import MaxSubjobsSplitter as MaxSubjobsSplitter
    from caf_core.jobs.splitters import SubjobSplitter as SubjobSplitter
    from caf_core.jobs.task import Resources as Resources
    from caf_core.plugins.databases import CentralDatabase as CentralDatabase
    from caf_core.plugins.databases import LocalDatabase as LocalDatabase
    from caf_core.plugins.markers import hookimpl as hookimpl
    from caf_core.plugins.markers import hookspec as hookspec

_MODULES = {
    "calibration.algorithm": ("Algorithm", "AlgorithmContext", "Metric", "Outcome", "Result"),
    "calibration.calibration": ("Calibration", "CalibrationBase"),
    "calibration.collection": ("Collection",),
    "calibration.collector": ("CollectorContext", "CommandCollector"),
    "calibration.convergence": ("Convergence",),
    "calibration.plans": (
        "Commit",
        "Execute",
        "Executed",
        "FindBoundaries",
        "Gap",
        "Parts",
        "Past",
        "Plan",
        "Statistics",
        "Verdict",
    ),
    "calibration.runner": ("AlgorithmsRunner", "ParallelRunner", "SequentialRunner"),
    "calibration.states": ("Machine", "State"),
    "calibration.strategy": ("AlgorithmStrategy",),
    "conditions.chain": ("Chain",),
    "conditions.payload": ("Payload",),
    "control.caf": ("CAF",),
    "control.report": ("CalibrationFailedError", "InterruptedRunError", "Report"),
    "errors": (
        "AlgorithmError",
        "BackendError",
        "CafError",
        "CheckpointError",
        "ConfigurationError",
        "DependencyCycleError",
        "DuplicatePluginError",
        "InvalidIoVError",
        "PayloadError",
        "PluginError",
        "PluginLoadError",
        "PollError",
        "SubmissionError",
        "UnknownPluginError",
    ),
    "iov": ("ExpRun", "IoV"),
    "jobs.arguments": ("ArgumentsGenerator", "range_arguments"),
    "jobs.backend": ("Backend",),
    "jobs.batch.template": ("Batch",),
    "jobs.input_data": ("get_input_data",),
    "jobs.ledger": ("FailureKind", "TaskState"),
    "jobs.model": ("Job", "SubJob"),
    "jobs.retry": ("Remedy", "RetryPolicy", "Rule"),
    "jobs.splitters": ("ArgumentsSplitter", "MaxFilesSplitter", "MaxSubjobsSplitter", "SubjobSplitter"),
    "jobs.task": ("Resources",),
    "plugins.databases": ("CentralDatabase", "LocalDatabase"),
    "plugins.markers": ("hookimpl", "hookspec"),
}
"""Module below ``caf_core`` -> what it gives to users; the block above tells type checkers the same."""

_HOME = {name: f"caf_core.{module}" for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> "Any":
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("caf-core")
    elif not name.startswith("_") and find_spec(f"caf_core.{name}"):
        return import_module(f"caf_core.{name}")
    else:
        raise AttributeError(f"module 'caf_core' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
