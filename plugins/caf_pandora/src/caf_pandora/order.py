"""The order of stages and phases, by number."""

from collections.abc import Mapping

from caf_core.errors import ConfigurationError
from caf_pandora.settings import Settings

TRAINING_STAGE = 2
TRAINING_PHASE = 5
STAGES: Mapping[int, tuple[int, ...]] = {1: (0, 1, 2, 3, 4), 2: (TRAINING_PHASE,), 3: (0, 1, 2, 3, 4)}
"""Stage -> its phases."""


def chosen(settings: Settings) -> tuple[tuple[int, int], ...]:
    """Stages and phases from ``startStage``, ``startPhase`` to ``stopStage``, ``stopPhase``, in order.

    Stage 2 has one phase, so the numbers of phases do not matter for a start or stop in it. With
    ``startCalibrationFinished``, for debugging, there is nothing to do.

    Raises:
        ConfigurationError: If nothing is left.
    """
    if settings.start_calibration_finished:
        return ()
    first, last = settings.start_stage, settings.stop_stage
    start = (first, 0 if first == TRAINING_STAGE else settings.start_phase)
    stop = (last, TRAINING_PHASE if last == TRAINING_STAGE else settings.stop_phase)
    found = tuple(
        (stage, number)
        for stage, numbers in STAGES.items()
        for number in numbers
        if start <= (stage, number) <= stop
    )
    if not found:
        raise ConfigurationError(
            f"nothing is to be done from stage {start[0]}, phase {start[1]} to stage {stop[0]}, phase "
            f"{stop[1]}: stages 1 and 3 have the phases 0 to 4, stage 2 has phase 5."
        )
    return found
