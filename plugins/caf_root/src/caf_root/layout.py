"""What ROOT does not keep of a histogram or of columns, as plain values that are stored beside it.

ROOT's histograms have regular or variable axes with flow bins, and numbers with or without squared errors.
All else (kinds of axes, names, labels, metadata, kinds of storage) is described here, and made again when the
payload is read. What cannot be made again exactly is refused.
"""

from collections.abc import Mapping
from typing import Any

import boost_histogram as bh
import hist
import numpy as np

from caf_core.conditions import plain

_AXES = ("Regular", "Variable", "Integer", "Boolean", "IntCategory", "StrCategory")
_TRANSFORMS = {"log": bh.axis.transform.log, "sqrt": bh.axis.transform.sqrt}
_STORAGES = ("Double", "Int64", "AtomicInt64", "Weight")
_LARGEST_EXACT = 1 << 53


def describe(name: str, histogram: Any) -> dict[str, Any]:
    """All of a histogram but its contents, as JSON values.

    Raises:
        ValueError: If something of it could not be made again.
    """
    storage = histogram.storage_type.__name__
    if storage not in _STORAGES:
        raise ValueError(
            f"histogram {name!r} has the storage {storage}; ROOT keeps numbers and weights only "
            f"({', '.join(_STORAGES)})"
        )
    own = {key: value for key, value in vars(histogram).items() if not key.startswith("_")}
    return {
        "kind": "hist" if isinstance(histogram, hist.Hist) else "boost",
        "axes": [_describe_axis(f"axis {i} of {name!r}", axis) for i, axis in enumerate(histogram.axes)],
        "storage": storage,
        # The variances of a Double storage are its values, until weights have been filled.
        "variances": storage != "Double" or histogram.variances() is not None,
        "attributes": _exact(f"attributes of {name!r}", own),
    }


def image(name: str, histogram: Any) -> Any:
    """The histogram as ROOT has it, for uproot to write: bins with flow, the missing ones 0, as doubles.

    Raises:
        ValueError: If a count does not fit a double, or there are too many or too few bins.
    """
    axes = histogram.axes
    if not 1 <= histogram.ndim <= 3 or not all(axis.size for axis in axes):
        raise ValueError(f"histogram {name!r} has not 1 to 3 axes with bins in them, as ROOT has them")
    view = histogram.view(flow=True)
    if view.dtype.kind in "iu" and max(int(view.max()), -int(view.min())) >= _LARGEST_EXACT:
        raise ValueError(f"histogram {name!r} has counts above 2^53, which ROOT's doubles do not hold")
    weighted = histogram.storage_type is bh.storage.Weight
    whole: Any = hist.Hist(
        *map(_image_axis, axes),
        storage=bh.storage.Weight() if weighted else bh.storage.Double(),
        name=str(getattr(histogram, "name", None) or ""),
    )
    whole.view(flow=True)[_bins(axes)] = view
    return whole


def make(description: Mapping[str, Any], stored: Any) -> Any:
    """The histogram again, of its description and what uproot reads."""
    module: Any = hist if description["kind"] == "hist" else bh
    maker: Any = hist.Hist if description["kind"] == "hist" else bh.Histogram
    axes = [_make_axis(module.axis, axis) for axis in description["axes"]]
    histogram = maker(*axes, storage=getattr(bh.storage, description["storage"])())
    vars(histogram).update(plain.from_plain(description["attributes"]))
    view, bins = histogram.view(flow=True), _bins(axes)
    values = stored.values(flow=True)
    if description["storage"] == "Weight":
        # As they are: uproot's own variances would turn NaN into 0.
        squares = np.asarray(stored.member("fSumw2"), dtype=float).reshape(values.shape[::-1]).T
        view["value"], view["variance"] = values[bins], squares[bins]
    else:
        view[...] = values[bins]
    if not description["variances"]:
        # As after a fill with weights; there is no public way that suits every kind of axis.
        histogram._variance_known = False
    return histogram


def foreign(stored: Any) -> Any:
    """A histogram that has no description, as uproot understands it."""
    histogram = stored.to_hist()
    histogram.name = stored.member("fTitle") or None  # uproot puts the name of the object here
    return histogram


def same(given: Any, kept: Any) -> bool:
    """Whether a histogram came back: described alike, and with the same contents, bit by bit."""
    one, other = given.view(flow=True), kept.view(flow=True)
    return bool(
        describe("given", given) == describe("given", kept)
        and one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
    )


def _image_axis(axis: Any) -> Any:
    label = getattr(axis, "label", None)
    label = label if isinstance(label, str) else ""
    if isinstance(axis, bh.axis.Regular) and axis.transform is None:
        return hist.axis.Regular(axis.size, axis.edges[0], axis.edges[-1], label=label)
    if isinstance(axis, bh.axis.Variable | bh.axis.Regular):
        return hist.axis.Variable(axis.edges, label=label)
    return hist.axis.Regular(axis.size, axis.edges[0], axis.edges[-1], label=label)


def _bins(axes: Any) -> tuple[slice, ...]:
    """Where the bins of these axes are among ROOT's, of which the first and the last are flow."""
    starts = [0 if axis.traits.underflow else 1 for axis in axes]
    return tuple(slice(start, start + axis.extent) for start, axis in zip(starts, axes, strict=True))


def _describe_axis(what: str, axis: Any) -> dict[str, Any]:
    kind = type(axis).__name__
    if kind not in _AXES or type(axis).__module__.partition(".")[0] not in ("hist", "boost_histogram"):
        raise ValueError(f"{what} is a {kind}; the axes that are kept are {', '.join(_AXES)}")
    traits = axis.traits
    options = {name: getattr(traits, name) for name in ("underflow", "overflow", "circular", "growth")}
    # A circular axis and a growing one take no further options.
    special = next((name for name in ("circular", "growth") if options[name]), None)
    found: dict[str, Any] = {"type": kind, "options": {special: True} if special else options}
    if kind == "Regular":
        found["bins"] = axis.size
        found["range"] = _exact(what, [float(axis.edges[0]), float(axis.edges[-1])])
        if axis.transform is not None:
            found["transform"] = _transform(what, axis.transform)
    elif kind == "Variable":
        found["edges"] = _exact(what, axis.edges.tolist())
    elif kind == "Integer":
        found["range"] = [int(axis.edges[0]), int(axis.edges[-1])]
    elif kind != "Boolean":
        found["categories"] = _exact(what, list(axis))
    found["attributes"] = _exact(what, dict(vars(axis)))
    made = _make_axis(hist.axis if type(axis).__module__.startswith("hist") else bh.axis, found)
    if made != axis or made.traits != traits or not np.array_equal(made.edges, axis.edges):
        raise ValueError(f"{what}, {axis!r}, would not come back as it is, but as {made!r}")
    return found


def _transform(what: str, transform: Any) -> Any:
    if isinstance(transform, bh.axis.transform.Pow):
        return float(transform.power)
    for name, known in _TRANSFORMS.items():
        if transform == known:
            return name
    raise ValueError(f"{what} has a transform of its own, {transform!r}; only log, sqrt and powers are kept")


def _make_axis(module: Any, found: Mapping[str, Any]) -> Any:
    options, kind = dict(found["options"]), found["type"]
    maker = getattr(module, kind)
    if kind == "Boolean":
        axis = maker()
    elif kind in ("IntCategory", "StrCategory"):
        options.pop("underflow", None), options.pop("circular", None)
        axis = maker(plain.from_plain(found["categories"]), **options)
    elif kind == "Integer":
        axis = maker(*found["range"], **options)
    elif kind == "Variable":
        axis = maker(plain.from_plain(found["edges"]), **options)
    else:
        if "transform" in found:
            transform = found["transform"]
            power = isinstance(transform, float)
            options = {"transform": bh.axis.transform.Pow(transform) if power else _TRANSFORMS[transform]}
        axis = maker(found["bins"], *plain.from_plain(found["range"]), **options)
    axis.__dict__.clear()
    axis.__dict__.update(plain.from_plain(found["attributes"]))
    return axis


def _exact(what: str, value: Any) -> Any:
    """JSON values that become this value again.

    Raises:
        ValueError: If there are none.
    """
    try:
        kept = plain.to_plain(value)
    except TypeError as error:
        raise ValueError(f"{what}: metadata{error} and cannot be kept; use plain values") from error
    if not _equal(plain.from_plain(kept), value):
        raise ValueError(f"{what}: {value!r} would come back as {plain.from_plain(kept)!r}; use plain values")
    return kept


def _equal(first: Any, second: Any) -> bool:
    """Whether values are equal and of equal types, all the way down; NaN equals itself."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(repr(first) == repr(second)) if isinstance(first, float) else bool(first == second)
