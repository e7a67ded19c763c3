"""Contents become bytes and come back, or are refused with a sentence that helps."""

import dataclasses
import io
import json
import math
import struct
import sys
from typing import Any

import numpy as np
import pytest
from attrs import define, evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from caf_core.conditions.codecs import BUILTIN_CODECS, BytesCodec, Codecs, JsonCodec
from caf_core.conditions.npz import NpzCodec
from caf_core.conditions.payload import Payload
from caf_core.conditions.structured import structure
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.iov import IoV

ALWAYS = IoV(0, 0, -1, -1)


def round_trip(content: Any) -> Any:
    return BUILTIN_CODECS.decode(BUILTIN_CODECS.encode(Payload("x", content, ALWAYS)))


def same(one: Any, other: Any) -> bool:
    """Equality to the bit: NaN equals NaN, 0.0 differs from -0.0, 1 from 1.0 and from True.

    Only a tuple may come back as a list.
    """
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, list | tuple):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        # In canonical order, with the types of the keys.
        pairs, others = (
            sorted(((repr(k), v) for k, v in d.items()), key=lambda p: p[0]) for d in (one, other)
        )
        return [k for k, _ in pairs] == [k for k, _ in others] and all(
            same(a, b) for (_, a), (_, b) in zip(pairs, others, strict=True)
        )
    return type(one) is type(other) and one == other


TEXT = st.text(st.characters(exclude_categories=("Cs",)))
KEYS = TEXT | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.integers())
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner)
        | st.dictionaries(TEXT, inner)
    ),
    max_leaves=12,
)
DTYPES = (
    hnp.floating_dtypes()
    | hnp.integer_dtypes()
    | hnp.boolean_dtypes()
    | hnp.complex_number_dtypes()
    | hnp.unicode_string_dtypes()
    | hnp.array_dtypes(max_size=3)
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))


@settings(deadline=None)
@given(PLAIN)
def test_plain_values_come_back(content: Any) -> None:
    assert same(content, round_trip(content))


@settings(deadline=None)
@given(PLAIN)
def test_plain_values_are_strict_json_whatever_the_order_of_keys(content: Any) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(token)

    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reverse(item) for key, item in reversed(value.items())}
        return [reverse(item) for item in value] if isinstance(value, list | tuple) else value

    data = JsonCodec().encode(content)
    json.loads(data.decode(), parse_constant=refuse)
    assert JsonCodec().encode(reverse(content)) == data


@settings(deadline=None)
@given(ARRAYS)
def test_arrays_come_back_bit_by_bit(array: Any) -> None:
    assert same(np.asarray(array, order="C"), round_trip(array))


@settings(deadline=None)
@given(st.dictionaries(TEXT, ARRAYS | PLAIN | st.lists(ARRAYS, max_size=2), min_size=1, max_size=4), ARRAYS)
def test_arrays_within_plain_values_come_back(content: dict[str, Any], array: Any) -> None:
    assert same({**content, "own": [array]}, round_trip({**content, "own": [array]}))


@settings(deadline=None)
@given(st.binary())
def test_bytes_come_back(content: bytes) -> None:
    assert round_trip(content) == content


def test_floats_are_written_by_repr() -> None:
    assert json.loads(JsonCodec().encode([0.1, 1e300, 5e-324, -0.0])) == [0.1, 1e300, 5e-324, -0.0]
    assert b"0.1,\n 1e+300,\n 5e-324,\n -0.0" in JsonCodec().encode([0.1, 1e300, 5e-324, -0.0])


@pytest.mark.parametrize("layout", ["contiguous", "fortran", "strided"])
def test_the_layout_in_memory_does_not_matter(layout: str) -> None:
    plain = np.arange(12.0).reshape(3, 4)
    strided = np.zeros((6, 4))
    strided[::2] = plain
    array = {"contiguous": plain, "fortran": np.asfortranarray(plain), "strided": strided[::2]}[layout]
    assert NpzCodec().encode(array) == NpzCodec().encode(plain)


def test_bytes_between_the_fields_of_records_do_not_matter() -> None:
    dtype = np.dtype([("channel", "u1"), ("t0", "f8")], align=True)
    clean, dirty = (np.frombuffer(bytearray([fill] * 32), dtype) for fill in (0, 255))
    for array in (clean, dirty):
        array["channel"], array["t0"] = (1, 2), (0.5, 1.5)
    assert clean.tobytes() != dirty.tobytes()
    assert NpzCodec().encode(clean) == NpzCodec().encode(dirty)
    assert round_trip(dirty)["t0"].tolist() == [0.5, 1.5]


def test_npz_holds_no_time_and_opens_with_numpy() -> None:
    data = NpzCodec().encode({"b": np.arange(3), "a": {"t0": np.ones(2)}})
    with np.load(io.BytesIO(data)) as archive:
        assert archive.files == ["content.json", "a.t0", "b"]
        assert archive["b"].tolist() == [0, 1, 2]
        assert {info.date_time for info in archive.zip.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_arrays_of_like_names_do_not_collide() -> None:
    content = {"a.b": np.zeros(1), "a": {"b": np.ones(1)}, "../x": np.full(1, 2.0), "": np.full(1, 3.0)}
    assert same(content, round_trip(content))


def test_decoded_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        round_trip(np.zeros(3))[0] = 1


def test_numpy_scalars_become_numbers() -> None:
    assert round_trip({"n": np.int64(3), "x": np.float32(0.5), "ok": np.bool_(True)}) == {
        "n": 3,
        "x": 0.5,
        "ok": True,
    }
    assert round_trip(np.int32(7)) == 7


@frozen
class Line:
    slope: float
    errors: tuple[float, float]
    by_channel: dict[int, float]


@define
class Fit:
    line: Line
    covariance: Any = None


@dataclasses.dataclass
class Offset:
    t0: float


def test_objects_come_back_as_dictionaries_or_as_the_type_that_is_asked_for() -> None:
    fit = Fit(Line(0.25, (0.1, math.inf), {3: 1.5}))
    content = round_trip(fit)
    assert content == {
        "line": {"slope": 0.25, "errors": [0.1, math.inf], "by_channel": {3: 1.5}},
        "covariance": None,
    }
    assert structure(content, Fit) == fit
    assert structure(round_trip(Offset(2.5)), Offset) == Offset(2.5)


@frozen
class WithArray:
    values: np.ndarray[Any, Any]


def test_objects_with_arrays_can_be_structured() -> None:
    content = round_trip(WithArray(np.arange(4.0)))
    assert structure(content, WithArray).values.tolist() == [0, 1, 2, 3]


def test_a_content_that_does_not_fit_the_type_is_explained() -> None:
    with pytest.raises(PayloadError, match=r"payload 'fit' is no Fit: .*line"):
        structure({"slope": 1.0}, Fit, name="fit")


class Strange:
    pass


@frozen
class Point:
    x: int


def itself() -> list[Any]:
    content: list[Any] = []
    content.append(content)
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Strange(), "Strange.*no codec accepts it"),
        ({"fit": [1.0, Strange()]}, r"dict.*\['fit'\]\[1\] is of type .*Strange"),
        ({"fit": {1, 2}}, r"\['fit'\] is of type set"),
        ({"t": 1j}, r"\['t'\] is of type complex"),
        ({"t": b"x"}, r"\['t'\] is of type bytes"),
        ({Point(1): 2}, r"key Point\(x=1\) is of type .*Point"),
        ({(1, Point(1)): 2}, r"key .* is of type .*Point"),
        ({"\udc00": 1}, "half of a surrogate pair"),
        ({"t": ["a", "\udc00"]}, r"\['t'\]\[1\]: the text .* half of a surrogate pair"),
        (np.zeros(2, np.longdouble), "differs between machines"),
        (np.zeros(2, [("a", "i4"), ("b", np.clongdouble, 2)]), "differs between machines"),
        (np.zeros(2, np.dtype("f8", metadata={"unit": "GeV"})), "dtype with metadata"),
        ({frozenset(): 1}, r"key frozenset\(\) is of type frozenset"),
        (np.array([Strange()]), "holds Python objects"),
        ({"m": np.ma.masked_array([1.0], [True])}, r"\['m'\] is a numpy.ma.MaskedArray"),
        (np.longdouble(1) / 3, "longdouble"),
        (itself(), "contains itself"),
        ("\ud800", "surrogate"),
        (lambda: 0, "function.*no codec accepts it"),
        (Line, "type.*no codec accepts it"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_type_and_a_remedy(content: Any, words: str) -> None:
    with pytest.raises(PayloadError, match=rf"(?s)payload 'scale' \(.*{words}.*; give plain values"):
        BUILTIN_CODECS.encode(Payload("scale", content, ALWAYS))


@pytest.mark.parametrize("content", [5, [1, 2], "text", bytearray(b"x"), np.arange(2)])
def test_only_bytes_are_bytes(content: Any) -> None:
    with pytest.raises(PayloadError, match=r"it is of type .*, not bytes"):
        BUILTIN_CODECS.encode(Payload("x", content, ALWAYS, codec="bytes"))


@pytest.mark.parametrize("iov", [None, IoV()])
def test_a_payload_needs_an_interval(iov: IoV | None) -> None:
    with pytest.raises(PayloadError, match="'scale' has no interval"):
        BUILTIN_CODECS.encode(Payload("scale", 1.0, iov))


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "..", ".hidden", "-x", "a\n", "ä", "a\0", "x" * 151, "a:b", "*", None, 3]
)
def test_hostile_names_are_refused(name: Any) -> None:
    with pytest.raises(PayloadError, match="cannot be the name of a payload"):
        Payload(name, 1.0)


@pytest.mark.parametrize("name", ["scale", "ECL.t0_v2", "7", "x" * 150, "a+b-c"])
def test_other_names_are_not(name: str) -> None:
    assert Payload(name, 1.0).name == name


def test_the_revision_depends_on_codec_and_content_only() -> None:
    def revision(content: Any, codec: str | None = None, name: str = "x", iov: IoV = ALWAYS) -> str:
        return BUILTIN_CODECS.encode(Payload(name, content, iov, codec)).entry.revision

    assert revision({"a": 1}) == revision({"a": 1}, name="y", iov=IoV(1, 2, 3, 4))
    assert (
        len({revision({"a": 1}), revision({"a": 1.0}), revision({"a": True}), revision({"a": 1}, "npz")}) == 4
    )
    # Pinned: databases that exist must stay readable.
    assert revision({"a": 1}) == "a6b83e08ba6afb4a"
    assert revision(b"abc") == "2826b2cfc516120a"
    assert revision({"a": np.arange(3, dtype="<i8")}) == "2945f1eeb42a8920"


@frozen
class TextCodec:
    name: str = "text"
    suffix: str = "txt"

    def accepts(self, content: Any) -> bool:
        return isinstance(content, Strange)

    def encode(self, content: Any) -> bytes:
        return b"strange"

    def decode(self, data: bytes) -> Any:
        raise KeyError(data)


def test_further_codecs() -> None:
    codecs = BUILTIN_CODECS.with_codecs([TextCodec()])
    stored = codecs.encode(Payload("x", Strange(), ALWAYS))
    assert stored.suffix == "txt"
    with pytest.raises(PayloadError, match=r"format \.txt.*bytes \(\.bin\), npz .*install"):
        BUILTIN_CODECS.decode(stored)
    with pytest.raises(PayloadError, match=r"'x', revision .* cannot be read by the codec 'text'"):
        codecs.decode(stored)
    with pytest.raises(PayloadError, match="no codec called 'root'"):
        codecs.encode(Payload("x", 1, ALWAYS, codec="root"))


def test_codecs_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="names and suffixes must differ"):
        BUILTIN_CODECS.with_codecs([BytesCodec(name="raw")])
    with pytest.raises(ConfigurationError, match="use letters and digits"):
        Codecs([BytesCodec(suffix="tar.gz")])


def test_damaged_bytes_are_noticed() -> None:
    stored = BUILTIN_CODECS.encode(Payload("x", [1.0], ALWAYS))
    with pytest.raises(PayloadError, match=r"'x', revision .* is damaged"):
        BUILTIN_CODECS.decode(evolve(stored, data=stored.data.replace(b"1.0", b"1.1")))


def test_reserved_keys_that_we_did_not_write_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'\$float' holds '1.0'"):
        JsonCodec().decode(b'{"$float": "1.0"}')
    assert same({"$float": "nan"}, round_trip({"$float": "nan"}))


def test_plain_values_need_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    assert round_trip({"a": [1.0]}) == {"a": [1.0]}
    assert "numpy" not in sys.modules
