"""What happens to a calibration, and what is to be done about it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import frozen

from caf_service.plan import Position, Update
from caf_service.snapshot import State

# What happens


@frozen
class Reported:
    """A worker reported a result, which is safe on disk."""

    worker: int
    serial: int


@frozen
class Died:
    """Workers ended before the calibration did, or reported a failure.

    Args:
        workers: Which ones.
        now: When, by the clock that times how long they wait [s].
        reason: Why the last of them did, for people.
        excused: Those of them that ended through no fault of their own, such as at their time limit.
    """

    workers: Sequence[int]
    now: float
    reason: str = ""
    excused: Collection[int] = ()


@frozen
class Resubmitted:
    """Workers were submitted again."""

    workers: Sequence[int]


@frozen
class Updated:
    """The update function of a step answered."""

    serial: int
    update: Update


@frozen
class UpdateFailed:
    """It did not."""

    serial: int
    message: str


@frozen
class Killed:
    """A user ended the calibration."""

    who: str


@frozen
class Broken:
    """Workers cannot be submitted at all."""

    message: str


Event = Reported | Died | Resubmitted | Updated | UpdateFailed | Killed | Broken


# What is to be done


@frozen
class MakeUpdate:
    """Execute the update function of a step with the results of these workers."""

    serial: int
    used: tuple[int, ...]
    missing: tuple[int, ...]


@frozen
class BeginStep:
    """Write the next step down, and wake the workers."""

    position: Position
    parameters: Mapping[str, Any]


@frozen
class Resubmit:
    """Submit dead workers again, all at once."""

    workers: tuple[int, ...]


@frozen
class End:
    """Wake the workers so that they end; write the result if there is one."""

    state: State
    message: str
    parameters: Mapping[str, Any] | None = None


Effect = MakeUpdate | BeginStep | Resubmit | End
