"""Payloads as ROOT files: what goes in comes out, and the same content gives the same bytes."""

import datetime
import hashlib
import io
import os
import subprocess
import sys

import boost_histogram as bh
import hist
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from caf_core import Chain, ExpRun, IoV, LocalDatabase, Payload
from caf_core.conditions.codecs import BUILTIN_CODECS, Codecs
from caf_core.conditions.provenance import Provenance
from caf_root import Counts, RootCodec

CODEC = RootCodec()

SCRIPT = """
import datetime, sys
import hist, numpy as np, uproot._util
from caf_root import RootCodec

class Later(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(days=int(sys.argv[1]))

datetime.datetime = Later
h = hist.Hist.new.Var([0, 1, 4.5], label="x").Reg(3, 0, 1).Weight()
h.fill([1, 2, 3.], [.1, .2, .4], weight=[.5, 1, 2])
content = {"b": h, "a": {"z": np.arange(3.), "y": np.array([True, False, True])}, "text": "µ"}
sys.stdout.buffer.write(RootCodec().encode(content))
"""


def encoded_elsewhere(days: int, seed: str) -> bytes:
    """The content of SCRIPT, encoded by another process on another day."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(days)],
        capture_output=True,
        env=environment,
        check=True,
        timeout=300,
    )
    return done.stdout


def test_two_processes_at_different_times_write_the_same_bytes():
    first, second = encoded_elsewhere(0, "1"), encoded_elsewhere(40, "2")
    assert first == second
    assert set(RootCodec().decode(first)) == {"a", "b", "text"}


def test_without_the_codec_uproot_would_write_the_time():
    """The reason for the codec; if this fails one day, it can become simpler."""

    def plain() -> bytes:
        kept = io.BytesIO()
        kept.close, close = (lambda: None), kept.close
        with uproot.recreate(kept) as file:
            file["h"] = np.histogram([1, 2, 3])
        content = kept.getvalue()
        close()
        return content

    assert plain() != plain()


def histograms():
    mass = hist.axis.Regular(4, 60, 120, name="mass", label="m [GeV]")
    return {
        "counts": Counts.of([mass], [10.0, 70.0, 71.0, 500.0]),
        "integers": hist.Hist(mass, storage=bh.storage.Int64()).fill([70.0]),
        "doubles": hist.Hist(mass, storage=bh.storage.Double()).fill([70.0], weight=0.3),
        "weights": hist.Hist(mass, storage=bh.storage.Weight()).fill([70.0, 71.0], weight=[0.3, 2.0]),
        "boost": bh.Histogram(bh.axis.Variable([0, 1, 3]), bh.axis.Regular(2, 0, 1)).fill([2.0], [0.1]),
        "three": hist.Hist.new.Reg(2, 0, 1).Reg(3, 0, 1).Reg(4, 0, 1).Double().fill([0.1], [0.2], [9.0]),
    }


@pytest.mark.parametrize("name", histograms())
def test_histograms_come_back(name):
    given_one = histograms()[name]
    assert CODEC.accepts(given_one)
    data = CODEC.encode(given_one)
    back = CODEC.decode(data)
    original = given_one.to_hist() if isinstance(given_one, Counts) else given_one
    assert np.array_equal(back.values(flow=True), original.values(flow=True))
    assert [axis.edges.tolist() for axis in back.axes] == [axis.edges.tolist() for axis in original.axes]
    if name == "weights":
        assert np.array_equal(back.variances(flow=True), original.variances(flow=True))
        assert back.axes[0].label == "m [GeV]"
    assert CODEC.encode(back) == data


NUMBERS = st.sampled_from(["?", "i1", "u2", "i4", ">i4", "i8", "u8", "f4", "f8"])


@given(
    st.dictionaries(st.text("abcXYZ_09", min_size=1), NUMBERS, min_size=1, max_size=4),
    st.integers(0, 5),
    st.integers(0, 99),
)
def test_columns_come_back(types, length, seed):
    random = np.random.default_rng(seed)
    columns = {name: random.integers(0, 100, length).astype(kind) for name, kind in types.items()}
    data = CODEC.encode(columns)
    back = CODEC.decode(data)
    assert set(back) == set(columns)
    for name, values in columns.items():
        assert back[name].tolist() == values.tolist() and back[name].dtype == values.dtype.newbyteorder("=")
    assert CODEC.encode(dict(reversed(columns.items()))) == data


def test_vectors_and_nan_in_columns():
    columns = {"p": np.array([[1.0, np.nan], [3.0, 4.0]])}
    assert np.array_equal(CODEC.decode(CODEC.encode(columns))["p"], columns["p"], equal_nan=True)


def test_folders_keep_names_even_unlucky_ones():
    content = {"histogram": histograms()["weights"], "columns": {"x": np.arange(2)}, "note": "Größe"}
    back = CODEC.decode(CODEC.encode(content))
    assert set(back) == set(content) and back["note"] == "Größe" and back["columns"]["x"].tolist() == [0, 1]


def test_a_root_file_from_elsewhere_is_read_as_a_folder(write_root):
    path = write_root("foreign.root", constants={"channel": [1, 2], "t0": [0.5, 0.25]})
    assert CODEC.decode(path.read_bytes())["constants"]["t0"].tolist() == [0.5, 0.25]


def test_arrays_alone_are_left_to_the_core():
    assert not CODEC.accepts({"x": np.arange(3)})
    assert not CODEC.accepts(np.arange(3))
    assert not CODEC.accepts({"scale": 1.0})
    assert CODEC.accepts({"h": histograms()["counts"], "note": "text"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (3, "int is neither a histogram nor a mapping"),
        ({"x": 3}, r"'x' \(int\) is neither"),
        ({"a/b": "text"}, "cannot be the name"),
        ({"x": np.arange(2), "y": np.arange(3)}, "different lengths"),
        ({"x": np.array(["a"])}, "use arrays of numbers"),
        ({"x": np.array(1.0)}, "use arrays of numbers"),
        (hist.Hist.new.Reg(2, 0, 1, circular=True).Double().fill([0.6]), "would not come back"),
        (hist.Hist.new.Reg(2, 0, 1, flow=False).Double().fill([0.6]), "would not come back"),
        (hist.Hist.new.Reg(2, 0, 1).Mean(), "has the storage Mean"),
        (Counts((bh.axis.Integer(0, 1, underflow=False, overflow=False),), np.array([2**60 + 1])), "above 2"),
    ],
)
def test_what_root_cannot_keep_is_refused(content, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        CODEC.encode(content)


def test_the_clock_runs_again_afterwards():
    CODEC.encode({"x": np.arange(2)})
    with pytest.raises(TypeError):
        CODEC.encode({"x": 3})
    assert uproot._util.datetime_to_code(datetime.datetime(2001, 1, 1)) != uproot._util.datetime_to_code(
        datetime.datetime(2002, 1, 1)
    )


def test_known_bytes_within_one_version_of_uproot():
    digests = {hashlib.sha256(CODEC.encode(histograms()["weights"])).hexdigest() for _ in range(3)}
    assert len(digests) == 1


def test_a_histogram_through_a_database(tmp_path):
    codecs = Codecs((CODEC, *BUILTIN_CODECS.codecs))
    database = LocalDatabase(tmp_path / "db", codecs)
    spectrum, iov = histograms()["counts"], IoV(1, 2, 1, -1)
    for _ in range(2):
        database.store([(Payload("spectrum", spectrum, iov), Provenance())])
    (entry,) = database.entries()
    assert database.path_of(entry).suffix == ".root"
    assert database.load(entry).values(flow=True).tolist() == spectrum.values.tolist()
    database.store([(Payload("columns", {"x": np.arange(3)}, iov, codec="root"), Provenance())])
    assert Chain([database], codecs).get("columns", ExpRun(1, 5))["x"].tolist() == [0, 1, 2]
