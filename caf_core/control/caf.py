"""The CAF: the calibrations of one process, and where and how they are run."""

from collections.abc import Sequence
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from attrs import define, field

from caf_core import former
from caf_core.calibration.calibration import CalibrationBase
from caf_core.control import options, session
from caf_core.control.report import CalibrationFailedError, InterruptedRunError, Report
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.home import given_path
from caf_core.iov import IoV, as_iov
from caf_core.jobs.config.reading import load_config
from caf_core.strict import strict


@strict("a CAF", former.CAF)
@define(eq=False)
class CAF:
    """Runs calibrations.

    Args:
        output_dir: Where everything lies; start again with the same one to go on after a failure.
        backend: A plugin name, class or instance, for calibrations that name none; if left out, that of
            ``caf.toml``, or ``local``.
        calibration_defaults: Settings that hold where a calibration says nothing, such as ``max_iterations``.
    """

    output_dir: Path = field(default=Path("calibration_results"), converter=given_path)
    backend: Any = None
    calibration_defaults: dict[str, Any] = field(factory=dict)
    calibrations: dict[str, CalibrationBase] = field(factory=dict, init=False)

    def add_calibration(self, calibration: CalibrationBase) -> None:
        """Add a calibration.

        Raises:
            ConfigurationError: If there is one of that name already.
        """
        if not isinstance(calibration, CalibrationBase):
            raise ConfigurationError(
                f"{type(calibration).__name__} is no calibration; give a Calibration or a CalibrationBase."
            )
        if calibration.name in self.calibrations:
            raise ConfigurationError(
                f"two calibrations are called {calibration.name!r}; give each a name of its own."
            )
        self.calibrations[calibration.name] = calibration

    def run(self, iov: IoV | Sequence[int] | str | None = None, *, check: bool = True) -> Report:
        """Run all calibrations until each has completed or failed.

        Args:
            iov: The interval that is wanted; all runs of the input if left out.
            check: Whether failures and interrupts raise; otherwise the report tells.
        Returns:
            How every calibration ended.
        Raises:
            ConfigurationError: If something cannot work as written; nothing was started.
            CheckpointError: If the output directory is in use, or its checkpoint cannot be used.
            CalibrationFailedError: If calibrations failed (``.report``).
            InterruptedRunError: If it was stopped by Ctrl-C (``.report``).
        """
        chosen = options.current()
        wish = self._wish(chosen, _interval(iov))
        if chosen.check_only:
            from caf_core.control import checking

            raise checking.CheckedError(checking.check(wish))
        try:
            report = session.run(wish, chosen)
        except OSError as error:
            raise _unusable(wish.output_dir, error) from error
        if check and report.interrupted:
            raise InterruptedRunError(report)
        if check and not report.success:
            raise CalibrationFailedError(report)
        return report

    def _wish(self, chosen: options.Options, iov: IoV | None) -> session.Wish:
        return session.Wish(
            calibrations=tuple(self.calibrations.values()),
            output_dir=(chosen.output_dir or self.output_dir).absolute(),
            backend=chosen.backend if chosen.backend is not None else self.backend,
            defaults=self.calibration_defaults,
            requested=iov,
            config=load_config(),
            backend_args=chosen.backend_args,
            resources=chosen.resources,
            algorithm_backend=chosen.algorithm_backend,
        )


def _interval(value: IoV | Sequence[int] | str | None) -> IoV | None:
    return None if value is None else as_iov(value)


def _unusable(output_dir: Path, error: OSError) -> CheckpointError:
    remedy = "free some space" if error.errno in (ENOSPC, EDQUOT) else "mend that"
    return CheckpointError(
        f"the output directory {output_dir} cannot be used ({error}); {remedy} and start again: what was "
        f"done is kept."
    )
