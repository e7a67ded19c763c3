"""What the author of an iterative calibration writes: stages of phases, and what is done in each step.

A plan is carried out by a service and many resident workers. In every step of a phase each worker gets the
parameters of the step, processes its share of the phase's input and reports one file. When enough have
reported, the phase's update function makes the next parameters of their files. Nothing here does I/O.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt

from caf_service.settings import Setting

Parameters = Mapping[str, Any]
"""Plain JSON values: what changes from step to step."""


@frozen
class Position:
    """A place in a plan, all counted from 0, but the serial from 1.

    Args:
        stage: Index of the stage.
        phase: Index of the phase within the stage.
        step: How often the phase was repeated before.
        serial: The number of the step among all steps of the calibration.
    """

    stage: int
    phase: int
    step: int
    serial: int


@frozen
class Slice:
    """A part of an input file.

    Args:
        file: Path or URI.
        first: Its first entry, from 0.
        count: Number of entries; ``None`` for all that follow.
    """

    file: str
    first: int = 0
    count: int | None = None


Share = Mapping[str, Sequence[Slice]]
"""What one worker processes: sample -> parts of files."""


@frozen
class Work:
    """What a worker is to do in one step.

    Args:
        position: Where the calibration is.
        stage: The stage's name.
        phase: The phase's name.
        parameters: The parameters of the step.
        settings: The settings of the calibration.
        slices: Its share of the phase's sample.
        worker: Its number, from 0.
        workers: How many there are.
        directory: Where it works: an empty folder of this step.
        inputs: Files that the calibration brought, such as a steering file: name -> path on the node.
    """

    position: Position
    stage: str
    phase: str
    parameters: Parameters
    settings: Mapping[str, Any]
    slices: Sequence[Slice]
    worker: int
    workers: int
    directory: Path
    inputs: Mapping[str, Path] = field(factory=dict)


@frozen
class Results:
    """What the update function of a phase is given.

    Args:
        position: Where the calibration is.
        files: Worker -> the file that it reported, in the order of the workers' numbers: the answer must not
            depend on who reported first.
        earlier: Phase name -> worker -> file, of the last step of phases of this stage that ended before.
        settings: The settings of the calibration.
        accuracy: The phase's accuracy at these settings.
        directory: Where the update function may leave files (pictures, records); they belong to the result.
        inputs: Files that the calibration brought: name -> path.
    """

    position: Position
    files: Mapping[int, Path]
    earlier: Mapping[str, Mapping[int, Path]]
    settings: Mapping[str, Any]
    accuracy: float
    directory: Path
    inputs: Mapping[str, Path] = field(factory=dict)


@frozen
class Update:
    """What an update function answers.

    Args:
        parameters: All parameters for the next step.
        metrics: What was measured: name -> value.
        converged: Whether the phase is done.
        message: One line for people.
    """

    parameters: Parameters
    metrics: Mapping[str, float] = field(factory=dict)
    converged: bool = True
    message: str = ""


@frozen
class Request:
    """What a user asks for, as far as a plan may complete it.

    Args:
        settings: The settings that the user gave; they are not checked yet.
        workers: Number of workers.
        quorum: The fraction of workers that must report; ``None`` for the plan's own.
        inputs: Sample -> files.
        start: Where to start, as ``{"stage": name or index, "phase": name or index}``; ``None`` for the
            beginning.
        stop: Where to stop; ``None`` for the end.
        output_dir: Where the result is copied; empty for nowhere.
    """

    settings: Mapping[str, Any]
    workers: int
    quorum: float | None = None
    inputs: Mapping[str, Sequence[str]] = field(factory=dict)
    start: Mapping[str, Any] | None = None
    stop: Mapping[str, Any] | None = None
    output_dir: str = ""


@frozen
class Phase:
    """One phase: its steps are repeated until the update function says that it has converged.

    Args:
        name: Its name, unique within its stage.
        sample: The sample whose shares the workers process.
        update: Makes the next parameters: ``(results, parameters) -> Update``; ``package.module:function``
            or the function. It is executed in a process of its own and must give the same answer each time.
        accuracy: What counts as converged; a number, or the name of a setting.
        max_steps: Largest number of steps.
        fails_at_maximum: Whether a phase that has not converged by then fails the calibration; else it goes
            on with the next phase, and says so.
    """

    name: str
    sample: str
    update: str | Callable[[Results, Parameters], Update]
    accuracy: float | str = 0.0
    max_steps: int = field(default=20, validator=ge(1))
    fails_at_maximum: bool = True


def _phases(values: Iterable[Phase]) -> tuple[Phase, ...]:
    return tuple(values)


@frozen
class Stage:
    """Phases that follow one another."""

    name: str
    phases: tuple[Phase, ...] = field(converter=_phases)


def _stages(values: Iterable[Stage]) -> tuple[Stage, ...]:
    return tuple(values)


@frozen
class Plan:
    """An iterative calibration.

    Args:
        name: Its name.
        version: Its version; a worker with another one refuses to work.
        stages: Its stages.
        work: What a worker does in a step: ``package.module:function``, called with ``Work`` in a process of
            its own; it returns the path of the file to report.
        command: In place of ``work``: ``package.module:function`` that is given ``Work`` and returns the
            argument list of a command and the path of the file that it leaves.
        begin: Makes the first parameters: ``(settings, inputs) -> parameters``; this one, ``finish`` and
            ``share`` are ``package.module:function`` or the function.
        finish: Writes the result into a folder: ``(parameters, settings, inputs, folder)``.
        share: Shares the input out: ``(files, settings, workers) -> share of each worker``, where ``files``
            is sample -> files.
        arrange: Completes what a user asks for before it is checked, where settings depend on one another or
            say where to start: ``request -> request``. It is executed in the service, so it should be quick;
            what cannot be done is a ``ConfigurationError``.
        settings: The settings that it knows.
        presets: Sets of settings that users can begin with, such as those of a detector: name -> settings.
        samples: The samples that it needs.
        quorum: The fraction of workers that must report before a step ends, unless the user says otherwise.
        suffix: Suffix of the files that workers report.
    """

    name: str
    version: str
    stages: tuple[Stage, ...] = field(converter=_stages)
    begin: str | Callable[[Mapping[str, Any], Mapping[str, Path]], Parameters]
    work: str = ""
    command: str = ""
    finish: str | Callable[[Parameters, Mapping[str, Any], Mapping[str, Path], Path], None] | None = None
    share: str | Callable[[Mapping[str, Sequence[str]], Mapping[str, Any], int], Sequence[Share]] | None = (
        None
    )
    arrange: Callable[[Request], Request] | None = None
    settings: Mapping[str, Setting] = field(factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    samples: tuple[str, ...] = ()
    quorum: float = field(default=0.9, validator=and_(gt(0.0)))
    suffix: str = ".json"
