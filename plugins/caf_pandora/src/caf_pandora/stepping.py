"""What is done in the steps of the plan: the functions that ``caf_pandora.plan`` names."""

import os
import shlex
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import evolve

from caf_core.errors import ConfigurationError
from caf_pandora.constants import frozen_constants, read_constants
from caf_pandora.inputs import ENERGIES, Inputs, Share
from caf_pandora.order import STAGES, chosen
from caf_pandora.outcome import Outcome, Setup
from caf_pandora.phases import LIKELIHOOD_FILE, PHASES, Phase
from caf_pandora.plan import of_plan
from caf_pandora.record import Step, describe, joined_record
from caf_pandora.results import final_files, write_results
from caf_pandora.sketch import Sketch
from caf_pandora.step_files import PANDORA_SETTINGS_FILE, STEERING_FILE, Kit
from caf_pandora.training import NEW_LIKELIHOOD
from caf_pandora.worker import Reconstruct, command, command_reconstruction, reconstruct_share
from caf_service.plan import Parameters, Position, Results, Slice, Update, Work

FILES = (STEERING_FILE, PANDORA_SETTINGS_FILE, LIKELIHOOD_FILE)
"""The files that a calibration brings."""
COMMAND = "CAF_PANDORA_COMMAND"
"""The command that workers execute, with ``{steering}`` in it. It is in the environment of the service:
users shall not choose what its account executes."""
MARLIN = "Marlin {steering}"


def begin(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> Parameters:
    """The constants of the steering file, and the command that workers execute."""
    words = shlex.split(os.environ.get(COMMAND, "") or MARLIN)
    command(words, STEERING_FILE)
    return {**begin_without_command(settings, inputs), "command": words}


def begin_without_command(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> Parameters:
    """The constants of the steering file, after a look whether everything is there."""
    known, kit = of_plan(settings), kit_of(settings, inputs)
    kit.check(known)
    constants = dict(read_constants(kit.steering, known))
    return {"start": constants, "constants": constants, "likelihood": "", "record": []}


def share(
    files: Mapping[str, Sequence[str]], settings: Mapping[str, Any], workers: int
) -> list[dict[str, list[Slice]]]:
    """Every worker's events of every sample that has files."""
    samples = tuple(name for name in ENERGIES if files.get(name))
    numbers = {name.lower(): number for name, number in settings["numberOfEventsPerFile"].items()}
    used = {sample: numbers[sample] for sample in samples if sample in numbers}
    inputs = Inputs.of({sample: files[sample] for sample in samples}, used, samples=samples)
    inputs.check_workers(workers)
    shares = {sample: inputs.shares(sample, workers) for sample in samples}
    return [
        {
            sample: [Slice(*piece) for piece in shares[sample][worker].pieces(numbers[sample])]
            for sample in samples
        }
        for worker in range(workers)
    ]


def work(work: Work) -> Path:
    """Execute the reconstruction's command for a share."""
    limit = float(work.settings["reconstructionTimeLimit"])
    return reconstructed(work, command_reconstruction(work.parameters["command"], limit))


def reconstructed(work: Work, reconstruct: Reconstruct) -> Path:
    """Let something reconstruct a worker's share with the constants of the step."""
    kit = kit_of(work.settings, work.inputs)
    if work.parameters["likelihood"]:
        kit = evolve(kit, likelihood=work.parameters["likelihood"].encode())
    pieces = [(one.file, one.first, one.count or 0) for one in work.slices]
    constants = frozen_constants(work.parameters["constants"])
    settings, phase = of_plan(work.settings), phase_at(work.position)
    return reconstruct_share(work.directory, kit, settings, constants, Share.of(pieces), phase, reconstruct)


def update(results: Results, parameters: Parameters) -> Update:
    """Carry out the phase, leave its fits and a picture of them, and write it down."""
    settings, phase = of_plan(results.settings), phase_at(results.position)
    stage = results.position.stage + 1
    if (stage, phase.number) not in chosen(settings):
        return Update(parameters, message="reconstructed for the phase after it; the constants stay")
    files = {phase.sample: results.files}
    if phase.before is not None:
        before = PHASES[phase.before]
        files[before.sample] = results.earlier[before.name]
    constants = frozen_constants(parameters["constants"])
    outcome = phase.carry_out(files, constants, _setup(results.settings))
    step = Step(
        stage=stage,
        phase=phase,
        number=results.position.step,
        before=constants,
        outcome=outcome,
        workers=len(results.files),
        missing=tuple(one for one in range(settings.number_of_jobs) if one not in results.files),
    )
    sketch = Sketch.of(step)
    sketch.write(results.directory)
    if results.settings["pictures"] and find_spec("matplotlib"):
        from caf_pandora.pictures import write_pictures

        write_pictures(results.directory, [sketch])
    return Update(
        _parameters(parameters, step), outcome.metrics, outcome.converged, _message(outcome, results.accuracy)
    )


def finish(
    parameters: Parameters, settings: Mapping[str, Any], inputs: Mapping[str, Path], folder: Path
) -> None:
    """Write steering file, likelihood data and record."""
    end = frozen_constants(parameters["constants"])
    record = joined_record(parameters["start"], parameters["record"], end)
    likelihood = parameters["likelihood"].encode() or None
    write_results(folder, final_files(kit_of(settings, inputs), of_plan(settings), end, record, likelihood))


def kit_of(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> Kit:
    """The files that the calibration brought.

    Raises:
        ConfigurationError: If some are missing.
    """
    missing = [name for name in FILES if name not in inputs]
    if missing:
        raise ConfigurationError(
            f"the files {', '.join(missing)} are missing; a Pandora calibration brings {', '.join(FILES)}."
        )
    steering, pandora, likelihood = (inputs[name].read_bytes() for name in FILES)
    return Kit.of(steering, pandora, likelihood, settings["PfoAnalysisName"])


def phase_at(position: Position) -> Phase:
    """The phase at a place in the plan."""
    return PHASES[STAGES[position.stage + 1][position.phase]]


def _setup(settings: Mapping[str, Any]) -> Setup:
    energies = {name.lower(): float(energy) for name, energy in settings["energies"].items()}
    return Setup(
        of_plan(settings),
        {**ENERGIES, **energies},
        settings["hcalAbsorberThickness"],
        settings["hcalScintillatorThickness"],
    )


def _parameters(parameters: Parameters, step: Step) -> Parameters:
    outcome = step.outcome
    made = outcome.files.get(NEW_LIKELIHOOD)
    return {
        **parameters,
        "constants": dict(outcome.constants),
        "likelihood": parameters["likelihood"] if made is None else made.decode(),
        "record": [*parameters["record"], describe(step)],
    }


def _message(outcome: Outcome, accuracy: float) -> str:
    if outcome.error is None:
        return "done: the phase takes one step"
    return f"fractional error {outcome.error:.4f}, accuracy {accuracy:g}"
