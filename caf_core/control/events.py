"""What can happen to calibrations: the events that the loop feeds to ``step``."""

from attrs import frozen

from caf_core.calibration.convergence import Convergence
from caf_core.calibration.plans import Result
from caf_core.calibration.states import State


@frozen
class Begin:
    """The loop begins."""


@frozen
class Decided:
    """It is known where a calibration starts: afresh, or where an earlier process left it."""

    name: str
    state: State
    iteration: int


@frozen
class Submitted:
    """The jobs of a calibration's collections are on their way."""

    name: str
    jobs: frozenset[str]


@frozen
class JobEnded:
    """A job of a collection ended."""

    name: str
    job: str
    success: bool
    reason: str = ""


@frozen
class Gathered:
    """It is known what the collectors left; ``reason`` says what is wrong with it, if anything."""

    name: str
    reason: str = ""


@frozen
class AlgorithmsEnded:
    """The algorithms of an iteration ended; ``unconverged`` names the intervals that have not converged."""

    name: str
    result: Result
    reason: str = ""
    convergence: Convergence = Convergence.CONVERGED
    unconverged: str = ""


@frozen
class Finished:
    """The constants of a calibration lie where dependents find them."""

    name: str


@frozen
class OwnRunEnded:
    """The ``run`` method of a user's own calibration returned or raised."""

    name: str
    success: bool
    reason: str = ""


@frozen
class OwnIteration:
    """The ``run`` method of a user's own calibration has come to another iteration."""

    name: str
    iteration: int
    last: int


@frozen
class Failed:
    """Something that had to be done for a calibration could not be done."""

    name: str
    reason: str


Event = (
    Begin
    | Decided
    | Submitted
    | JobEnded
    | Gathered
    | AlgorithmsEnded
    | Finished
    | OwnRunEnded
    | OwnIteration
    | Failed
)
