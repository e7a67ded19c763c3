"""The plan: what users may say, and a whole calibration by the service's engine, without a service."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from caf_core.errors import ConfigurationError
from caf_core.plugins.lookup import import_named
from caf_core.testing.bench import wait_until
from caf_pandora import constants as c
from caf_pandora.demo import demo_settings
from caf_pandora.errors import PandoraError, SteeringError, TooFewEventsError
from caf_pandora.likelihood import Likelihood
from caf_pandora.order import STAGES
from caf_pandora.outcome import Setup
from caf_pandora.phases import PHASES
from caf_pandora.plan import PLAN, SETTINGS, STAND_IN, arrange
from caf_pandora.record import describe
from caf_pandora.standin.detector import DETECTORS
from caf_pandora.standin.examples import kit
from caf_pandora.standin.fixed_points import fixed_points
from caf_pandora.steering import Steering
from caf_pandora.stepping import FILES, begin, kit_of, share
from caf_service.client import Client
from caf_service.config import ServiceConfig
from caf_service.engine import advance
from caf_service.events import BeginStep, End, MakeUpdate, Reported, Updated
from caf_service.limits import Limits
from caf_service.plan import Plan, Position, Request, Results, Work
from caf_service.plans import Catalogue, accuracy_of, route_of
from caf_service.server import Server
from caf_service.settings import complete
from caf_service.snapshot import Snapshot, State
from caf_service.transport import RefusedError

NUMBERS = {"gamma": 800, "kaon": 800, "muon": 400, "zuds": 60}
GIVEN = {"detector": "CLIC", "numberOfEventsPerFile": NUMBERS}
WORKERS = 3


def arranged(**more: Any) -> Request:
    settings = {**GIVEN, **more.pop("settings", {})}
    return arrange(Request(**{"settings": settings, "workers": WORKERS, **more}))


def phases(request: Request) -> list[tuple[int, int]]:
    """Stage and phase of everything on the way."""
    route = route_of(PLAN, request.start, request.stop)
    return [(one.stage + 1, STAGES[one.stage + 1][one.phase]) for one in route]


def test_the_plan_has_the_phases_of_the_library():
    assert len(PLAN.stages) == len(STAGES)
    defaults = {name: one.default for name, one in SETTINGS.items()}
    for stage, numbers in zip(PLAN.stages, STAGES.values(), strict=True):
        for told, phase in zip(stage.phases, (PHASES[number] for number in numbers), strict=True):
            assert (told.name, told.sample, told.max_steps) == (phase.name, phase.sample, phase.max_steps)
            accuracy = phase.accuracy(demo_settings("CLIC", 1)) if phase.accuracy else 0.0
            assert accuracy_of(told, defaults) == accuracy
            assert told.fails_at_maximum


def test_it_is_found_and_quickly_imported():
    catalogue = Catalogue({})
    for name, plan in (("pandora", PLAN), ("pandora-standin", STAND_IN)):
        found, reference = catalogue.find(name)
        assert (found.name, found.stages, reference) == (name, plan.stages, "")
        for function in (plan.begin, plan.finish, plan.share, plan.work):
            assert callable(import_named(str(function)))
    heavy = {"numpy", "uproot", "awkward", "iminuit", "lxml", "matplotlib"}
    code = f"import sys, caf_pandora.plan; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == ""


def test_a_detector_fills_in_what_belongs_to_it():
    settings = arranged(settings={"detector": "cld", "nHcalLayers": 43}).settings
    assert (settings["detectorModel"], settings["nHcalLayers"]) == ("FCCee_o1_v04", 43)
    assert complete(settings, SETTINGS, "it") == settings
    json.dumps(settings, allow_nan=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"detector": "ILD"}, "detector is 'ILD'"),
        ({"detector": ""}, "missing: detectorModel, ecalBarrelCosThetaRange"),
        ({"digitizationAccuracy": 0.1}, "superfluous: digitizationAccuracy"),
        ({"digitisationAccuracy": None}, "digitisationAccuracy is None, but it is a number above 0"),
        ({"ecalBarrelCosThetaRange": [0.5, 0.1]}, "the lower one first"),
        ({"numberOfEventsPerFile": {"gamma": 0}}, "numberOfEventsPerFile is {'gamma': 0}"),
        ({"numberOfEventsPerFile": {"gamma": 1.5}}, "numberOfEventsPerFile is {'gamma': 1.5}"),
        ({"energies": {"photon": 5.0}}, "energies is"),
        ({"hcalAbsorberThickness": {"endcap": 20.0}}, "hcalAbsorberThickness is {'endcap': 20.0}"),
        ({"hcalScintillatorThickness": {"endcap": 3.0, "other": 0}}, "in endcap and other [mm]"),
        ({"startStage": 3, "stopStage": 1}, "is after the stop"),
        ({"startPhase": 5, "stopStage": 1, "stopPhase": 5}, "nothing is to be done"),
        ({"startCalibrationFinished": True}, "leaves nothing to do"),
        ({"numberOfJobs": 4}, "numberOfJobs is 4 and the number of workers is 3; say it once"),
    ],
)
def test_what_cannot_be_done_is_said(settings, message):
    with pytest.raises(ConfigurationError) as error:
        arranged(settings=settings)
    assert message in str(error.value)


def test_quorum_and_workers_are_said_in_either_way():
    name = "fractionOfFinishedJobsNeededToStartNextStep"
    assert (arranged().quorum, arranged().settings["numberOfJobs"]) == (0.9, WORKERS)
    assert arranged(settings={name: 0.5}).quorum == 0.5
    assert arranged(quorum=1.0).settings[name] == 1.0
    with pytest.raises(ConfigurationError, match=r"the quorum is 1.0; say it once"):
        arranged(quorum=1.0, settings={name: 0.5})


EVERYTHING = [(stage, number) for stage, numbers in STAGES.items() for number in numbers]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, EVERYTHING),
        ({"settings": {"startStage": 2}}, EVERYTHING[5:]),
        ({"settings": {"stopStage": 1, "stopPhase": 0}}, [(1, 0)]),
        ({"settings": {"startPhase": 3, "stopStage": 2}}, EVERYTHING[3:6]),
        ({"settings": {"startPhase": 2, "stopStage": 1, "stopPhase": 2}}, [(1, 1), (1, 2)]),
        ({"start": {"stage": "stage3", "phase": "MuonAndHCalOtherDigi"}}, EVERYTHING[7:]),
        ({"start": {"stage": 1}, "stop": {"stage": 1}}, [(2, 5)]),
        ({"stop": {"stage": "stage1"}}, EVERYTHING[:5]),
        ({"stop": {"phase": "ECalDigi"}, "settings": {"startStage": 3}}, [(3, 0)]),
    ],
)
def test_start_and_stop_are_said_in_either_way(request_, expected):
    assert phases(arranged(**request_)) == expected


def test_a_start_that_is_said_twice_is_refused():
    with pytest.raises(ConfigurationError, match="startStage is 3 and the place to start is 1"):
        arranged(settings={"startStage": 3}, start={"phase": "HCalDigi"})


def test_output_and_samples_are_taken_as_users_write_them():
    request = arranged(settings={"outputPath": "clic"}, inputs={"GAMMA": ["a"], "Kaon": ["b"]})
    assert (request.output_dir, set(request.inputs)) == ("clic", {"gamma", "kaon"})
    assert arranged().output_dir == ""


def test_events_are_shared_out_and_none_is_lost():
    numbers = {"Gamma": 5, "muon": 2, "kaon": 9}
    shares = share({"gamma": ["a", "b"], "muon": ["m", "n"]}, {"numberOfEventsPerFile": numbers}, 3)
    assert [[(one.file, one.first, one.count) for one in each["gamma"]] for each in shares] == [
        [("a", 0, 3)],
        [("a", 3, 2), ("b", 0, 1)],
        [("b", 1, 4)],
    ]
    with pytest.raises(ConfigurationError, match="missing: muon"):
        share({"gamma": ["a"], "muon": ["m"]}, {"numberOfEventsPerFile": {"gamma": 1}}, 1)
    with pytest.raises(ConfigurationError, match="numberOfJobs is 5 and the sample muon has 4 events"):
        share({"gamma": ["a"], "muon": ["m", "n"]}, {"numberOfEventsPerFile": numbers}, 5)


@pytest.fixture
def attached(tmp_path: Path, calibrated: SimpleNamespace) -> Mapping[str, Path]:
    """The files that a calibration brings, under the numbers that a service gives them."""
    return attach(tmp_path, calibrated.kit)


def attach(folder: Path, files: Any) -> Mapping[str, Path]:
    contents = (files.steering.content(), files.pandora_settings, files.likelihood)
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content)
    return {name: folder / str(number) for number, name in enumerate(FILES)}


def test_what_is_missing_is_said_at_the_beginning(attached, monkeypatch):
    settings = arranged().settings
    monkeypatch.setenv("CAF_PANDORA_COMMAND", "/opt/marlin/run.sh --quiet '{steering}'")
    assert begin(settings, attached)["command"] == ["/opt/marlin/run.sh", "--quiet", "{steering}"]
    monkeypatch.setenv("CAF_PANDORA_COMMAND", "Marlin")
    with pytest.raises(ConfigurationError, match="should have"):
        begin(settings, attached)
    with pytest.raises(ConfigurationError, match=r"PandoraSettings\.xml are missing"):
        kit_of(settings, {name: path for name, path in attached.items() if name != FILES[1]})
    monkeypatch.delenv("CAF_PANDORA_COMMAND")
    with pytest.raises(SteeringError, match="no processor 'Other'"):
        begin(arranged(settings={"DDCaloDigiName": "Other"}).settings, attached)
    with pytest.raises(SteeringError, match="no processor 'Analysis'"):
        begin(arranged(settings={"PfoAnalysisName": "Analysis"}).settings, attached)


class Rehearsal:
    """A calibration as a service carries it out, in one process: the engine says what happens.

    Args:
        directory: Where files go.
        request: What the user asks for.
        inputs: The files that came along.
        absent: ``(worker, serial) ->`` whether a worker does not report.
        plan: The plan.
    """

    def __init__(
        self,
        directory: Path,
        request: Request,
        inputs: Mapping[str, Path],
        absent: Callable[[int, int], bool] = lambda worker, serial: False,
        plan: Plan = STAND_IN,
    ) -> None:
        self.directory, self.inputs, self.absent, self.plan = directory, inputs, absent, plan
        self.request = arrange(request)
        # As it comes out of a database.
        self.settings = json.loads(json.dumps(complete(self.request.settings, SETTINGS, "it")))
        route = route_of(self.plan, self.request.start, self.request.stop)
        self.snapshot = Snapshot(route, self.request.workers, self.request.quorum or 1.0)
        self.parameters = self._call(self.plan.begin, self.settings, inputs)
        self.shares = share(self.request.inputs, self.settings, self.request.workers)
        self.steps: list[SimpleNamespace] = []

    def _call(self, function: Any, *arguments: Any) -> Any:
        return import_named(function)(*arguments) if isinstance(function, str) else function(*arguments)

    def run(self) -> State:
        """Until it ends."""
        while not self.snapshot.state.ended:
            serial = self.snapshot.serial
            files = {}
            for worker in range(self.snapshot.workers):
                if not self.absent(worker, serial) and self.snapshot.state is State.RUNNING:
                    files[worker] = self._worked(worker)
                    self.snapshot, effects = advance(self.snapshot, Reported(worker, serial))
            (effect,) = effects
            assert isinstance(effect, MakeUpdate)
            self._update(effect, files)
        return self.snapshot.state

    def _phase(self, position: Position) -> Any:
        return self.plan.stages[position.stage].phases[position.phase]

    def _worked(self, worker: int) -> Path:
        position = self.snapshot.position
        directory = self.directory / f"{worker}" / f"{position.serial}"
        directory.mkdir(parents=True)
        phase = self._phase(position)
        return self._call(
            self.plan.work,
            Work(
                position=position,
                stage=self.plan.stages[position.stage].name,
                phase=phase.name,
                parameters=json.loads(json.dumps(self.parameters)),
                settings=self.settings,
                slices=self.shares[worker][phase.sample],
                worker=worker,
                workers=self.snapshot.workers,
                directory=directory,
                inputs=self.inputs,
            ),
        )

    def _update(self, effect: MakeUpdate, files: dict[int, Path]) -> None:
        position = self.snapshot.position
        phase = self._phase(position)
        directory = self.directory / "updates" / f"{effect.serial}"
        directory.mkdir(parents=True)
        results = Results(
            position=position,
            files={worker: files[worker] for worker in effect.used},
            earlier={
                self._phase(one.position).name: one.files
                for one in self.steps
                if one.position.stage == position.stage and one.position.phase < position.phase
            },
            settings=self.settings,
            accuracy=accuracy_of(phase, self.settings),
            directory=directory,
            inputs=self.inputs,
        )
        update = self._call(phase.update, results, self.parameters)
        self.steps.append(
            SimpleNamespace(
                position=position,
                files=results.files,
                update=update,
                missing=effect.missing,
                directory=directory,
            )
        )
        self.snapshot, effects = advance(self.snapshot, Updated(effect.serial, update))
        self.parameters = update.parameters
        assert all(isinstance(one, BeginStep | End) for one in effects)

    def finish(self) -> Path:
        """The folder with the result."""
        folder = self.directory / "result"
        folder.mkdir()
        self._call(self.plan.finish, self.parameters, self.settings, self.inputs, folder)
        return folder


@pytest.fixture
def rehearse(
    tmp_path: Path, attached: Mapping[str, Path], calibrated: SimpleNamespace
) -> Callable[..., Rehearsal]:
    """Makes calibrations of the stand-in with the files of the fixture ``calibrated``."""

    def make(absent: Any = lambda worker, serial: False, **more: Any) -> Rehearsal:
        settings = {**GIVEN, **more.pop("settings", {})}
        inputs = more.pop("inputs", calibrated.inputs.files)
        request = Request(
            **{"settings": settings, "workers": WORKERS, "quorum": 1.0, "inputs": inputs, **more}
        )
        return Rehearsal(tmp_path / "calibration", request, attached, absent)

    return make


def test_it_finds_the_same_constants_as_the_library_alone(rehearse, calibrated):
    rehearsal = rehearse()
    assert rehearsal.run() is State.FINISHED
    expected = calibrated.found.steps
    assert rehearsal.parameters["constants"] == dict(calibrated.found.constants)
    assert [one.update.metrics for one in rehearsal.steps] == [dict(one.outcome.metrics) for one in expected]
    assert rehearsal.parameters["start"] == dict(calibrated.start)
    untimed = [describe(evolve(one, seconds=0.0)) for one in expected]
    assert rehearsal.parameters["record"] == untimed
    left = [path for one in rehearsal.steps for path in one.directory.iterdir()]
    pictures = [path.name for path in left if path.suffix == ".png"]
    fits = [path.name for path in left if path.suffix == ".json"]
    assert len(fits) == len(expected)
    assert len(pictures) == sum(bool(one.outcome.fits) for one in expected)
    assert "stage1_phase0_ECalDigi_step0.png" in pictures

    folder = rehearsal.finish()
    assert {path.name for path in folder.iterdir()} == {
        "clicReconstruction.xml",
        "clicReconstruction_INPUT.xml",
        "newPandoraLikelihoodData.xml",
        "Calibration.txt",
    }
    steering = Steering.read(folder / "clicReconstruction.xml")
    assert dict(c.read_constants(steering, calibrated.setup.settings)) == dict(calibrated.found.constants)
    assert (folder / "Calibration.txt").read_text().count("\nstage ") == len(expected)


def test_phase_two_alone_gets_its_kaons(rehearse, calibrated):
    rehearsal = rehearse(settings={"startPhase": 2, "stopStage": 1, "stopPhase": 2})
    assert rehearsal.run() is State.FINISHED
    kaons, muons = rehearsal.steps
    assert kaons.update.parameters["constants"] == dict(calibrated.start)
    assert (kaons.update.metrics, kaons.update.converged) == ({}, True)
    changed = {name for name in c.NAMES if rehearsal.parameters["constants"][name] != calibrated.start[name]}
    assert changed == {c.ECAL_TO_MIP, c.HCAL_TO_MIP, c.MUON_TO_MIP, c.CALIBR_HCAL_OTHER}
    assert len(rehearsal.parameters["record"]) == 1
    assert muons.update.message == "done: the phase takes one step"


def test_thicknesses_and_pictures_are_settings(tmp_path, attached, calibrated):
    """A ring whose absorber is twice as thick; phase 2 alone tells."""
    ring = []
    for thickness in (20, 40):
        more = {
            "pictures": False,
            "hcalAbsorberThickness": {"endcap": 20, "other": thickness},
            "startPhase": 2,
            "stopStage": 1,
            "stopPhase": 2,
        }
        request = Request(settings={**GIVEN, **more}, workers=1, inputs=calibrated.inputs.files)
        rehearsal = Rehearsal(tmp_path / f"{thickness}", request, attached)
        assert rehearsal.run() is State.FINISHED
        assert not list(rehearsal.directory.glob("updates/*/*.png"))
        ring.append(rehearsal.parameters["constants"][c.CALIBR_HCAL_OTHER])
    assert ring[1] == pytest.approx(ring[0] / 2)


def test_missing_workers_are_in_the_record(rehearse):
    absent = {1: 2, 2: 0}
    rehearsal = rehearse(
        lambda worker, serial: absent.get(serial) == worker,
        quorum=0.6,
        settings={"stopStage": 1, "stopPhase": 0},
    )
    assert rehearsal.run() is State.FINISHED
    assert [one.missing for one in rehearsal.steps[:2]] == [(2,), (0,)]
    assert ["without the workers 2" in one for one in rehearsal.parameters["record"][:2]] == [True, False]


def test_a_phase_without_events_does_not_converge(rehearse):
    settings = {"ecalEndcapCosThetaRange": [0.99, 1.0], "stopStage": 1, "stopPhase": 0}
    with pytest.raises(TooFewEventsError):
        rehearse(settings=settings).run()


def test_other_names_of_processors_work(tmp_path, calibrated):
    names = {"DDCaloDigiName": "Calo", "DDPandoraPFANewProcessorName": "Pfa", "PfoAnalysisName": "Ana"}
    known = {key: value for key, value in names.items() if key != "PfoAnalysisName"}
    settings = evolve(
        calibrated.setup.settings, digi_processor=known["DDCaloDigiName"], pandora_processor="Pfa"
    )
    files = kit(calibrated.start, settings)
    text = files.steering.content().replace(b"MyPfoAnalysis", b"Ana")
    attached = attach(tmp_path, evolve(files, steering=Steering.parse(text)))
    request = Request(
        settings={**GIVEN, **names, "stopStage": 1, "stopPhase": 0},
        workers=1,
        inputs={"gamma": calibrated.inputs.files["gamma"]},
    )
    assert Rehearsal(tmp_path / "here", request, attached).run() is State.FINISHED


def one_phase(calibrated: SimpleNamespace, **settings: Any) -> Request:
    """Phase 0 with one worker."""
    stop = {"stopStage": 1, "stopPhase": 0}
    inputs = {"gamma": calibrated.inputs.files["gamma"]}
    return Request(settings={**GIVEN, **stop, **settings}, workers=1, inputs=inputs)


def test_the_command_of_the_site_reconstructs(tmp_path, attached, calibrated, monkeypatch):
    monkeypatch.setenv("CAF_PANDORA_COMMAND", f"'{sys.executable}' -m caf_pandora.standin '{{steering}}'")
    by_command = Rehearsal(tmp_path / "command", one_phase(calibrated), attached, plan=PLAN)
    assert by_command.run() is State.FINISHED
    in_process = Rehearsal(tmp_path / "process", one_phase(calibrated), attached)
    assert in_process.run() is State.FINISHED
    assert by_command.parameters["constants"] == in_process.parameters["constants"]


def test_stage_two_merges_real_likelihood_files_of_all_workers(tmp_path, calibrated, real_files, monkeypatch):
    """The command of the site leaves Pandora's own file, as Marlin does in the photon training."""
    real = real_files / "PandoraLikelihoodData9EBin.xml"
    monkeypatch.setenv("CAF_PANDORA_COMMAND", f"sh -c 'cp {real} .' {{steering}}")
    settings = {**GIVEN, "detector": "CLD", "startStage": 2, "stopStage": 2}
    files = kit(calibrated.start, calibrated.setup.settings)
    steering = Steering.read(real_files / "fccReconstruction.xml")
    attached = attach(tmp_path, evolve(files, steering=steering, likelihood=real.read_bytes()))
    inputs = {"zuds": calibrated.inputs.files["zuds"]}
    request = Request(settings=settings, workers=3, quorum=1.0, inputs=inputs)
    rehearsal = Rehearsal(tmp_path / "here", request, attached, plan=PLAN)
    assert rehearsal.run() is State.FINISHED
    merged = Likelihood.parse((rehearsal.finish() / "newPandoraLikelihoodData.xml").read_bytes())
    one = Likelihood.parse(real.read_bytes())
    assert (merged.events["Sig"] == 3 * one.events["Sig"]).all()
    for name, contents in one.contents.items():
        assert np.allclose(merged.contents[name], contents, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("detector", "place"),
    [
        ("CLIC", (1, 3)),
        ("CLD", (1, 0)),
        pytest.param("CLIC", (3, 4), marks=pytest.mark.slow),
        pytest.param("CLD", (3, 4), marks=pytest.mark.slow),
    ],
)
def test_real_steering_and_likelihood_files_are_calibrated(tmp_path, calibrated, real_files, detector, place):
    settings = {**GIVEN, "detector": detector, "stopStage": place[0], "stopPhase": place[1]}
    files = kit(calibrated.start, calibrated.setup.settings)
    name = demo_settings(detector, 1).steering_file
    steering = Steering.read(real_files / name)
    likelihood = (real_files / "PandoraLikelihoodData9EBin.xml").read_bytes()
    attached = attach(tmp_path, evolve(files, steering=steering, likelihood=likelihood))
    request = Request(settings=settings, workers=2, quorum=1.0, inputs=calibrated.inputs.files)
    rehearsal = Rehearsal(tmp_path / "here", request, attached)
    assert rehearsal.run() is State.FINISHED
    result = rehearsal.finish()
    made = Steering.read(result / name)
    chosen = demo_settings(detector, 1)
    assert dict(c.read_constants(made, chosen)) == rehearsal.parameters["constants"]
    assert made.of_type("PfoAnalysis") == steering.of_type("PfoAnalysis")
    if place == (3, 4):
        points = fixed_points(DETECTORS[detector], Setup(chosen))
        found = rehearsal.parameters["constants"]
        assert all(abs(found[name] - one.value) <= one.tolerance for name, one in points.items())
    assert (result / name.replace(".xml", "_INPUT.xml")).read_bytes() == steering.content()


@pytest.mark.parametrize(
    ("command", "more", "message"),
    [
        ("false {steering}", {}, "ended with exit code 1"),
        ("sh -c 'sleep 60' {steering}", {"reconstructionTimeLimit": 0.2}, r"ended after 0\.2 s"),
        ("true {steering}", {}, "was not written by the reconstruction"),
    ],
)
def test_a_command_that_fails_is_named(tmp_path, attached, calibrated, monkeypatch, command, more, message):
    monkeypatch.setenv("CAF_PANDORA_COMMAND", command)
    rehearsal = Rehearsal(tmp_path / "here", one_phase(calibrated, **more), attached, plan=PLAN)
    with pytest.raises(PandoraError, match=message):
        rehearsal.run()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A user of a service that has no workers."""
    limits = Limits(local_workers=1000)
    server = Server(ServiceConfig(data=tmp_path / "service", input_roots=("/",), limits=limits))
    with server, Client(server.url, server.service.accounts.ensure("ada", "user")) as client:
        yield client


def test_a_service_takes_it_and_says_what_is_wrong(client, attached, calibrated):
    wish: dict[str, Any] = {
        "settings": {**GIVEN, "startPhase": 2, "fractionOfFinishedJobsNeededToStartNextStep": 0.6},
        "inputs": {name.upper(): files for name, files in calibrated.inputs.files.items()},
        "files": attached,
        "workers": WORKERS,
    }
    status = client.status(client.create_calibration("pandora", **wish).id)
    assert (status["stage"], status["phase"], status["needed"]) == ("stage1", "HCalDigi", 2)
    assert status["settings"]["nHcalLayers"] == 60
    assert status["parameters"]["command"] == ["Marlin", "{steering}"]
    for more, message in (
        ({"files": {}}, r"steering\.xml, PandoraSettings\.xml, PandoraLikelihoodData9EBin\.xml are missing"),
        ({"settings": {"detector": "CLIC"}}, "missing: numberOfEventsPerFile"),
        ({"settings": {**GIVEN, "outputPath": "/ilc/user/a/ada"}}, "'/ilc/user/a/ada' is not allowed"),
        ({"workers": 121}, "numberOfJobs is 121 and the sample zuds has 120 events"),
        ({"inputs": {"gamma": ["a"]}}, "missing: kaon, muon, zuds"),
        ({"settings": {**GIVEN, "numberOfEventsPerFile": {"gamma": 1}}}, "missing: kaon, muon, zuds"),
        ({"settings": {**GIVEN, "digitisationAccuracy": {"a": 1}}}, "digitisationAccuracy is"),
        ({"settings": {**GIVEN, "detector": 7}}, "detector is 7"),
    ):
        with pytest.raises(RefusedError, match=message) as refused:
            client.create_calibration("pandora", **{**wish, **more})
        assert refused.value.status == 422


DEMO = [sys.executable, "-m", "caf_pandora.demo"]


@pytest.mark.parametrize("more", [[], pytest.param(["--service"], marks=pytest.mark.slow)])
def test_a_demo_that_loses_its_events_ends_with_an_error(tmp_path, more):
    """Sixteen photons: not enough of them in the endcap."""
    words = [*DEMO, "--scale", "0.003", "--workers", "2", "--output", str(tmp_path / "out"), *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "entries and needs at least 5; take more events" in done.stderr
    assert "constant  " not in done.stdout


@pytest.mark.slow
def test_a_demo_that_is_ended_takes_its_workers_along(tmp_path):
    words = [*DEMO, "--service", "--workers", "2", "--output", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "step 0: 2 workers" in process.stdout.readline()
        assert working(tmp_path)
        process.terminate()
        process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM
    wait_until(lambda: not working(tmp_path), 300, "its workers end")
    assert not list(tmp_path.glob("work-*"))


def test_a_demo_that_is_ended_leaves_no_folder(tmp_path):
    # So many events that it is far from its end when it is ended.
    words = [*DEMO, "--scale", "20", "--workers", "2", "--output", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: any(tmp_path.glob("work-*/input/*")), 300, "events are made")
        process.terminate()
        assert process.wait(300) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def working(place: Path) -> list[str]:
    """Commands of processes that know a folder by its name."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [one for one in found if str(place) in one and "caf_service.worker" in one]


@pytest.mark.slow
def test_the_demo_with_a_service_gives_the_constants_of_the_one_without(tmp_path):
    argv = [*DEMO, "--seed", "5", "--output"]
    results = []
    for name, more in (("here", ["--no-pictures"]), ("service", ["--service"])):
        words = [*argv, str(tmp_path / name), *more]
        done = subprocess.run(words, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "OUTSIDE" not in done.stdout
        results.append((tmp_path / name / "clicReconstruction.xml").read_bytes())
    assert results[0] == results[1]
    assert {path.name for path in (tmp_path / "service").iterdir()} == {
        "clicReconstruction.xml",
        "clicReconstruction_INPUT.xml",
        "newPandoraLikelihoodData.xml",
        "Calibration.txt",
        "parameters.json",
        "steps.json",
        "steps",
        "pictures",
    }
