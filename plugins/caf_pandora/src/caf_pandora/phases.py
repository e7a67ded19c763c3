"""The phases and stages as a table; whoever drives a calibration reads it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen

from caf_pandora import digitisation, energies, mips, training
from caf_pandora.order import STAGES as STAGES
from caf_pandora.order import chosen
from caf_pandora.outcome import Outcome, Setup, Update
from caf_pandora.reading import Results, read_likelihoods, read_results
from caf_pandora.settings import Settings

RESULT_FILE = "pfoAnalysis.root"
LIKELIHOOD_FILE = "PandoraLikelihoodData9EBin.xml"
MAX_STEPS = 20
"""How many steps a phase may take; each should need two or three."""


@frozen
class Phase:
    """One phase.

    Args:
        number: 0 to 5.
        name: Its name.
        sample: What the workers reconstruct in each of its steps.
        before: The number of a phase whose sample's results it needs too, from that phase's last step. If it
            was left out, its sample has to be reconstructed with the constants at hand.
        wanted: Sample -> branches and histograms that are read of its files.
        update: The update function.
        accuracy: The accuracy that the fractional error has to get below; ``None`` for phases of one step.
        result_file: What the worker reports.
    """

    number: int
    name: str
    sample: str
    wanted: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    update: Update
    accuracy: Callable[[Settings], float] | None
    before: int | None = None
    result_file: str = RESULT_FILE

    @property
    def samples(self) -> tuple[str, ...]:
        """The samples whose results it needs."""
        return tuple(self.wanted)

    @property
    def training(self) -> bool:
        """Whether Pandora makes likelihood data in it instead of using them."""
        return self.result_file == LIKELIHOOD_FILE

    @property
    def max_steps(self) -> int:
        """How many steps it may take."""
        return 1 if self.accuracy is None else MAX_STEPS

    def read(self, files: Mapping[str, Mapping[int, Path]]) -> dict[str, Results]:
        """Read what the workers have reported.

        Args:
            files: Sample -> number of the worker -> its file; of all its ``samples``.
        Raises:
            ResultFileError: If a file cannot be used.
        """
        if self.training:
            return {self.sample: read_likelihoods(files[self.sample])}
        return {sample: read_results(files[sample], *wanted) for sample, wanted in self.wanted.items()}

    def carry_out(
        self, files: Mapping[str, Mapping[int, Path]], constants: Mapping[str, float], setup: Setup
    ) -> Outcome:
        """Read the files and update the constants."""
        return self.update(self.read(files), constants, setup)


def _digitisation_accuracy(settings: Settings) -> float:
    return settings.digitisation_accuracy


def _pandora_accuracy(settings: Settings) -> float:
    return settings.pandora_pfa_accuracy


PHASES = (
    Phase(
        0,
        "ECalDigi",
        "gamma",
        {"gamma": (digitisation.ECAL_BRANCHES, ())},
        digitisation.update_ecal,
        _digitisation_accuracy,
    ),
    Phase(
        1,
        "HCalDigi",
        "kaon",
        {"kaon": (digitisation.HCAL_BRANCHES, ())},
        digitisation.update_hcal,
        _digitisation_accuracy,
    ),
    Phase(
        2,
        "MuonAndHCalOtherDigi",
        "muon",
        {"muon": ((), mips.MUON_HISTOGRAMS), "kaon": ((), mips.KAON_HISTOGRAMS)},
        mips.update_mips,
        None,
        before=1,
    ),
    Phase(
        3,
        "ElectroMagEnergy",
        "gamma",
        {"gamma": (energies.EM_BRANCHES, ())},
        energies.update_em,
        _pandora_accuracy,
    ),
    Phase(
        4,
        "HadronicEnergy",
        "kaon",
        {"kaon": (energies.HAD_BRANCHES, ())},
        energies.update_had,
        _pandora_accuracy,
    ),
    Phase(
        5,
        "PhotonTraining",
        "zuds",
        {"zuds": ((), ())},
        training.update_training,
        None,
        result_file=LIKELIHOOD_FILE,
    ),
)
"""All phases, by number."""


def schedule(settings: Settings) -> tuple[tuple[int, Phase], ...]:
    """The stages and phases that the settings choose, in order; see ``caf_pandora.order.chosen``.

    Raises:
        ConfigurationError: If nothing is left.
    """
    return tuple((stage, PHASES[number]) for stage, number in chosen(settings))
