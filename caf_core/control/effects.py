"""What has to be done for calibrations: the effects that ``step`` answers, and the loop carries out."""

from attrs import frozen

from caf_core.calibration.states import State


@frozen
class Decide:
    """Find out where a calibration starts; answered by ``Decided``."""

    name: str


@frozen
class Move:
    """Write a move down: the only effect that changes a state."""

    name: str
    iteration: int
    old: State
    new: State
    reason: str = ""


@frozen
class SubmitCollectors:
    """Submit the jobs of all collections, or take them up again; answered by ``Submitted`` and one
    ``JobEnded`` each."""

    name: str


@frozen
class Gather:
    """Read what the collectors left; answered by ``Gathered``."""

    name: str


@frozen
class StartAlgorithms:
    """Carry the strategies' plans out; answered by ``AlgorithmsEnded``."""

    name: str


@frozen
class Tidy:
    """An iteration has ended well, and this is written down: its collector output is no longer needed.

    Args:
        name: The calibration.
        iteration: The iteration.
        last: Whether the calibration has completed with it.
    """

    name: str
    iteration: int
    last: bool


@frozen
class Finish:
    """Copy the constants to where dependents find them; answered by ``Finished``."""

    name: str


@frozen
class NoteIteration:
    """Write down to which iteration a user's own calibration has come."""

    name: str
    iteration: int
    last: int


@frozen
class StartOwnRun:
    """Call ``run`` of a user's own calibration in a thread; answered by ``OwnRunEnded``."""

    name: str


@frozen
class Skip:
    """A calibration will not start, because of another one."""

    name: str
    because: str


@frozen
class Stop:
    """Every calibration is over."""


Effect = (
    Decide
    | Move
    | SubmitCollectors
    | Gather
    | StartAlgorithms
    | Tidy
    | Finish
    | NoteIteration
    | StartOwnRun
    | Skip
    | Stop
)
