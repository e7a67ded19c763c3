"""What the stand-in makes of deposits with the constants it is given: columns and histograms."""

from collections.abc import Mapping

import numpy as np
from attrs import frozen

from caf_pandora import constants as c
from caf_pandora.histogram import Floats, Histogram
from caf_pandora.reading import Bools
from caf_pandora.standin import hits
from caf_pandora.standin.detector import Detector
from caf_pandora.standin.photon_id import PhotonId, shower_shapes
from caf_pandora.standin.truth import Particles

CONVERTED = 0.05
"""Fraction of photons that convert before the calorimeter, which makes two true particles of one."""
FRAGMENTED = {"gamma": 0.04, "kaon": 0.12}
"""Fraction of showers that are found as two."""
DIRECTIONS = 10
"""Direction corrections that a K0L enters in the histograms, one a hit."""

BINS: Mapping[str, tuple[int, float]] = {
    "ECalDirectionCorrectedCaloHitEnergy": (500, 0.1),
    "HCalDirectionCorrectedCaloHitEnergy": (500, 0.1),
    "MuonDirectionCorrectedCaloHitEnergy": (500, 1.0),
    "HCalDirectionCorrectedSimCaloHitBarrel": (200, 0.001),
    "HCalDirectionCorrectedSimCaloHitEndCap": (200, 0.001),
    "HCalDirectionCorrectedSimCaloHitOther": (200, 0.005),
    "HCalBarrelDirectionCorrectionSimCaloHit": (200, 1.0),
    "HCalEndCapDirectionCorrectionSimCaloHit": (200, 1.0),
    "HCalOtherDirectionCorrectionSimCaloHit": (200, 1.0),
}
"""Histogram -> its number of bins and upper end; all begin at 0."""


@frozen(eq=False)
class Reconstructed:
    """What goes into ``pfoAnalysis.root``.

    Args:
        columns: Branch -> values, shape (n,).
        histograms: Name -> histogram.
    """

    columns: Mapping[str, Floats]
    histograms: Mapping[str, Histogram]


@frozen(eq=False)
class Reconstruction:
    """The reconstruction with some constants.

    Args:
        detector: The simulated detector.
        constants: Constant -> value.
        thick: The second number of ``CalibrECAL``.
    """

    detector: Detector
    constants: Mapping[str, float]
    thick: float

    def showers(self, some: Particles, photon_id: PhotonId) -> Reconstructed:
        """Photons or K0L."""
        photons = some.sample == "gamma"
        deposits = (hits.photon_deposits if photons else hits.kaon_deposits)(self.detector, some)
        ecal = self._ecal(some, deposits.thin, deposits.thick)
        hcal = deposits.hcal * self._hcal_constants(some)
        em_scale, had_scale, hcal_share = self._above_threshold(some)
        shapes = {name: value[:, 0] for name, value in shower_shapes(some.dice, photons).items()}
        looks = photon_id.is_photon(ecal * em_scale, shapes)
        pfos = 1 + (some.dice.uniform("fragments") < FRAGMENTED[some.sample])
        targets = 1 + (some.dice.uniform("conversion") < CONVERTED) * photons
        zeros = np.zeros(len(ecal))
        columns = {
            "nPfosTotal": pfos,
            "nPfosPhotons": looks * pfos,
            "nPfosNeutralHadrons": ~looks * pfos,
            "nPfosTracks": zeros,
            "nPfoTargetsTotal": targets,
            "nPfoTargetsPhotons": targets * photons,
            "nPfoTargetsNeutralHadrons": targets * (not photons),
            "nPfoTargetsTracks": zeros,
            "pfoECalToEmEnergy": ecal * em_scale,
            "pfoHCalToEmEnergy": hcal * hcal_share * self.constants[c.HCAL_TO_EM],
            "pfoECalToHadEnergy": ecal * had_scale,
            "pfoHCalToHadEnergy": hcal * hcal_share * self.constants[c.HCAL_TO_HAD],
            "pfoMinHCalLayerToEdge": deposits.layers_to_edge,
            "hCalCaloHitEnergyFromEdge": hcal * deposits.at_edge,
            "TotalCaloHitEnergy": ecal + hcal,
            "ECalTotalCaloHitEnergy": ecal,
            "HCalTotalCaloHitEnergy": hcal,
        }
        return Reconstructed(columns, _filled({} if photons else self._directions(some)))

    def muons(self, muons: Particles) -> Reconstructed:
        """Muons, which leave one minimum ionising particle's energy in every layer, and noise beside it."""
        detector, ones = self.detector, np.ones(len(muons.events))
        mips = {
            "ecal": hits.straight_mips(detector, muons, "ecal", detector.thin_layers),
            "hcal": hits.straight_mips(detector, muons, "hcal", detector.hcal_layers),
            "muon": hits.straight_mips(detector, muons, "muon", detector.muon_layers),
        }
        noise = -0.05 * np.log(muons.dice.uniforms("noise", 20))
        endcap = hits.in_ecal_endcap(detector, muons.cos_theta)
        factor = self.constants[c.ECAL_ENDCAP_FACTOR] / detector.ecal_endcap_factor
        ecal_scale = self._ecal_scale * np.where(endcap, factor, 1.0)[:, None]
        regions = hits.hcal_region(detector, muons.cos_theta)
        visible = (
            detector.hcal_mip / detector.hcal_barrel_constant,
            detector.visible_endcap_mip,
            detector.visible_other_mip,
        )
        fills = {
            f"HCalDirectionCorrectedSimCaloHit{name}": (mips["hcal"] * mip)[region]
            for name, mip, region in zip(("Barrel", "EndCap", "Other"), visible, regions, strict=True)
        }
        straight = np.select(regions, visible)[:, None] * self._hcal_constants(muons)[:, None]
        for name, mip, scale in (
            ("ECal", "ecal", detector.ecal_mip * ecal_scale),
            ("HCal", "hcal", straight),
            ("Muon", "muon", detector.muon_mip * ones[:, None]),
        ):
            fills[f"{name}DirectionCorrectedCaloHitEnergy"] = np.hstack([mips[mip], noise]) * scale
        columns = dict.fromkeys(("nPfosTotal", "nPfosTracks", "nPfoTargetsTotal", "nPfoTargetsTracks"), ones)
        return Reconstructed(columns, _filled(fills))

    def photon_scale(self) -> float:
        """Measured over true energy of photons in the ECal barrel."""
        kept = 1 - float(self._lost_in_ecal(np.ones(1))[0])
        return self._ecal_scale * kept * self.constants[c.ECAL_TO_EM]

    @property
    def _ecal_scale(self) -> float:
        return self.constants[c.CALIBR_ECAL] / self.detector.ecal_constant

    def _ecal(self, some: Particles, thin: Floats, thick: Floats) -> Floats:
        endcap = hits.in_ecal_endcap(self.detector, some.cos_theta)
        factor = np.where(endcap, self.constants[c.ECAL_ENDCAP_FACTOR], 1.0)
        energy: Floats = (thin * self.constants[c.CALIBR_ECAL] + thick * self.thick) * factor
        return energy

    def _hcal_constants(self, some: Particles) -> Floats:
        regions = hits.hcal_region(self.detector, some.cos_theta)
        names = (c.CALIBR_HCAL_BARREL, c.CALIBR_HCAL_ENDCAP, c.CALIBR_HCAL_OTHER)
        constants: Floats = np.select(regions, [self.constants[name] for name in names])
        return constants

    def _lost_in_ecal(self, factor: Floats) -> Floats:
        """Fraction of the energy below Pandora's threshold, a fixed number of MIPs by its own scale.

        A MIP scale that is too low puts the threshold at higher energies, and more is lost.
        """
        straight = self.detector.ecal_mip * self._ecal_scale * factor
        lost: Floats = np.minimum(
            self.detector.ecal_threshold / (self.constants[c.ECAL_TO_MIP] * straight), 0.5
        )
        return lost

    def _above_threshold(self, some: Particles) -> tuple[Floats, Floats, Floats]:
        """What ECal energies are multiplied by for photons and hadrons, and what HCal energies keep."""
        endcap = hits.in_ecal_endcap(self.detector, some.cos_theta)
        relative = self.constants[c.ECAL_ENDCAP_FACTOR] / self.detector.ecal_endcap_factor
        kept = 1 - self._lost_in_ecal(np.where(endcap, relative, 1.0))
        hadronic = np.where(
            endcap, self.constants[c.ECAL_TO_HAD_ENDCAP], self.constants[c.ECAL_TO_HAD_BARREL]
        )
        nominal = self.detector.nominal()
        names = (c.CALIBR_HCAL_BARREL, c.CALIBR_HCAL_ENDCAP, c.CALIBR_HCAL_OTHER)
        truth = np.select(hits.hcal_region(self.detector, some.cos_theta), [nominal[name] for name in names])
        straight = self.detector.hcal_mip * self._hcal_constants(some) / truth
        lost = np.minimum(self.detector.hcal_threshold / (self.constants[c.HCAL_TO_MIP] * straight), 0.5)
        return kept * self.constants[c.ECAL_TO_EM], kept * hadronic, 1 - lost

    def _directions(self, kaons: Particles) -> dict[str, Floats]:
        """Direction corrections of the K0L's hits, spread a little around the K0L's own."""
        spread = 0.02 * (kaons.dice.uniforms("hit directions", DIRECTIONS) - 0.5)
        absolute = np.abs(kaons.cos_theta)
        barrel, endcap, other = hits.hcal_region(self.detector, kaons.cos_theta)
        return {
            "HCalBarrelDirectionCorrectionSimCaloHit": (np.sqrt(1 - absolute**2)[:, None] + spread)[barrel],
            "HCalEndCapDirectionCorrectionSimCaloHit": (absolute[:, None] + spread)[endcap],
            "HCalOtherDirectionCorrectionSimCaloHit": (absolute[:, None] + spread)[other],
        }


def _filled(fills: Mapping[str, Bools | Floats]) -> dict[str, Histogram]:
    """All histograms, empty where nothing is filled."""
    histograms = {}
    for name, (bins, upper) in BINS.items():
        counts, edges = np.histogram(fills.get(name, np.zeros(0)), bins, (0.0, upper))
        histograms[name] = Histogram(edges, counts.astype(np.float64))
    # what lies beyond the upper end is dropped, as nobody reads the overflow
    return histograms
