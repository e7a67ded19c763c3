"""All stages from beginning to end, and what the calibration ends with."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from attrs import evolve

from caf_core.errors import ConfigurationError
from caf_pandora import constants as c
from caf_pandora.demo import demo_settings, starting_constants, table
from caf_pandora.driver import NotConvergedError, calibrate
from caf_pandora.errors import ResultFileError, SteeringError, TooFewEventsError
from caf_pandora.inputs import Inputs
from caf_pandora.outcome import Setup
from caf_pandora.phases import PHASES
from caf_pandora.pictures import draw, write_pictures
from caf_pandora.record import calibration_txt, time_rows, time_table
from caf_pandora.results import result_files, write_results
from caf_pandora.sketch import Sketch
from caf_pandora.standin.detector import CLD, CLIC
from caf_pandora.standin.examples import kit
from caf_pandora.standin.fixed_points import fixed_points
from caf_pandora.standin.program import reconstruct
from caf_pandora.standin.truth import generate
from caf_pandora.steering import Address, Steering
from caf_pandora.training import NEW_LIKELIHOOD
from caf_pandora.worker import command


def within(found, points, fraction=1.0):
    return [
        name for name, point in points.items() if abs(found[name] - point.value) > fraction * point.tolerance
    ]


def test_converges_to_the_truth_within_tolerance(calibrated):
    points = fixed_points(CLIC, calibrated.setup)
    assert within(calibrated.found.constants, points) == []
    assert len(within(calibrated.start, points)) >= 6
    assert len(table(calibrated.found, points).splitlines()) == 1 + len(c.NAMES)
    assert "OUTSIDE" not in table(calibrated.found, points)


def test_every_phase_took_its_steps_in_order(calibrated):
    steps = calibrated.found.steps
    assert tuple(calibrated.seen) == steps
    order = list(dict.fromkeys((step.stage, step.phase.number) for step in steps))
    assert order == [(1, n) for n in range(5)] + [(2, 5)] + [(3, n) for n in range(5)]
    for stage, number in order:
        numbers = [step.number for step in steps if (step.stage, step.phase.number) == (stage, number)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) <= 6
    assert all(
        step.before == (steps[i - 1].outcome.constants if i else calibrated.start)
        for i, step in enumerate(steps)
    )


def test_the_training_makes_stage_three_find_more_photons(calibrated):
    photons = {
        step.stage: step.outcome.metrics["photon_events"]
        for step in calibrated.found.steps
        if step.phase.number == 3
    }
    assert photons[3] > 1.5 * photons[1]


@pytest.fixture(scope="module")
def files(calibrated):
    return result_files(calibrated.kit, calibrated.setup.settings, calibrated.start, calibrated.found.steps)


def test_result_files(calibrated, files, tmp_path):
    assert set(files) == {
        "clicReconstruction.xml",
        "clicReconstruction_INPUT.xml",
        NEW_LIKELIHOOD,
        "Calibration.txt",
    }
    settings = calibrated.setup.settings
    steering = Steering.parse(files["clicReconstruction.xml"])
    assert dict(c.read_constants(steering, settings)) == dict(calibrated.found.constants)
    assert steering.get(Address("LCIOInputFiles")) == "none"
    original = Steering.parse(files["clicReconstruction_INPUT.xml"])
    assert dict(c.read_constants(original, settings)) == dict(calibrated.start)
    write_results(tmp_path / "out", files)
    assert (tmp_path / "out" / NEW_LIKELIHOOD).read_bytes() == files[NEW_LIKELIHOOD]


def test_the_record_has_every_step_and_change(calibrated, files):
    text = files["Calibration.txt"].decode()
    assert text == calibration_txt(calibrated.start, calibrated.found.steps)
    assert text.count("\nstage ") == len(calibrated.found.steps)
    for name in c.NAMES:
        assert f"{name}: " in text
    assert f"{calibrated.found.constants[c.HCAL_TO_HAD]:.8g}" in text.split("constants at the end")[1]
    assert "converged" in text
    assert time_table(time_rows(calibrated.found.steps)).count("\n") == 13


def test_pictures(calibrated, tmp_path):
    first = {step.phase.number: Sketch.of(step) for step in reversed(calibrated.found.steps)}
    written = write_pictures(tmp_path, [first[0], first[2], first[4], first[5]])
    assert [path.name for path in written] == [f"{first[n].stem}.png" for n in (0, 2, 4)]
    assert written[0].name == "stage1_phase0_ECalDigi_step0.png"
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    assert len(draw(first[2]).axes) == 5


def test_pictures_drawn_later_are_the_same(calibrated, tmp_path):
    """The fits of a step go into JSON; what is drawn of it is what is drawn at once."""
    sketches = {step.phase.number: Sketch.of(step) for step in calibrated.found.steps}
    chosen = [sketches[n] for n in (1, 2, 4)]
    at_once = write_pictures(tmp_path / "here", chosen)
    for place, sketch in enumerate(chosen):
        (tmp_path / "result" / "steps" / f"{place}").mkdir(parents=True)
        sketch.write(tmp_path / "result" / "steps" / f"{place}")
    argv = [sys.executable, "-m", "caf_pandora.pictures", str(tmp_path / "result")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.startswith("3 pictures are in ")
    for path in at_once:
        assert (tmp_path / "result" / "pictures" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"fits": {"x": {"kind": "parabola"}}}', '{"fits": {}}']
)
def test_what_is_no_sketch_is_named(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ResultFileError, match=r"x\.json has no fits of a step"):
        Sketch.read(tmp_path / "x.json")


def test_a_missing_matplotlib_is_named(calibrated, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Exception, match=r"caf-pandora\[plot\]"):
        draw(Sketch.of(calibrated.found.steps[0]))


def test_a_quorum_of_the_workers_gives_constants_within_statistics(calibrated):
    """Phase 4 with the files of two of three workers, as a service does that does not wait for all."""
    phase, constants = PHASES[4], calibrated.found.constants
    files = {i: calibrated.workers / f"{i}" / "kaon" / "pfoAnalysis.root" for i in range(3)}
    whole = phase.carry_out({"kaon": files}, constants, calibrated.setup)
    some = phase.carry_out({"kaon": {i: files[i] for i in (2, 0)}}, constants, calibrated.setup)
    assert some.metrics["candidates"] < 0.8 * whole.metrics["candidates"]
    assert some.converged
    for name in c.NAMES:
        assert some.constants[name] == pytest.approx(whole.constants[name], rel=0.02)


@pytest.fixture
def drive(tmp_path, settings, input_files, nominal):
    """Drive a part of a calibration with other settings, constants or inputs."""

    def drive(start=nominal, reconstruct=reconstruct, change=lambda kit: kit, **changes):
        setup = Setup(evolve(settings, **changes))
        files = change(kit(start, setup.settings))
        return calibrate(setup, input_files, files, tmp_path / "workers", reconstruct)

    return drive


ONE = {"start_stage": 3, "stop_stage": 3}


def test_the_number_of_workers_does_not_matter(drive):
    """The same events in the same order: the same constants, bit by bit."""
    found = [drive(**ONE, start_phase=3, number_of_jobs=jobs).constants for jobs in (1, 4)]
    assert found[0] == found[1]


def test_a_start_at_phase_two_reconstructs_the_kaons_first(drive):
    found = drive(**ONE, start_phase=2, stop_phase=2)
    assert [step.phase.number for step in found.steps] == [2]
    assert found.constants[c.CALIBR_HCAL_OTHER] != found.start[c.CALIBR_HCAL_OTHER]


def test_a_start_at_six_tenths_of_the_truth_converges_by_widening_the_cut(drive, nominal, settings):
    far = c.frozen_constants({**nominal, **{name: 0.6 * nominal[name] for name in c.PANDORA[5:]}})
    found = drive(far, **ONE, start_phase=4)
    cuts = [step.outcome.metrics["cut"] for step in found.steps]
    assert cuts[0] > 3
    assert cuts[-1] == 3
    for name in c.PANDORA[5:]:
        assert found.constants[name] == pytest.approx(nominal[name], rel=0.03)


def test_a_phase_that_loses_its_events_ends_with_an_error(drive, nominal):
    far = c.frozen_constants({**nominal, c.HCAL_TO_EM: 1e6})
    with pytest.raises(TooFewEventsError, match="photons found as one photon has"):
        drive(far, **ONE, start_phase=3, stop_phase=3)


def test_a_phase_that_does_not_converge_is_an_error(drive, monkeypatch):
    never = evolve(PHASES[0], update=lambda *given: evolve(PHASES[0].update(*given), converged=False))
    monkeypatch.setattr("caf_pandora.driver.schedule", lambda settings: ((1, never),))
    monkeypatch.setattr("caf_pandora.phases.MAX_STEPS", 3)
    with pytest.raises(
        NotConvergedError, match="phase 0 ECalDigi of stage 1 has not converged within 3 steps"
    ):
        drive()


def test_a_reconstruction_that_writes_nothing_is_an_error(drive):
    with pytest.raises(
        ResultFileError, match=r"workers/0/gamma/pfoAnalysis.root was not written by the reconstruction"
    ):
        drive(reconstruct=lambda steering: None)


def test_a_result_of_an_older_step_is_not_taken_for_a_new_one(drive, nominal):
    """A reconstruction that stops working in the second step must not be covered by the first one's file."""
    calls = []

    def once(steering):
        calls.append(steering)
        return reconstruct(steering) if len(calls) <= 3 else None

    far = c.frozen_constants({**nominal, c.CALIBR_ECAL: 0.8 * nominal[c.CALIBR_ECAL]})
    with pytest.raises(ResultFileError, match=r"workers/0/gamma/pfoAnalysis.root was not written"):
        drive(far, reconstruct=once, **ONE)
    assert len(calls) == 4


def test_more_workers_than_events_are_refused(drive):
    with pytest.raises(ConfigurationError, match="numberOfJobs is 121"):
        drive(number_of_jobs=121)


def test_phase_two_takes_the_kaons_of_phase_one(drive):
    """They are not reconstructed again."""
    calls = []

    def counted(steering):
        calls.append(steering.parent.name)
        return reconstruct(steering)

    found = drive(**ONE, start_phase=1, stop_phase=2, reconstruct=counted)
    assert [step.phase.number for step in found.steps] == [1, 2]
    assert calls == ["kaon"] * 3 + ["muon"] * 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"analysis_processor": "Mine"}, "no processor 'Mine'"),
        ({"pandora_settings": b"<pandora/>"}, "HistogramFile"),
        ({"steering": Steering.parse(b"<marlin/>")}, "no processor 'MyDDCaloDigi'; it has none"),
    ],
)
def test_what_is_missing_is_found_before_anything_is_reconstructed(drive, changes, words):
    with pytest.raises(SteeringError, match=words):
        drive(change=lambda kit: evolve(kit, **changes), reconstruct=lambda steering: pytest.fail("executed"))


def test_a_calibration_that_is_finished_from_the_start(drive, nominal):
    found = drive(start_calibration_finished=True, reconstruct=lambda steering: pytest.fail("reconstructed"))
    assert found.steps == ()
    assert found.constants == nominal


@pytest.mark.parametrize(
    "template",
    [
        ["Marlin"],
        ["Marlin", "{steering}", "{other}"],
        ["Marlin", "{0}"],
        ["Marlin", "{steering:>1000000000}"],
        ["Marlin", "{steering!r}"],
        ["Marlin", "{steering.name}", "{steering}"],
    ],
)
def test_command_templates_are_checked(template):
    with pytest.raises(ConfigurationError, match="steering"):
        command(template, "x")


def test_commands_keep_their_words():
    assert command(["M arlin", "--f={steering}", "$HOME; rm"], "a b.xml") == [
        "M arlin",
        "--f=a b.xml",
        "$HOME; rm",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "detector"), [("CLIC", CLIC), ("CLD", CLD)])
@pytest.mark.parametrize("seed", range(5))
def test_any_start_within_20_percent_converges(tmp_path, name, detector, seed):
    events = {"gamma": 2000, "kaon": 2000, "muon": 1500, "zuds": 200}
    settings = demo_settings(name, 4)
    inputs = Inputs.of(generate(tmp_path / "input", 2, events), events)
    names = {"digi": settings.digi_processor, "pandora": settings.pandora_processor}
    start = starting_constants(detector, seed)
    found = calibrate(
        Setup(settings),
        inputs,
        kit(start, settings),
        tmp_path / "workers",
        partial(reconstruct, detector=detector, **names),
    )
    points = fixed_points(detector, Setup(settings))
    assert within(found.constants, points) == []
    precise = {name: point for name, point in points.items() if "Mip" not in name and "Other" not in name}
    assert all(abs(found.constants[name] / point.value - 1) < 0.015 for name, point in precise.items())


@pytest.mark.slow
def test_the_demo(tmp_path):
    argv = [sys.executable, "-m", "caf_pandora.demo", "--output", str(tmp_path / "out"), "--detector", "CLD"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=True)
    assert "OUTSIDE" not in done.stdout
    assert (tmp_path / "out" / "fccReconstruction_INPUT.xml").is_file()
    assert list((tmp_path / "out" / "pictures").glob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "detector"), [("CLIC", CLIC), ("CLD", CLD)])
def test_fixed_points_are_where_the_estimators_stay_with_many_events(simulate, name, detector):
    """200,000 events a sample: the constants move away from their fixed points by statistics only."""
    setup = Setup(demo_settings(name, 1))
    points = fixed_points(detector, setup)
    constants = c.frozen_constants({name: point.value for name, point in points.items()})
    for phase in PHASES[:5]:
        number = 50_000 if phase.sample == "muon" else 200_000
        results = {phase.sample: simulate(phase.sample, number, constants, detector)}
        for sample in set(phase.samples) - {phase.sample}:
            results[sample] = simulate(sample, number, constants, detector)
        moved = phase.update(results, constants, setup).constants
        for constant in c.NAMES:
            # a peak may come out one bin away: 1 % for the HCal, and as much of it in the ring's constant
            near = 0.015 if constant in (c.HCAL_TO_MIP, c.CALIBR_HCAL_OTHER) else 0.0015
            if phase.number == 4:
                near = 0.002
            assert moved[constant] == pytest.approx(constants[constant], rel=near), (phase.name, constant)
        assert np.isfinite(list(moved.values())).all()
