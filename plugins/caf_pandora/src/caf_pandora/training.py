"""Phase 5: the likelihood data for photon identification, from all workers."""

from collections.abc import Mapping

from caf_pandora.constants import Constants
from caf_pandora.errors import TooFewEventsError
from caf_pandora.likelihood import merge
from caf_pandora.outcome import Outcome, Setup
from caf_pandora.reading import Results

NEW_LIKELIHOOD = "newPandoraLikelihoodData.xml"
FEWEST_EVENTS = 5


def update_training(results: Mapping[str, Results], constants: Constants, setup: Setup) -> Outcome:
    """Phase 5, PhotonTraining: the workers' likelihood files merged; the constants stay.

    Raises:
        SteeringError: If a file is damaged, or does not fit the others.
        TooFewEventsError: If they were made from fewer than five signal or background candidates.
    """
    del setup
    merged = merge(results["zuds"].likelihoods)
    numbers = {kind: round(float(events.sum())) for kind, events in merged.events.items()}
    for kind, number in numbers.items():
        if number < FEWEST_EVENTS:
            raise TooFewEventsError(
                f"the photon training ({kind})", number, FEWEST_EVENTS, "take more zuds events"
            )
    return Outcome(
        constants=constants,
        metrics={"signal_events": float(numbers["Sig"]), "background_events": float(numbers["Bkg"])},
        converged=True,
        files={NEW_LIKELIHOOD: merged.content()},
    )
