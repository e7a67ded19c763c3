"""Reading what the workers report: merged in their order, whatever is wrong named."""

import random
from contextlib import suppress

import awkward as ak
import numpy as np
import pytest
import uproot

from caf_pandora.errors import ResultFileError
from caf_pandora.reading import COS_THETA, TREE, read_likelihoods, read_results

NAME = "ECalDirectionCorrectedCaloHitEnergy"


@pytest.fixture
def write(tmp_path):
    """Write a worker's file; ``cos_theta`` is a list an event."""

    def write(worker, energies, cos_theta=None, counts=(1.0, 2.0), leave_out=()):
        path = tmp_path / f"{worker}.root"
        columns = {
            "event": np.arange(len(energies), dtype=np.int32),
            "TotalCaloHitEnergy": np.array(energies, dtype=np.float32),
            COS_THETA: ak.values_astype(ak.Array(cos_theta or [[0.5]] * len(energies)), np.float32),
        }
        columns = {name: column for name, column in columns.items() if name not in leave_out}
        with path.open("w+b") as stream, uproot.recreate(stream) as directory:
            types = {name: column.dtype for name, column in columns.items() if name != COS_THETA}
            directory.mktree(TREE, {**types, COS_THETA: "var * float32"} if COS_THETA in columns else types)
            directory[TREE].extend(columns)
            directory[NAME] = (np.array(counts), np.linspace(0, 1, len(counts) + 1))
        return path

    return write


def test_columns_and_histograms_of_all_workers(write):
    files = {10: write(10, [3.0]), 2: write(2, [1.5, 2.5], [[0.1, 0.9], [-0.2]])}
    results = read_results(files, ("TotalCaloHitEnergy", COS_THETA, "event"), (NAME,))
    assert results.workers == (2, 10)
    assert results["TotalCaloHitEnergy"].tolist() == [1.5, 2.5, 3.0]
    assert results["TotalCaloHitEnergy"].dtype == np.float64
    assert results.abs_cos_theta == pytest.approx([0.1, 0.2, 0.5])
    assert results.histograms[NAME].counts.tolist() == [2, 4]
    assert results.events == 3


def test_events_without_a_true_particle_have_no_direction(write):
    results = read_results({0: write(0, [1.0, 2.0], [[], [0.3]])}, (COS_THETA,))
    assert np.isnan(results[COS_THETA][0])
    assert results[COS_THETA][1] == pytest.approx(0.3)


def test_who_reported_first_does_not_matter(write):
    numbers = list(range(12))
    paths = {i: write(i, np.random.default_rng(i).normal(10, 1, 5)) for i in numbers}
    expected = read_results(paths, ("TotalCaloHitEnergy",), (NAME,))
    for seed in range(5):
        order = random.Random(seed).sample(numbers, len(numbers))
        again = read_results({i: paths[i] for i in order}, ("TotalCaloHitEnergy",), (NAME,))
        assert np.array_equal(again["TotalCaloHitEnergy"], expected["TotalCaloHitEnergy"])
        assert np.array_equal(again.histograms[NAME].counts, expected.histograms[NAME].counts)


def test_missing_branches_and_histograms_are_named_with_the_worker(write):
    path = write(7, [1.0], leave_out=("TotalCaloHitEnergy",))
    with pytest.raises(ResultFileError, match="worker 7 has no branch TotalCaloHitEnergy"):
        read_results({7: path}, ("event", "TotalCaloHitEnergy"))
    with pytest.raises(ResultFileError, match="worker 7 has no Other"):
        read_results({7: path}, ("event",), (NAME, "Other"))


def test_damaged_files_are_named_with_the_worker(write, tmp_path):
    whole = write(0, np.ones(1000)).read_bytes()
    damaged = tmp_path / "damaged.root"
    for content in (b"", b"not a ROOT file", whole[:200], whole[: len(whole) // 2], whole[:-200]):
        damaged.write_bytes(content)
        with pytest.raises(ResultFileError, match=r"damaged.root of worker 3"):
            read_results({3: damaged}, ("TotalCaloHitEnergy",), (NAME,))
    with pytest.raises(ResultFileError, match="worker 3"):
        read_results({3: tmp_path / "none.root"}, ("TotalCaloHitEnergy",))


def test_flipped_bytes_never_make_another_error(write, tmp_path):
    """Whatever a transfer does to a file: it is read, or refused by name."""
    whole, damaged = write(0, np.ones(50)).read_bytes(), tmp_path / "damaged.root"
    dice = random.Random(1)
    for _ in range(25):
        content = bytearray(whole)
        for _ in range(5):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        damaged.write_bytes(content)
        with suppress(ResultFileError):
            read_results({0: damaged}, ("TotalCaloHitEnergy", COS_THETA), (NAME,))


def test_likelihoods_in_the_order_of_the_workers(tmp_path):
    for i in (11, 3):
        (tmp_path / f"{i}.xml").write_bytes(b"%d" % i)
    results = read_likelihoods({i: tmp_path / f"{i}.xml" for i in (11, 3)})
    assert results.likelihoods == (b"3", b"11")
    assert results.workers == (3, 11)
