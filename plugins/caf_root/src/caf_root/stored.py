"""What a ROOT payload holds: histograms, columns of numbers, texts, and folders of them.

Beside the objects lies a text that says what ROOT does not keep of them (see ``layout``). What was written is
read again before it is stored, and compared bit by bit.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import boost_histogram as bh
import numpy as np
from numpy.typing import NDArray

from caf_core.json_text import json_text
from caf_root import layout
from caf_root.counts import Counts
from caf_root.files import TREE_CLASSES
from caf_root.writing import root_bytes

_LAYOUT = "caf_layout"
_SINGLE = {"histogram", "columns"}
_COLUMN_KINDS = "biuf"


def encode(content: Any) -> bytes:
    """The canonical bytes of a content; see ``RootCodec``.

    Raises:
        TypeError: If a part of the content is of no kind that goes into a ROOT file.
        ValueError: If it is, but ROOT would not keep it exactly.
    """
    if is_histogram(content):
        kind, parts = "histogram", {"histogram": content}
    elif _is_columns(content):
        kind, parts = "columns", {"columns": content}
    elif isinstance(content, Mapping):
        kind, parts = "folder", dict(content)
    else:
        raise TypeError(
            f"{type(content).__name__} is neither a histogram nor a mapping of columns or histograms"
        )
    checked = {_checked_name(name): _checked(name, parts[name]) for name in sorted(parts, key=str)}

    def write(directory: Any) -> None:
        described = {name: _write(directory, name, part) for name, part in checked.items()}
        directory[_LAYOUT] = json_text({"layout": kind, "parts": described}, sort_keys=True)

    # ROOT's own sums over the bins may be more than a double holds.
    with np.errstate(all="ignore"):
        data = root_bytes(write)
    kept = _read(data)[1]
    for name, part in checked.items():
        if not _same(part, kept.get(name)):
            raise ValueError(f"{name!r} would not come back from a ROOT file as it is; give it another codec")
    return data


def decode(data: bytes) -> Any:
    """The content again; see ``RootCodec``."""
    kind, parts = _read(data)
    return parts[kind] if kind in _SINGLE else parts


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
    if not isinstance(name, str) or not name or set(name) & set("/;:\0") or name == _LAYOUT:
        raise ValueError(
            f"{name!r} cannot be the name of an object in a ROOT file; use a text without / ; and :"
        )
    return str(name)


def _checked(name: str, part: Any) -> Any:
    """A part as it is compared and written: a histogram of boost_histogram or hist, columns, or a text."""
    from hist import Hist

    if isinstance(part, Counts):
        return part.to_hist()
    if type(part) in (Hist, bh.Histogram):
        return part
    if is_histogram(part):
        raise TypeError(
            f"histogram {name!r} is a {type(part).__name__}, which is not kept; give a Hist of it"
        )
    if _is_columns(part):
        columns = {_checked_column(name, column): part[column] for column in part}
        for column, values in columns.items():
            _check_values(f"{name}.{column}", values)
        if len({len(values) for values in columns.values()}) != 1:
            raise ValueError(
                f"the columns of {name!r} have different lengths; put them under different names"
            )
        return columns
    if isinstance(part, str):
        return str(part)
    raise TypeError(
        f"{name!r} ({type(part).__name__}) is neither a histogram, nor a mapping of columns, nor a text"
    )


def _checked_column(name: str, column: Any) -> str:
    if not isinstance(column, str) or not column or set(column) & set("/.;:[]\0"):
        raise ValueError(
            f"{column!r} cannot be the name of a column in {name!r}; use a text without / . ; : [ and ]"
        )
    return str(column)


def _check_values(name: str, values: NDArray[Any]) -> None:
    if type(values) is not np.ndarray:
        raise ValueError(
            f"column {name!r} is a {type(values).__name__}, which would lose its extra meaning (a mask, for "
            "one); use numpy.asarray of it, or fill what is masked"
        )
    kind = values.dtype
    if (
        values.ndim == 0
        or kind.kind not in _COLUMN_KINDS
        or kind.itemsize > 8
        or kind.newbyteorder("=") == np.float16
    ):
        raise ValueError(
            f"column {name!r} is of type {kind} with {values.ndim} dimensions; use arrays of numbers"
        )
    if 0 in values.shape[1:]:
        raise ValueError(
            f"column {name!r} has rows without a number, which a ROOT file does not keep; leave it out"
        )
    if kind.metadata:
        raise ValueError(f"column {name!r} has a type with metadata, which ROOT does not keep; take them out")


def _write(directory: Any, name: str, part: Any) -> Any:
    """Write one object; gives the description that it needs to be made again."""
    if isinstance(part, str):
        directory[name] = part
        return "text"
    if isinstance(part, bh.Histogram):
        description = layout.describe(name, part)
        directory[name] = layout.image(name, part)
        return description
    tree = directory.mktree(
        name, {column: np.dtype((_native(part[column]), part[column].shape[1:])) for column in sorted(part)}
    )
    tree.extend({column: part[column].astype(_native(part[column])) for column in sorted(part)})
    return {column: values.dtype.str for column, values in part.items()}


def _native(values: NDArray[Any]) -> np.dtype[Any]:
    return values.dtype.newbyteorder("=")


def _read(data: bytes) -> tuple[str, dict[str, Any]]:
    """The layout and the objects of a file."""
    import uproot

    with uproot.open(io.BytesIO(data)) as directory:
        kinds = directory.classnames(recursive=False, cycle=False)
        # A file from elsewhere has no layout, and one of caf-root 0.1.0 has no descriptions.
        text = str(directory[_LAYOUT]) if _LAYOUT in kinds else "folder"
        found: dict[str, Any] = json.loads(text) if text.startswith("{") else {"layout": text, "parts": {}}
        parts = {
            name: _read_part(directory[name], kind, found["parts"].get(name))
            for name, kind in kinds.items()
            if name != _LAYOUT
        }
    return found["layout"], {name: part for name, part in parts.items() if part is not None}


def _read_part(stored: Any, kind: str, description: Any) -> Any:
    """One object; ``None`` if caf-root does not know its kind."""
    if kind in TREE_CLASSES:
        types = description or {}
        return {
            column: values.astype(types.get(column, _native(values)))
            for column, values in stored.arrays(library="np").items()
        }
    if kind.startswith(("TH1", "TH2", "TH3")):
        return layout.foreign(stored) if description is None else layout.make(description, stored)
    return str(stored) if kind == "TObjString" else None


def _same(given: Any, kept: Any) -> bool:
    """Whether a part came back as it was, bit by bit."""
    if isinstance(given, str) or type(given) is not type(kept):
        return type(given) is type(kept) and bool(given == kept)
    if isinstance(given, bh.Histogram):
        return layout.same(given, kept)
    return given.keys() == kept.keys() and all(
        values.dtype == kept[column].dtype
        and values.shape == kept[column].shape
        and values.tobytes() == kept[column].tobytes()
        for column, values in given.items()
    )
