"""The settings that follow from the detector: CLIC and CLD."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

DETECTORS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "CLIC": MappingProxyType(
            {
                "detectorModel": "CLIC_o3_v14",
                "ecalBarrelCosThetaRange": (0.0, 0.65),
                "ecalEndcapCosThetaRange": (0.8, 0.92),
                "hcalBarrelCosThetaRange": (0.2, 0.6),
                "hcalEndcapCosThetaRange": (0.8, 0.9),
                "nHcalLayers": 60,
                "nEcalThinLayers": 40,
                "steeringFile": "clicReconstruction.xml",
                "nameOfTheConfigPackage": "ClicPerformance",
            }
        ),
        "CLD": MappingProxyType(
            {
                "detectorModel": "FCCee_o1_v04",
                "ecalBarrelCosThetaRange": (0.0, 0.643),
                "ecalEndcapCosThetaRange": (0.766, 0.94),
                "hcalBarrelCosThetaRange": (0.15, 0.485),
                "hcalEndcapCosThetaRange": (0.72, 0.94),
                "nHcalLayers": 44,
                "steeringFile": "fccReconstruction.xml",
                "nameOfTheConfigPackage": "ClicPerformance",
                "DDPandoraPFANewProcessorName": "MyDDMarlinPandora_10ns",
                "DDCaloDigiName": "MyDDCaloDigi_10ns",
            }
        ),
    }
)
"""Detector -> setting -> default; what is not here has a default for all detectors, or none."""
ABSORBER: Mapping[str, float] = MappingProxyType({"endcap": 20.0, "other": 20.0})
"""Region -> thickness of the HCal's absorber layers [mm]."""
SCINTILLATOR: Mapping[str, float] = MappingProxyType({"endcap": 3.0, "other": 3.0})
"""Region -> thickness of the HCal's scintillator layers [mm]."""
