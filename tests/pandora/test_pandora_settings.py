"""The settings: names, types, ranges, defaults; every problem in one sentence."""

import json
import pickle

import pytest

from caf_core.errors import ConfigurationError
from caf_pandora.phases import schedule
from caf_pandora.settings import REQUIRED, Settings

USER = {"outputPath": "/ilc/user/x", "outputSE": "CERN-DST-EOS"}


def test_clic_defaults():
    settings = Settings.of(USER, "clic")
    assert settings.digitisation_accuracy == 0.05
    assert settings.pandora_pfa_accuracy == 0.025
    assert settings.number_of_jobs == 100
    assert settings.fraction_of_finished_jobs == 0.9
    assert settings.ecal_endcap_range == (0.8, 0.92)
    assert settings.hcal_barrel_range == (0.2, 0.6)
    assert settings.n_hcal_layers == 60
    assert settings.pandora_processor == "MyDDMarlinPandora"
    assert (settings.start_stage, settings.start_phase, settings.stop_stage, settings.stop_phase) == (
        1,
        0,
        3,
        4,
    )


def test_cld_defaults_and_the_users_own_before_them():
    settings = Settings.of({**USER, "nHcalLayers": 45}, "CLD")
    assert settings.detector_model == "FCCee_o1_v04"
    assert settings.digi_processor == "MyDDCaloDigi_10ns"
    assert settings.hcal_barrel_range == (0.15, 0.485)
    assert settings.n_hcal_layers == 45


def test_as_mapping_is_taken_back():
    settings = Settings.of(USER, "CLD")
    assert Settings.of(settings.as_mapping()) == settings
    assert Settings.of(json.loads(json.dumps(settings.as_mapping()))) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert settings.as_mapping()["DDCaloDigiName"] == "MyDDCaloDigi_10ns"


def test_every_missing_superfluous_and_wrong_setting_is_named_at_once():
    with pytest.raises(ConfigurationError) as error:
        Settings.of({"outputPath": None, "numberOfJob": 5, "startStage": 4})
    text = str(error.value)
    for word in ("outputPath", "outputSE", "detectorModel", "nHcalLayers", "ecalBarrelCosThetaRange"):
        assert word in text.split("superfluous")[0]
    assert "superfluous: numberOfJob." in text
    assert "startStage is 4 and should be a whole number from 1 to 3" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("digitisationAccuracy", 0),
        ("digitisationAccuracy", 1.1),
        ("digitisationAccuracy", float("nan")),
        ("digitisationAccuracy", "0.05"),
        ("pandoraPFAAccuracy", True),
        ("startPhase", 6),
        ("startPhase", 1.0),
        ("numberOfJobs", 0),
        ("numberOfJobs", True),
        ("disableSoftwareCompensation", 1),
        ("marlinVersion", ""),
        ("ecalResponseCorrectionForThickLayers", float("inf")),
        ("ecalBarrelCosThetaRange", [0.5]),
        ("ecalBarrelCosThetaRange", [0.6, 0.5]),
        ("ecalBarrelCosThetaRange", [0, 1.2]),
        ("ecalBarrelCosThetaRange", [False, 0.5]),
        ("ecalBarrelCosThetaRange", "01"),
        ("outputSE", None),
    ],
)
def test_what_is_wrong_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=name):
        Settings.of({**USER, name: value}, "CLIC")


@pytest.mark.parametrize(
    "wrong",
    [
        {"startStage": 3, "stopStage": 1},
        {"startPhase": 3, "stopStage": 1, "stopPhase": 2},
        {"nEcalThinLayers": 0},
    ],
)
def test_contradictions_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="wrong"):
        Settings.of({**USER, **wrong}, "CLIC")


def test_an_unknown_detector_names_the_known():
    with pytest.raises(ConfigurationError, match="CLIC, CLD"):
        Settings.of(USER, "ILD")


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (
            (1, 0),
            (3, 4),
            [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)],
        ),
        ((1, 3), (2, 0), [(1, 3), (1, 4), (2, 5)]),
        ((2, 0), (2, 4), [(2, 5)]),
        ((3, 4), (3, 4), [(3, 4)]),
        ((1, 5), (2, 5), [(2, 5)]),
    ],
)
def test_stages_and_phases_from_start_to_stop(start, stop, expected):
    chosen = {"startStage": start[0], "startPhase": start[1], "stopStage": stop[0], "stopPhase": stop[1]}
    settings = Settings.of({**USER, **chosen}, "CLIC")
    assert [(stage, phase.number) for stage, phase in schedule(settings)] == expected


def test_an_empty_schedule_is_refused():
    nothing = {"startStage": 3, "startPhase": 5, "stopStage": 3, "stopPhase": 5}
    with pytest.raises(ConfigurationError, match="nothing is to be done"):
        schedule(Settings.of({**USER, **nothing}, "CLIC"))


def test_all_settings_are_known_by_name_check_and_default():
    known = {one.name: one for one in Settings.known()}
    assert list(known) == list(Settings.of(USER, "CLIC").as_mapping())
    assert known["startStage"].check.meaning == "a whole number from 1 to 3"
    assert known["digitisationAccuracy"].default == 0.05
    required = [name for name, one in known.items() if one.default is REQUIRED]
    assert {"outputPath", "outputSE", "steeringFile", "nHcalLayers"} < set(required)
    for one in known.values():
        assert one.default is REQUIRED or (
            one.check.accepts(one.default) and type(one.default) in one.check.types
        )
