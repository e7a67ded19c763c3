"""The calibration from beginning to end in one process, one worker after the other, without a service."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import evolve, field, frozen

from caf_pandora.constants import Constants, read_constants
from caf_pandora.errors import PandoraError
from caf_pandora.inputs import Inputs
from caf_pandora.outcome import Outcome, Setup
from caf_pandora.phases import PHASES, Phase, schedule
from caf_pandora.record import Step
from caf_pandora.step_files import Kit
from caf_pandora.training import NEW_LIKELIHOOD
from caf_pandora.worker import Reconstruct, reconstruct_share


class NotConvergedError(PandoraError):
    """A phase that took all its steps and is not below its accuracy.

    Args:
        step: Its last step.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        super().__init__(
            f"phase {step.phase.number} {step.phase.name} of stage {step.stage} has not converged within "
            f"{step.phase.max_steps} steps: its fractional error is {step.outcome.error:.4f}; look at the "
            "pictures of its steps, or take more events."
        )


@frozen
class Calibration:
    """What came of a calibration.

    Args:
        start: The constants at the start.
        steps: All steps, in order.
    """

    start: Constants
    steps: tuple[Step, ...]

    @property
    def constants(self) -> Constants:
        """The constants at the end."""
        return self.steps[-1].outcome.constants if self.steps else self.start


@frozen
class Driver:
    """Drives a calibration.

    Args:
        setup: Settings and energies.
        inputs: The input files.
        kit: Steering file and Pandora's files.
        directory: Where the workers have their directories.
        reconstruct: Executes the reconstruction.
        notice: Told every step when it is over.
        clock: Tells the time [s].
    """

    setup: Setup
    inputs: Inputs
    kit: Kit
    directory: Path
    reconstruct: Reconstruct
    notice: Callable[[Step], object] = field(default=lambda _step: None)
    clock: Callable[[], float] = time.monotonic

    def carry_out(self) -> Calibration:
        """Carry out all stages and phases of the settings.

        Raises:
            SteeringError: If the steering file or Pandora's settings lack something.
            TooFewEventsError: If a phase is left without events.
            NotConvergedError: If a phase takes too many steps.
            PandoraError: If a reconstruction fails, or its files cannot be used.
        """
        settings = self.setup.settings
        self.inputs.check_workers(settings.number_of_jobs)
        self.kit.check(settings)
        start = constants = read_constants(self.kit.steering, settings)
        kit, steps = self.kit, list[Step]()
        kept: dict[str, Mapping[int, Path]] = {}
        for stage, phase in schedule(settings):
            for number in range(phase.max_steps):
                began = self.clock()
                if phase.before is not None and PHASES[phase.before].sample not in kept:
                    kept[PHASES[phase.before].sample] = self._reconstruct(
                        PHASES[phase.before], kit, constants
                    )
                kept[phase.sample] = self._reconstruct(phase, kit, constants)
                outcome = phase.carry_out(kept, constants, self.setup)
                steps.append(self._step(stage, phase, number, constants, outcome, self.clock() - began))
                self.notice(steps[-1])
                constants = outcome.constants
                if NEW_LIKELIHOOD in outcome.files:
                    kit = evolve(kit, likelihood=outcome.files[NEW_LIKELIHOOD])
                if outcome.converged:
                    break
            else:
                raise NotConvergedError(steps[-1])
        return Calibration(start, tuple(steps))

    def _step(
        self, stage: int, phase: Phase, number: int, before: Constants, outcome: Outcome, seconds: float
    ) -> Step:
        workers = self.setup.settings.number_of_jobs
        return Step(
            stage=stage,
            phase=phase,
            number=number,
            before=before,
            outcome=outcome,
            workers=workers,
            seconds=seconds,
        )

    def _reconstruct(self, phase: Phase, kit: Kit, constants: Constants) -> dict[int, Path]:
        """Let every worker reconstruct its share of a phase's sample."""
        settings, sample = self.setup.settings, phase.sample
        return {
            worker: reconstruct_share(
                self.directory / f"{worker}" / sample,
                kit,
                settings,
                constants,
                share,
                phase,
                self.reconstruct,
            )
            for worker, share in enumerate(self.inputs.shares(sample, settings.number_of_jobs))
        }


def calibrate(
    setup: Setup,
    inputs: Inputs,
    kit: Kit,
    directory: Path,
    reconstruct: Reconstruct,
    notice: Callable[[Step], object] = lambda _step: None,
) -> Calibration:
    """Carry a calibration out in this process; see ``Driver``."""
    return Driver(setup, inputs, kit, directory, reconstruct, notice).carry_out()
