"""What an update function is given and gives back."""

from collections.abc import Callable, Mapping

from attrs import field, frozen

from caf_pandora.constants import Constants
from caf_pandora.detectors import ABSORBER, SCINTILLATOR
from caf_pandora.gaussian import GaussianFit
from caf_pandora.inputs import ENERGIES, KAON_MASS
from caf_pandora.line import LineFit
from caf_pandora.peaks import Peak
from caf_pandora.reading import Results
from caf_pandora.settings import Settings

Fit = GaussianFit | LineFit | Peak


@frozen
class Setup:
    """What stays the same in a calibration.

    Args:
        settings: The user's settings.
        energies: Sample -> true energy [GeV].
        absorber: Region of the HCal, ``endcap`` and ``other`` -> thickness of its absorber [mm].
        scintillator: Region -> thickness of its scintillator [mm].
    """

    settings: Settings
    energies: Mapping[str, float] = field(default=ENERGIES)
    absorber: Mapping[str, float] = field(default=ABSORBER)
    scintillator: Mapping[str, float] = field(default=SCINTILLATOR)

    @property
    def kinetic(self) -> float:
        """Kinetic energy of the K0L [GeV]."""
        return self.energies["kaon"] - KAON_MASS


@frozen(kw_only=True)
class Outcome:
    """What a phase makes of the results of a step.

    Args:
        constants: The constants from now on. They are new also in the step that converges: its correction is
            the best one that there is.
        metrics: Numbers about the step, by name.
        error: The fractional error of the constants that the results were made with; ``None`` if the phase
            takes one step whatever comes out.
        converged: Whether the phase is over.
        fits: What was fitted, by name, for pictures.
        files: Contents of files that the phase makes, by name.
    """

    constants: Constants
    metrics: Mapping[str, float]
    error: float | None = None
    converged: bool
    fits: Mapping[str, Fit] = field(factory=dict, repr=False)
    files: Mapping[str, bytes] = field(factory=dict, repr=False)


Update = Callable[[Mapping[str, Results], Constants, Setup], Outcome]
"""Results by sample, the constants they were made with, and the setup make an outcome."""
