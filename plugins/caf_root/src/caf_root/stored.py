"""What a ROOT payload holds: histograms, columns of numbers, and folders of them."""

import io
from collections.abc import Mapping
from typing import Any

import boost_histogram as bh
import numpy as np
from numpy.typing import NDArray

from caf_root.counts import Counts
from caf_root.files import TREE_CLASSES
from caf_root.writing import root_bytes

_LAYOUT = "caf_layout"
_SINGLE = {"histogram", "columns"}
_LARGEST_EXACT = 1 << 53


def encode(content: Any) -> bytes:
    """The canonical bytes of a content; see ``RootCodec``.

    Raises:
        TypeError: If a part of the content is of no kind that goes into a ROOT file.
        ValueError: If it is, but ROOT would not keep it exactly.
    """
    if is_histogram(content):
        layout, parts = "histogram", {"histogram": content}
    elif _is_columns(content):
        layout, parts = "columns", {"columns": content}
    elif isinstance(content, Mapping):
        layout, parts = "folder", dict(content)
    else:
        raise TypeError(
            f"{type(content).__name__} is neither a histogram nor a mapping of columns or histograms"
        )
    checked = {_checked_name(name): parts[name] for name in sorted(parts, key=str)}

    def write(directory: Any) -> None:
        for name, part in checked.items():
            _write(directory, name, part)
        directory[_LAYOUT] = layout

    data = root_bytes(write)
    _compare(checked, _read(data)[1])
    return data


def decode(data: bytes) -> Any:
    """The content again; see ``RootCodec``."""
    layout, parts = _read(data)
    return parts[layout] if layout in _SINGLE else parts


def is_histogram(value: Any) -> bool:
    """Whether it is a histogram of a kind that is kept."""
    return isinstance(value, Counts | bh.Histogram)


def _is_columns(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(column, np.ndarray) for column in value.values())
    )


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name or set(name) & set("/;:") or name == _LAYOUT:
        raise ValueError(
            f"{name!r} cannot be the name of an object in a ROOT file; use a text without / ; and :"
        )
    return name


def _write(directory: Any, name: str, part: Any) -> None:
    """Write one object."""
    if is_histogram(part):
        directory[name] = _as_doubles(name, part)
    elif _is_columns(part):
        columns = {column: _column(f"{name}.{column}", part[column]) for column in sorted(part)}
        if len({len(values) for values in columns.values()}) != 1:
            raise ValueError(
                f"the columns of {name!r} have different lengths; put them under different names"
            )
        tree = directory.mktree(
            name, {column: np.dtype((values.dtype, values.shape[1:])) for column, values in columns.items()}
        )
        tree.extend(columns)
    elif isinstance(part, str):
        directory[name] = part
    else:
        raise TypeError(
            f"{name!r} ({type(part).__name__}) is neither a histogram, nor a mapping of columns, nor a text"
        )


def _column(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if (
        values.ndim == 0
        or values.dtype.kind not in "biuf"
        or values.dtype.itemsize > 8
        or values.dtype == np.float16
    ):
        raise ValueError(
            f"column {name!r} is of type {values.dtype} with {values.ndim} dimensions; use arrays of numbers"
        )
    return values


def _as_doubles(name: str, histogram: Any) -> Any:
    """The histogram with a storage that ROOT has: whole numbers become doubles, which is exact below 2^53."""
    from hist import Hist

    if isinstance(histogram, Counts):
        histogram = histogram.to_hist()
    elif not isinstance(histogram, Hist):
        histogram = Hist(histogram)
    if isinstance(histogram.storage_type(), bh.storage.Weight | bh.storage.Double):
        return histogram
    values = histogram.values(flow=True)
    if issubclass(histogram.storage_type, bh.storage.Int64 | bh.storage.AtomicInt64 | bh.storage.Unlimited):
        if values.size and np.abs(values).max() >= _LARGEST_EXACT:
            raise ValueError(f"histogram {name!r} has counts above 2^53, which ROOT's doubles do not hold")
        doubles: Any = Hist(*histogram.axes, storage=bh.storage.Double())
        doubles.view(flow=True)[...] = values
        return doubles
    raise ValueError(
        f"histogram {name!r} has the storage {histogram.storage_type.__name__}; ROOT keeps numbers and "
        "weights only"
    )


def _read(data: bytes) -> tuple[str, dict[str, Any]]:
    """The layout and the objects of a file."""
    import uproot

    layout = "folder"
    parts: dict[str, Any] = {}
    with uproot.open(io.BytesIO(data)) as directory:
        for name, kind in directory.classnames(recursive=False, cycle=False).items():
            if name == _LAYOUT:
                layout = str(directory[name])
            elif kind in TREE_CLASSES:
                columns = directory[name].arrays(library="np")
                parts[name] = {
                    column: values.astype(values.dtype.newbyteorder("="))
                    for column, values in columns.items()
                }
            elif kind.startswith(("TH1", "TH2", "TH3")):
                parts[name] = _as_hist(directory[name])
            elif kind == "TObjString":
                parts[name] = str(directory[name])
    return layout, parts


def _as_hist(stored: Any) -> Any:
    histogram = stored.to_hist()
    histogram.name = (
        stored.member("fTitle") or None
    )  # uproot puts the object's name here, which is the codec's own
    return histogram


def _compare(given: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """Make sure that the file holds what was given, rather than find out when the constants are used."""
    for name, part in given.items():
        if is_histogram(part):
            original, copy = _as_doubles(name, part), kept[name]
            same = (
                original.ndim == copy.ndim
                and all(
                    np.array_equal(a.edges, b.edges) for a, b in zip(original.axes, copy.axes, strict=True)
                )
                and np.array_equal(original.values(flow=True), copy.values(flow=True), equal_nan=True)
            )
        elif isinstance(part, str):
            same = kept[name] == part
        else:
            same = all(
                np.array_equal(part[column], kept[name][column], equal_nan=part[column].dtype.kind == "f")
                for column in part
            )
        if not same:
            raise ValueError(
                f"{name!r} would not come back from a ROOT file as it is; use regular or variable axes with "
                "flow bins"
            )
