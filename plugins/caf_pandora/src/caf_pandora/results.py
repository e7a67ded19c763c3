"""The files that a calibration ends with."""

from collections.abc import Sequence
from pathlib import Path, PurePath

from caf_pandora.constants import Constants, write_constants
from caf_pandora.record import Step, calibration_txt
from caf_pandora.settings import Settings
from caf_pandora.step_files import Kit
from caf_pandora.training import NEW_LIKELIHOOD

RECORD = "Calibration.txt"


def input_name(steering_file: str) -> str:
    """What the copy of the original steering file is called: ``_INPUT`` before the suffix."""
    name = PurePath(steering_file)
    return f"{name.stem}_INPUT{name.suffix}"


def result_files(kit: Kit, settings: Settings, start: Constants, steps: Sequence[Step]) -> dict[str, bytes]:
    """Everything but the pictures, by name.

    The steering file has the new constants and what goes with them, and is otherwise the user's own; its
    original is beside it. The likelihood data are there if stage 2 made them.

    Args:
        kit: What the calibration started from.
        settings: The user's settings.
        start: The constants at the start.
        steps: All steps.
    """
    made = {name: content for step in steps for name, content in step.outcome.files.items()}
    end = steps[-1].outcome.constants if steps else start
    return final_files(kit, settings, end, calibration_txt(start, steps), made.get(NEW_LIKELIHOOD))


def final_files(
    kit: Kit, settings: Settings, end: Constants, record: str, likelihood: bytes | None
) -> dict[str, bytes]:
    """The same from what came of the steps: constants, record, and the likelihood data if there are any."""
    steering = kit.steering.copy()
    write_constants(steering, end, settings)
    name = PurePath(settings.steering_file).name
    files = {
        name: steering.content(),
        input_name(name): kit.steering.content(),
        RECORD: record.encode(),
    }
    return files | ({} if likelihood is None else {NEW_LIKELIHOOD: likelihood})


def write_results(directory: Path, files: dict[str, bytes]) -> None:
    """Write the files; the directory is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
