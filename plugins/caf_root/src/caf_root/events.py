"""Events themselves, for algorithms without histograms, in an order that does not depend on the files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_root.reading import split_runs

KEYS = ("experiment", "run", "event")


@frozen(eq=False, init=False)
class Events:
    """Columns of events in the canonical order: by experiment, run and event, then by the other columns.

    Merging those of several files gives the same, byte by byte, in whatever order and however the events were
    split, because ties (several candidates in one event) are put in order too. It stands in a collector's
    ``put`` as it is.

    Args:
        columns: Arrays of shape (n_events, ...) by name, the keys among them.
        keys: The names of the columns with experiment, run and event.
    Raises:
        ConfigurationError: If a key is missing, or if the lengths differ.
    """

    columns: Mapping[str, NDArray[Any]]
    keys: tuple[str, str, str] = field(default=KEYS)

    def __init__(self, columns: Mapping[str, Any], keys: tuple[str, str, str] = KEYS) -> None:
        arrays = {name: np.asarray(column) for name, column in columns.items()}
        missing = [key for key in keys if key not in arrays]
        if missing:
            raise ConfigurationError(
                f"events have no column {missing[0]!r}; add it, or name the columns of experiment, run and "
                "event with keys=."
            )
        if len({len(array) for array in arrays.values()}) > 1:
            lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
            raise ConfigurationError(
                f"the columns of events have different lengths ({lengths}); give one value an event."
            )
        order = _canonical_order(arrays, keys)
        self.__attrs_init__({name: array[order] for name, array in arrays.items()}, keys)

    def __len__(self) -> int:
        return len(self.columns[self.keys[0]])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    @staticmethod
    def merge(parts: "Sequence[Events]") -> "Events":
        """Put events together.

        Raises:
            ConfigurationError: If there are none, or if their columns differ.
        """
        if not parts:
            raise ConfigurationError(
                "no events were given that could be merged; at least one part is needed."
            )
        first = parts[0]
        if any(set(part.columns) != set(first.columns) or part.keys != first.keys for part in parts):
            raise ConfigurationError(
                "events with different columns cannot be merged; collect the same columns from all files."
            )
        return Events(
            {name: np.concatenate([part[name] for part in parts]) for name in first.columns}, first.keys
        )

    def by_run(self) -> "Iterator[tuple[ExpRun, Events]]":
        """The events of each run, in order."""
        experiment, run, _ = self.keys
        for key, columns in split_runs(self.columns, experiment=experiment, run=run):
            yield key, Events(columns, self.keys)


def _canonical_order(columns: Mapping[str, NDArray[Any]], keys: Sequence[str]) -> NDArray[np.intp]:
    """The order of events; all columns decide only where the keys leave a tie."""
    by_keys = [columns[key] for key in reversed(keys)]
    order = np.lexsort(by_keys)
    tied = np.ones(max(len(order) - 1, 0), dtype=bool)
    for column in by_keys:
        tied &= column[order[1:]] == column[order[:-1]]
    if not tied.any():
        return order
    others = [_as_integers(columns[name]) for name in sorted(set(columns) - set(keys), reverse=True)]
    return np.lexsort([digit for other in others for digit in other] + by_keys)


def _as_integers(column: NDArray[Any]) -> list[NDArray[np.uint8]]:
    """The bytes of a column, the first one last, so that NaN and -0.0 are told apart too."""
    raw = np.ascontiguousarray(column).reshape(len(column), -1).view(np.uint8)
    return [raw[:, i] for i in range(raw.shape[1] - 1, -1, -1)]
