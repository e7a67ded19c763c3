"""The stand-in: deterministic by event, honest about constants, and a command."""

import subprocess
import sys

import numpy as np
import pytest
import uproot

from caf_pandora import constants as c
from caf_pandora.errors import PandoraError, ResultFileError, SteeringError
from caf_pandora.inputs import Share, share_out
from caf_pandora.likelihood import Likelihood
from caf_pandora.mips import KAON_HISTOGRAMS, MUON_HISTOGRAMS
from caf_pandora.phases import LIKELIHOOD_FILE, PHASES, RESULT_FILE
from caf_pandora.reading import COS_THETA, TREE, read_results
from caf_pandora.standin import truth
from caf_pandora.standin.detector import CLIC, Detector
from caf_pandora.standin.dice import Dice
from caf_pandora.standin.examples import kit
from caf_pandora.standin.photon_id import PhotonId, untrained
from caf_pandora.standin.program import FLOATS, INTEGERS, reconstruct
from caf_pandora.standin.reconstruction import Reconstruction
from caf_pandora.standin.truth import particles
from caf_pandora.step_files import STEERING_FILE, step_files, write_files
from caf_pandora.worker import command_reconstruction


def test_dice_belong_to_the_event_not_to_its_neighbours():
    whole = Dice("gamma", np.arange(100)).normals("x", 3)
    assert np.array_equal(Dice("gamma", np.arange(40, 60)).normals("x", 3), whole[40:60])
    assert not np.array_equal(Dice("kaon", np.arange(100)).normals("x", 3), whole)
    assert not np.array_equal(Dice("gamma", np.arange(100)).normals("y", 3), whole)


def test_dice_are_even_and_independent():
    dice = Dice("gamma", np.arange(100_000))
    uniform, other = dice.uniform("a"), dice.uniform("b")
    assert np.histogram(uniform, 20, (0, 1))[0] == pytest.approx(np.full(20, 5000), abs=350)
    assert abs(np.corrcoef(uniform, other)[0, 1]) < 0.015
    assert abs(np.corrcoef(uniform[1:], uniform[:-1])[0, 1]) < 0.015
    normal = dice.normal("n")
    assert (abs(normal.mean()), normal.std()) == (pytest.approx(0, abs=0.015), pytest.approx(1, abs=0.01))


@pytest.mark.parametrize("workers", [1, 3, 7, 30])
def test_shares_give_every_event_once(tmp_path, workers):
    files = truth.generate(tmp_path, 3, {"gamma": 10})["gamma"]
    read = []
    for share in share_out(files, 10, workers):
        read += truth.read(share.files, share.skip, share.records).events.tolist()
    assert read == list(range(30))


def test_what_is_no_input_file(tmp_path):
    (tmp_path / "x.root").write_bytes(b"x")
    with pytest.raises(ResultFileError, match="no input file"):
        truth.read([tmp_path / "x.root"], 0, 5)
    truth.write(tmp_path / "g.root", particles("gamma", 0, 3))
    truth.write(tmp_path / "k.root", particles("kaon", 0, 3))
    with pytest.raises(ResultFileError, match="one sample"):
        truth.read([tmp_path / "g.root", tmp_path / "k.root"], 0, -1)


@pytest.fixture
def step(tmp_path, settings, nominal, input_files):
    """Prepare a worker's directory and give its steering file."""

    def prepare(sample, share=None, constants=nominal, name="w", training=False):
        home = tmp_path / name
        share = share or Share(input_files.files[sample], 0, input_files.events(sample))
        write_files(home, step_files(kit(constants, settings), settings, constants, share, training=training))
        return home / STEERING_FILE

    return prepare


def test_real_names_and_types_in_the_file(step):
    for sample in ("gamma", "kaon", "muon"):
        with uproot.open(reconstruct(step(sample))) as directory:
            tree = directory[TREE]
            assert all(tree[name].typename == "int32_t" for name in INTEGERS)
            assert all(tree[name].typename == "float" for name in FLOATS)
            assert len(tree[COS_THETA].array()[0]) == 1
            for name in (*MUON_HISTOGRAMS, *KAON_HISTOGRAMS):
                assert len(directory[name].values()) in (200, 500)


def test_shared_out_is_the_same_as_in_one_piece(step, input_files):
    branches = PHASES[4].wanted["kaon"][0]
    whole = read_results({0: reconstruct(step("kaon"))}, branches, KAON_HISTOGRAMS)
    files = {
        i: reconstruct(step("kaon", share, name=f"{i}"))
        for i, share in enumerate(input_files.shares("kaon", 5))
    }
    parts = read_results(files, branches, KAON_HISTOGRAMS)
    for branch in branches:
        assert np.array_equal(whole[branch], parts[branch])
    for name in KAON_HISTOGRAMS:
        assert np.array_equal(whole.histograms[name].counts, parts.histograms[name].counts)


@pytest.mark.parametrize(
    ("constant", "sample", "branch"),
    [
        (c.CALIBR_ECAL, "gamma", "ECalTotalCaloHitEnergy"),
        (c.CALIBR_HCAL_BARREL, "kaon", "HCalTotalCaloHitEnergy"),
        (c.ECAL_TO_EM, "gamma", "pfoECalToEmEnergy"),
        (c.ECAL_TO_HAD_BARREL, "kaon", "pfoECalToHadEnergy"),
        (c.HCAL_TO_HAD, "kaon", "pfoHCalToHadEnergy"),
        (c.HCAL_TO_EM, "kaon", "pfoHCalToEmEnergy"),
    ],
)
def test_wrong_constants_give_wrong_energies(simulate, nominal, constant, sample, branch):
    right = simulate(sample, 500, nominal)
    wrong = simulate(sample, 500, {**nominal, constant: 1.1 * nominal[constant]})
    barrel = (right.abs_cos_theta < 0.6) & (right[branch] > 1)
    assert wrong[branch][barrel] / right[branch][barrel] == pytest.approx(1.1, rel=0.005)


def test_a_wrong_mip_scale_moves_the_threshold(simulate, nominal):
    right = simulate("gamma", 200, nominal)["pfoECalToEmEnergy"].sum()
    low = simulate("gamma", 200, {**nominal, c.ECAL_TO_MIP: 0.5 * nominal[c.ECAL_TO_MIP]})
    assert low["pfoECalToEmEnergy"].sum() / right == pytest.approx((1 - 0.03) / (1 - 0.015), rel=1e-3)


def test_thick_layers_take_the_second_number(nominal):
    detector = Detector(thin_layers=20, thick_layers=10, thick_response=1.5)
    photons = particles("gamma", 0, 2000)
    identify = PhotonId(Likelihood.parse(untrained()))
    means = []
    for second in (1.5, 1.0):
        reconstruction = Reconstruction(detector, nominal, second * nominal[c.CALIBR_ECAL])
        means.append(reconstruction.showers(photons, identify).columns["ECalTotalCaloHitEnergy"].mean())
    assert means[0] == pytest.approx(10, rel=0.01)
    assert means[1] < 0.95 * means[0]


def test_training_makes_photons_easier_to_find(simulate, nominal):
    trained = simulate("gamma", 2000, nominal)["nPfosPhotons"]
    before = Reconstruction(CLIC, nominal, nominal[c.CALIBR_ECAL]).showers(
        particles("gamma", 10**6, 2000), PhotonId(Likelihood.parse(untrained()))
    )
    assert (before.columns["nPfosPhotons"] > 0).mean() < 0.6
    assert (trained > 0).mean() > 0.85


def test_stage_two_writes_likelihood_data(step):
    steering = step("zuds", training=True)
    made = reconstruct(steering)
    assert made == steering.parent / LIKELIHOOD_FILE
    with pytest.raises(SteeringError, match="zuds"):
        reconstruct(step("zuds"))


TEMPLATE = [sys.executable, "-m", "caf_pandora.standin", "{steering}"]


def test_as_a_command(step):
    here = read_results({0: reconstruct(step("gamma"))}, ("TotalCaloHitEnergy",))
    steering = step("gamma", name="command")
    command_reconstruction(TEMPLATE, timeout=120)(steering)
    there = read_results({0: steering.parent / RESULT_FILE}, ("TotalCaloHitEnergy",))
    assert np.array_equal(here["TotalCaloHitEnergy"], there["TotalCaloHitEnergy"])


def test_a_command_that_fails_says_why(step):
    steering = step("gamma")
    steering.write_bytes(steering.read_bytes().replace(b"CalibrECAL", b"Calibrecal"))
    with pytest.raises(PandoraError, match=r"exit code 1: the stand-in cannot reconstruct.*CalibrECAL"):
        command_reconstruction(TEMPLATE, timeout=120)(steering)


def test_input_files_by_command(tmp_path):
    argv = [sys.executable, "-m", "caf_pandora.standin.truth", str(tmp_path), "--files", "1", "--events", "4"]
    subprocess.run(argv, check=True, timeout=120)
    assert truth.read([tmp_path / "zuds/200/zuds_0.root"], 0, -1).events.tolist() == [0, 1, 2, 3]
