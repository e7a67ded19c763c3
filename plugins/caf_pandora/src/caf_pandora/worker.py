"""What a worker does in a step: reconstruct its share with the constants of the step."""

from collections.abc import Callable, Sequence
from pathlib import Path

from caf_core.errors import ConfigurationError
from caf_core.processes.command import execute
from caf_pandora.constants import Constants
from caf_pandora.errors import PandoraError, ResultFileError
from caf_pandora.inputs import Share
from caf_pandora.phases import Phase
from caf_pandora.settings import Settings
from caf_pandora.step_files import STEERING_FILE, Kit, step_files, write_files

PLACE = "{steering}"
"""Where the name of the steering file goes in a command."""
Reconstruct = Callable[[Path], object]
"""Executes the reconstruction for a steering file, in the directory where that is."""


def reconstruct_share(
    home: Path,
    kit: Kit,
    settings: Settings,
    constants: Constants,
    share: Share,
    phase: Phase,
    reconstruct: Reconstruct,
) -> Path:
    """Prepare a directory, reconstruct a share in it, and find the file that is to be reported.

    Args:
        home: The directory; made if need be, what an older step has left goes away.
        kit: What the calibration started from; with the likelihood of stage 2 if that is over.
        settings: The user's settings.
        constants: The constants of the step.
        share: The worker's events.
        phase: The phase.
        reconstruct: Executes the reconstruction.
    Returns:
        The file to report.
    Raises:
        ResultFileError: If the reconstruction ended without it.
        PandoraError: If the reconstruction failed.
    """
    write_files(home, step_files(kit, settings, constants, share, training=phase.training))
    reconstruct(home / STEERING_FILE)
    made = home / phase.result_file
    if not made.is_file():
        raise ResultFileError(made, "was not written by the reconstruction, though that did not fail.")
    return made


def command(template: Sequence[str], steering: str) -> list[str]:
    """A command from its template, such as ``["Marlin", "{steering}"]``; no shell reads it.

    Raises:
        ConfigurationError: If the template does not have ``{steering}``, or has something else in braces.
    """
    rest = [word.replace(PLACE, "") for word in template]
    if rest == list(template) or any(brace in word for word in rest for brace in "{}"):
        raise ConfigurationError(
            f"the command {list(template)!r} should have {{steering}} and nothing else in braces."
        )
    # Nothing but this is put in: a format of Python could ask for a text as long as the memory.
    return [word.replace(PLACE, steering) for word in template]


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
