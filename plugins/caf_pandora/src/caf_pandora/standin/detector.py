"""The simulated detector: everything that is true about it."""

from collections.abc import Mapping

from attrs import frozen

from caf_pandora import constants as c

COS_THETA_MAX = 0.98
"""Particles fly evenly in cos theta up to here."""


@frozen(kw_only=True)
class Detector:
    """A calorimeter like that of CLIC.

    Regions follow ``|cos theta|``: ECal barrel, a gap with a crack, endcap; HCal barrel, ring ("other"),
    endcap.
    ``..._constant`` are inverse sampling fractions: true over visible energy. ``..._mip`` are the most
    probable energies of a minimum ionising particle that crosses a layer straight [GeV].

    Args:
        thick_response: Visible energy of thin over that of thick layers, for the same true energy.
        thin_layers: Thin ECal layers.
        thick_layers: Thick ECal layers.
        ecal_hadron_response: Response of the ECal to hadrons over that to photons.
        crack_response: Response in the gap between barrel and endcap over that beside it.
        em_stochastic: Resolution for photons times sqrt(E / GeV).
        em_constant: What is added to it in quadrature.
        had_stochastic: Resolution for hadrons times sqrt(E / GeV), in each calorimeter.
        photon_leak: Mean fraction of a photon's energy that reaches the HCal.
        straggling: Width of the MIPs' distribution over its most probable value, each calorimeter.
        ecal_threshold: Fraction of the energy in hits below Pandora's threshold, with the true MIP scale.
        hcal_threshold: Likewise for the HCal.
    """

    ecal_constant: float = 37.5
    ecal_endcap_factor: float = 1.03
    hcal_barrel_constant: float = 49.2
    hcal_endcap_constant: float = 53.6
    hcal_other_constant: float = 62.2
    thick_response: float = 1.0
    thin_layers: int = 40
    thick_layers: int = 0
    hcal_layers: int = 60
    muon_layers: int = 7

    ecal_barrel_end: float = 0.65
    ecal_middle: float = 0.72
    ecal_endcap_begin: float = 0.8
    hcal_barrel_end: float = 0.6
    hcal_endcap_begin: float = 0.8

    ecal_hadron_response: float = 0.86
    crack_response: float = 0.985
    em_stochastic: float = 0.16
    em_constant: float = 0.01
    had_stochastic: float = 0.55
    photon_leak: float = 0.004

    ecal_mip: float = 0.0057
    hcal_mip: float = 0.0205
    muon_mip: float = 0.0490
    straggling: float = 0.08
    ecal_threshold: float = 0.015
    hcal_threshold: float = 0.025

    @property
    def ecal_to_em(self) -> float:
        """What turns the ECal's energy above threshold into a photon's."""
        return 1 / (1 - self.ecal_threshold)

    @property
    def hcal_to_had(self) -> float:
        """What turns the HCal's energy above threshold into a hadron's."""
        return 1 / (1 - self.hcal_threshold)

    @property
    def ecal_to_had(self) -> float:
        """What turns the ECal's energy above threshold into a hadron's."""
        return 1 / (self.ecal_hadron_response * (1 - self.ecal_threshold))

    @property
    def visible_endcap_mip(self) -> float:
        """Most probable visible energy in the scintillator of the HCal endcap [GeV]."""
        return self.hcal_mip / self.hcal_endcap_constant

    @property
    def visible_other_mip(self) -> float:
        """Most probable visible energy in the scintillator of the ring [GeV].

        The sampling fractions of ring and endcap are to each other as these energies and the means of the
        direction corrections: the assumption behind the formula of phase 2.
        """
        ratio = self.hcal_endcap_constant / self.hcal_other_constant
        return self.visible_endcap_mip * ratio * self.mean_endcap_direction / self.mean_other_direction

    @property
    def mean_endcap_direction(self) -> float:
        """Mean direction correction in the HCal endcap: ``|cos theta|`` averaged over it."""
        return (self.hcal_endcap_begin + COS_THETA_MAX) / 2

    @property
    def mean_other_direction(self) -> float:
        """Mean direction correction in the ring."""
        return (self.hcal_barrel_end + self.hcal_endcap_begin) / 2

    def nominal(self) -> Mapping[str, float]:
        """The simulation's own constants: with them every mean energy is the true one."""
        return {
            c.CALIBR_ECAL: self.ecal_constant,
            c.ECAL_ENDCAP_FACTOR: self.ecal_endcap_factor,
            c.CALIBR_HCAL_BARREL: self.hcal_barrel_constant,
            c.CALIBR_HCAL_ENDCAP: self.hcal_endcap_constant,
            c.CALIBR_HCAL_OTHER: self.hcal_other_constant,
            c.ECAL_TO_MIP: 1 / self.ecal_mip,
            c.HCAL_TO_MIP: 1 / self.hcal_mip,
            c.MUON_TO_MIP: 1 / self.muon_mip,
            c.ECAL_TO_EM: self.ecal_to_em,
            c.HCAL_TO_EM: self.ecal_to_em,
            c.ECAL_TO_HAD_BARREL: self.ecal_to_had,
            c.ECAL_TO_HAD_ENDCAP: self.ecal_to_had,
            c.HCAL_TO_HAD: self.hcal_to_had,
        }


CLIC = Detector()
CLD = Detector(
    hcal_layers=44,
    ecal_barrel_end=0.643,
    ecal_middle=0.70,
    ecal_endcap_begin=0.766,
    hcal_barrel_end=0.485,
    hcal_endcap_begin=0.72,
)
DETECTORS: Mapping[str, Detector] = {"CLIC": CLIC, "CLD": CLD}
