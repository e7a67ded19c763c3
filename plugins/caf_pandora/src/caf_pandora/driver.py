"""The calibration from beginning to end in one process, one worker after the other, without a service."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Formatter

from attrs import evolve, field, frozen

from caf_core.errors import ConfigurationError
from caf_core.processes.command import execute
from caf_pandora.constants import Constants, read_constants
from caf_pandora.errors import PandoraError, ResultFileError
from caf_pandora.inputs import Inputs
from caf_pandora.outcome import Outcome, Setup
from caf_pandora.phases import TRAINING_STAGE, Phase, schedule
from caf_pandora.record import Step
from caf_pandora.step_files import STEERING_FILE, Kit, step_files, write_files
from caf_pandora.training import NEW_LIKELIHOOD

Reconstruct = Callable[[Path], object]
"""Executes the reconstruction for a steering file, in the directory where that is."""


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
        return self.steps[-1].outcome.constants


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
            TooFewEventsError: If a phase is left without events.
            NotConvergedError: If a phase takes too many steps.
            PandoraError: If a reconstruction fails, or its files cannot be used.
        """
        settings = self.setup.settings
        self.inputs.check_workers(settings.number_of_jobs)
        start = constants = read_constants(self.kit.steering, settings)
        kit, steps = self.kit, list[Step]()
        kept: dict[str, Mapping[int, Path]] = {}
        for stage, phase in schedule(settings):
            for number in range(phase.max_steps):
                began = self.clock()
                if phase.before is not None and phase.before not in kept:
                    kept[phase.before] = self._reconstruct(phase.before, kit, constants, stage)
                kept[phase.sample] = self._reconstruct(phase.sample, kit, constants, stage)
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

    def _reconstruct(self, sample: str, kit: Kit, constants: Constants, stage: int) -> dict[int, Path]:
        """Let every worker reconstruct its share of a sample."""
        settings, training = self.setup.settings, stage == TRAINING_STAGE
        files = {}
        for worker, share in enumerate(self.inputs.shares(sample, settings.number_of_jobs)):
            home = self.directory / f"{worker}" / sample
            write_files(home, step_files(kit, settings, constants, share, training=training))
            self.reconstruct(home / STEERING_FILE)
            files[worker] = home / result_file(training=training)
            if not files[worker].is_file():
                raise ResultFileError(
                    files[worker], f"was not written by the reconstruction of worker {worker}."
                )
        return files


def result_file(*, training: bool) -> str:
    """What a worker reports."""
    from caf_pandora.phases import LIKELIHOOD_FILE, RESULT_FILE

    return LIKELIHOOD_FILE if training else RESULT_FILE


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


def command(template: Sequence[str], steering: str) -> list[str]:
    """A command from its template, such as ``["Marlin", "{steering}"]``; no shell reads it.

    Raises:
        ConfigurationError: If the template does not have ``{steering}``, or has something else in braces.
    """
    names = {name for word in template for _, name, _, _ in Formatter().parse(word) if name is not None}
    if names != {"steering"}:
        raise ConfigurationError(
            f"the command {list(template)!r} should have {{steering}} and nothing else in braces."
        )
    return [word.format(steering=steering) for word in template]


def command_reconstruction(template: Sequence[str], timeout: float) -> Reconstruct:
    """A reconstruction that is a command, executed where its steering file is.

    Args:
        template: The command, with ``{steering}`` where the name of the steering file goes.
        timeout: After this time it is ended [s].
    """
    command(template, STEERING_FILE)

    def reconstruct(steering: Path) -> None:
        result = execute(command(template, steering.name), timeout=timeout, cwd=steering.parent)
        if not result.ok:
            ended = (
                f"after {timeout:g} s" if result.returncode is None else f"with exit code {result.returncode}"
            )
            raise PandoraError(
                f"the reconstruction {' '.join(result.argv)} in {steering.parent} ended {ended}: "
                f"{result.stderr.strip()[-1000:] or 'it printed no error'}"
            )

    return reconstruct
