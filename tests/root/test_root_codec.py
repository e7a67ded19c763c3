"""Payloads as ROOT files: what goes in comes out, and the same content gives the same bytes."""

import datetime
import hashlib
import io
import json
import os
import subprocess
import sys

import awkward as ak
import boost_histogram as bh
import hist
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, Phase, given, settings
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


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
FINITE = st.floats(allow_nan=False)
METADATA = st.none() | TEXTS | st.integers() | FINITE | st.dictionaries(TEXTS, st.lists(FINITE))
FLOW = st.fixed_dictionaries({"underflow": st.booleans(), "overflow": st.booleans()})
OPTIONS = FLOW | st.sampled_from([{"circular": True}, {"growth": True}])
EDGES = st.lists(
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=2, max_size=5, unique=True
).map(sorted)
TRANSFORMS = st.sampled_from(
    [hist.axis.transform.log, hist.axis.transform.sqrt, hist.axis.transform.Pow(1.5)]
)


def axes(module):
    """Any axis of boost_histogram or of hist, before its name and label."""
    ends = EDGES.map(lambda edges: (edges[0], edges[-1]))
    sizes = st.integers(1, 4)
    categories = st.lists(st.integers(-9, 9), min_size=1, max_size=3, unique=True)
    words = st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=1, max_size=3, unique=True)
    end = st.fixed_dictionaries({"overflow": st.booleans()}) | st.just({"growth": True})
    return st.one_of(
        st.builds(lambda n, ends, options: module.Regular(n, *ends, **options), sizes, ends, OPTIONS),
        st.builds(lambda n, how: module.Regular(n, 0.3, 4.7, transform=how), sizes, TRANSFORMS),
        st.builds(lambda edges, options: module.Variable(edges, **options), EDGES, OPTIONS),
        st.builds(lambda n, options: module.Integer(-2, n, **options), sizes, OPTIONS),
        st.builds(module.Boolean),
        st.builds(lambda found, options: module.IntCategory(found, **options), categories, end),
        st.builds(lambda found, options: module.StrCategory(found, **options), words, end),
    )


@st.composite
def any_histogram(draw):
    """A histogram of any kind that is kept, with any contents."""
    of_hist = draw(st.booleans())
    found = draw(st.lists(axes(hist.axis if of_hist else bh.axis), min_size=1, max_size=3))
    for i, axis in enumerate(found):
        if of_hist:
            axis.__dict__ |= {"name": draw(st.sampled_from([f"a{i}", f"µ{i}"])), "label": draw(TEXTS)}
        else:
            axis.metadata = draw(METADATA)
    storage = draw(
        st.sampled_from([bh.storage.Double, bh.storage.Int64, bh.storage.AtomicInt64, bh.storage.Weight])
    )
    if of_hist:
        histogram = hist.Hist(
            *found, storage=storage(), name=draw(st.none() | TEXTS), label=draw(st.none() | TEXTS)
        )
    else:
        histogram = bh.Histogram(*found, storage=storage())
        histogram.metadata = draw(METADATA)
    view = histogram.view(flow=True)
    whole = st.integers(-(2**53) + 1, 2**53 - 1)
    numbers = whole if view.dtype.kind in "iu" else st.floats()
    for field in view.dtype.names or [...]:
        view[field] = np.array(draw(st.lists(numbers, min_size=view.size, max_size=view.size))).reshape(
            view.shape
        )
    if storage is bh.storage.Double and draw(st.booleans()):
        histogram._variance_known = False
    return histogram


def attributes(thing):
    return json.dumps(vars(thing), sort_keys=True)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
@given(any_histogram())
def test_any_histogram_comes_back_as_it_was_or_is_refused(histogram):
    try:
        data = CODEC.encode(histogram)
    except ValueError as refused:
        assert "would not come back as it is" in str(refused)
        return
    back = CODEC.decode(data)
    assert type(back) is type(histogram) and back.storage_type is histogram.storage_type
    assert back.view(flow=True).tobytes() == histogram.view(flow=True).tobytes()
    assert attributes(back) == attributes(histogram)
    for one, other in zip(back.axes, histogram.axes, strict=True):
        assert type(one) is type(other) and one.traits == other.traits and repr(one) == repr(other)
        assert attributes(one) == attributes(other) and one.edges.tolist() == other.edges.tolist()
    assert CODEC.encode(back) == data


def test_root_and_uproot_see_the_histogram_and_its_errors():
    histogram = hist.Hist(
        hist.axis.StrCategory(["a", "b"], name="side", label="Side"), storage=bh.storage.Weight()
    )
    histogram.fill(["a", "b", "b"], weight=[2.0, 1.0, 3.0])
    with uproot.open(io.BytesIO(CODEC.encode({"sides": histogram}))) as file:
        assert file["sides"].values().tolist() == [2, 4] and file["sides"].variances().tolist() == [4, 10]
        assert file["sides"].axis().member("fTitle") == "Side"


def test_variances_that_are_not_known_stay_so():
    filled = hist.Hist.new.Reg(1, 0, 1).Double().fill([0.1, 0.2], weight=[0.5, 0.25])
    assert filled.variances() is None and CODEC.decode(CODEC.encode(filled)).variances() is None


def test_payloads_of_the_first_release_are_read():
    """They had no descriptions; this is what caf-root 0.1.0 wrote."""
    from caf_root.writing import root_bytes

    def write(directory):
        directory["histogram"] = hist.Hist.new.Reg(2, 0, 1, label="x").Weight().fill([0.1], weight=2)
        directory["caf_layout"] = "histogram"

    old = CODEC.decode(root_bytes(write))
    assert old.values().tolist() == [2, 0] and old.variances().tolist() == [4, 0]


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
        assert back[name].tolist() == values.tolist() and back[name].dtype == values.dtype
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
        ({"x": np.array([1.0], dtype=np.float16)}, "use arrays of numbers"),
        ({"x": np.zeros((3, 0))}, "has rows without a number"),
        ({"x": np.array([1.0], dtype=np.longdouble)}, "use arrays of numbers"),
        ({"x": np.array([1j])}, "use arrays of numbers"),
        ({"x": np.array(["2026-01-01"], dtype="M8[s]")}, "use arrays of numbers"),
        ({"x": np.array([{}])}, "use arrays of numbers"),
        ({"x": np.zeros(2, dtype=[("a", "i4")])}, "use arrays of numbers"),
        ({"x": np.ma.array([1.0, 2.0], mask=[0, 1])}, "is a MaskedArray"),
        ({"x": np.rec.array([1.0])}, "recarray"),
        ({"x.y": np.arange(2)}, "cannot be the name of a column"),
        ({3: np.arange(2)}, "cannot be the name of a column"),
        ({"x": ak.Array([[1.0], []])}, r"Array\) is neither"),
        ({"text": "half \ud800"}, "surrogates"),
        (hist.Hist.new.Reg(2, 0, 1).Mean(), "has the storage Mean"),
        (hist.Hist.new.Reg(2, 0, 1).WeightedMean(), "has the storage WeightedMean"),
        (hist.Hist.new.Reg(2, 0, 1).Unlimited(), "has the storage Unlimited"),
        (hist.Hist.new.Reg(2, 0, 1).Reg(2, 0, 1).Reg(2, 0, 1).Reg(2, 0, 1).Double(), "1 to 3 axes"),
        (hist.Hist.new.StrCat([], growth=True).Double(), "1 to 3 axes with bins"),
        (hist.NamedHist(hist.axis.Regular(2, 0, 1, name="x")), "is a NamedHist"),
        (bh.Histogram(bh.axis.Regular(2, 0, 1, metadata=(1, 2))), "would come back as"),
        (bh.Histogram(bh.axis.Regular(2, 0, 1, metadata=object())), "metadata.* cannot be kept"),
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
