"""What a process has come to, and how it tells others while it goes on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from caf_core.calibration.states import State
from caf_core.control.account import Account
from caf_core.control.outstanding import left_text
from caf_core.errors import CafError
from caf_core.text import clause

if TYPE_CHECKING:
    from caf_core.control.effects import Move
    from caf_core.jobs.requests import JobStatus


class Listener(Protocol):
    """Is told what happens, in the controller's thread: every method returns at once."""

    def begun(self, calibrations: Mapping[str, int]) -> None:
        """The calibrations of this process, with their last allowed iterations."""

    def placed(self, calibration: str, state: State, iteration: int) -> None:
        """Where a calibration begins, which is somewhere else than at the start if it goes on."""

    def moved(self, move: "Move") -> None:
        """A calibration changed its state."""

    def jobs(self, calibration: str, collection: str, status: "JobStatus") -> None:
        """The tasks of a collection changed."""

    def said(self, text: str) -> None:
        """A sentence for the user."""

    def ended(self) -> None:
        """Nothing more will happen."""


class Silence:
    """A listener that tells nobody."""

    def begun(self, calibrations: Mapping[str, int]) -> None:
        """See ``Listener``."""

    def placed(self, calibration: str, state: State, iteration: int) -> None:
        """See ``Listener``."""

    def moved(self, move: "Move") -> None:
        """See ``Listener``."""

    def jobs(self, calibration: str, collection: str, status: "JobStatus") -> None:
        """See ``Listener``."""

    def said(self, text: str) -> None:
        """See ``Listener``."""

    def ended(self) -> None:
        """See ``Listener``."""


class Careful:
    """A listener around another one that may fail: a lost terminal or a full disk must not end calibrations.

    Args:
        listener: The other one; it is left alone once it has failed.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener: Listener = listener

    def _tell(self, tell: Callable[[Listener], None]) -> None:
        try:
            tell(self._listener)
        except (OSError, ValueError):
            self._listener = Silence()

    def begun(self, calibrations: Mapping[str, int]) -> None:
        """See ``Listener``."""
        self._tell(lambda listener: listener.begun(calibrations))

    def placed(self, calibration: str, state: State, iteration: int) -> None:
        """See ``Listener``."""
        self._tell(lambda listener: listener.placed(calibration, state, iteration))

    def moved(self, move: "Move") -> None:
        """See ``Listener``."""
        self._tell(lambda listener: listener.moved(move))

    def jobs(self, calibration: str, collection: str, status: "JobStatus") -> None:
        """See ``Listener``."""
        self._tell(lambda listener: listener.jobs(calibration, collection, status))

    def said(self, text: str) -> None:
        """See ``Listener``."""
        self._tell(lambda listener: listener.said(text))

    def ended(self) -> None:
        """See ``Listener``."""
        self._tell(lambda listener: listener.ended())


@frozen
class CalibrationReport:
    """How one calibration ended.

    Args:
        state: Its state; ``init`` if it never started.
        iteration: Its last iteration, from 0.
        convergence: ``converged``, ``diverging``, ``oscillating``, ``max_iterations``, ``not_finite``,
            ``failure``; empty if it did not complete.
        reason: Why it failed or did not start.
        database: Where its constants lie.
        account: Which of its intervals have not converged, and which runs have no constant.
    """

    state: State
    iteration: int
    convergence: str
    reason: str
    database: Path
    account: Account = field(factory=Account)


@frozen
class Report:
    """How a process ended.

    Args:
        calibrations: By name.
        output_dir: Where everything lies.
        interrupted: Whether it was stopped before the calibrations were over; start it again to go on.
        left: How many tasks go on at batch systems all the same, by backend.
    """

    calibrations: Mapping[str, CalibrationReport]
    output_dir: Path
    interrupted: bool = False
    left: Mapping[str, int] = field(factory=dict)

    @property
    def success(self) -> bool:
        """Whether every calibration has completed."""
        return not self.interrupted and all(
            one.state is State.COMPLETED for one in self.calibrations.values()
        )

    @property
    def failures(self) -> dict[str, str]:
        """Why calibrations did not complete, by name."""
        return {
            name: one.reason for name, one in self.calibrations.items() if one.state is not State.COMPLETED
        }


class CalibrationFailedError(CafError):
    """Not every calibration has completed.

    Args:
        report: How the process ended.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        reasons = "; ".join(
            f"{name}: {clause(reason) or 'not reached'}" for name, reason in report.failures.items()
        )
        super().__init__(
            f"{len(report.failures)} of {len(report.calibrations)} calibration(s) did not complete "
            f"({reasons}). "
            f"Look closer with: caf why {quote(next(iter(report.failures)))} -p "
            f"{quote(str(report.output_dir))}; "
            "mend it and start again: what was done is kept."
        )


class InterruptedRunError(CafError):
    """The process was stopped by Ctrl-C or a signal; it goes on when it is started again."""

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(
            f"stopped; start it again with the same output directory ({report.output_dir}) and it goes on "
            f"where it was. {left_text(report.left, report.output_dir)}".rstrip()
        )
