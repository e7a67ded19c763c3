"""Selecting events by the lines of a trigger, as boolean branches such as NanoAOD's ``HLT_*`` hold them."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from attrs import field, frozen, validators
from numpy.typing import ArrayLike, NDArray

from caf_core.errors import ConfigurationError
from caf_root.reading import is_flat, matches

Mask = NDArray[np.bool_]
_U64 = np.uint64


def _not_negative(instance: "TriggerLine", _attribute: object, prescale: int) -> None:
    if prescale < 0:
        raise ConfigurationError(
            f"trigger line {instance.name!r} has the prescale {prescale}; give a whole number n to keep one "
            "event in n, or 0 for none."
        )


@frozen
class TriggerLine:
    """A trigger line, or several that count as one.

    Args:
        name: The branch; with ``*`` or ``?`` all that match, of which the line has fired if any has
            (``HLT_Mu15_v*``).
        prescale: One event in so many counts for this line, chosen by the event's numbers; 0 for none.
    """

    name: str
    prescale: int = field(default=1, validator=(validators.instance_of(int), _not_negative))


def _lines(lines: Iterable[str | tuple[str, int] | TriggerLine]) -> tuple[TriggerLine, ...]:
    if isinstance(lines, str):
        lines = [lines]
    made = [
        line
        if isinstance(line, TriggerLine)
        else TriggerLine(line)
        if isinstance(line, str)
        else TriggerLine(*line)
        for line in lines
    ]
    if not made:
        raise ConfigurationError(
            "a TriggerSkim needs at least one trigger line; give names, or (name, prescale)."
        )
    return tuple(made)


def _one_of(*allowed: object) -> Any:
    def check(_instance: object, attribute: Any, value: object) -> None:
        if value not in allowed:
            words = " or ".join(repr(one) for one in allowed)
            raise ConfigurationError(f"TriggerSkim cannot do {attribute.name}={value!r}; give {words}.")

    return check


def _true_or_false(_instance: object, attribute: Any, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"TriggerSkim cannot do {attribute.name}={value!r}; give True or False.")


@frozen
class TriggerSkim:
    """Selects events whose trigger lines have the expected result.

    A line *holds* for an event if its result is the expected one and its prescale keeps the event. Prescales
    are drawn from a hash of experiment, run, event, the line's name and the seed, so the same events pass
    whatever the files, chunks and number of processes.

    Args:
        lines: Names, pairs (name, prescale), or ``TriggerLine`` objects.
        logic: Whether ``"or"`` any, or ``"and"`` all lines must hold.
        expected: The result to ask for: ``True`` for fired, ``False`` for not fired.
        on_missing: What a line is that a file does not have: an ``"error"``, or a line that holds
            (``"pass"``) or does not (``"fail"``) for any event.
        seed: Another seed draws other events.
        keys: The branches with experiment, run and event; an experiment that is not in the data counts as 0.
    """

    lines: tuple[TriggerLine, ...] = field(converter=_lines)
    logic: Literal["or", "and"] = field(default="or", validator=_one_of("or", "and"))
    expected: bool = field(default=True, validator=_true_or_false)
    on_missing: Literal["error", "pass", "fail"] = field(
        default="error", validator=_one_of("error", "pass", "fail")
    )
    seed: int = field(default=0, kw_only=True)
    keys: tuple[str, str, str] = field(default=("experiment", "run", "event"), kw_only=True)

    @property
    def branches(self) -> tuple[str, ...]:
        """Names and patterns of the branches to read: ``read_chunks(..., optional=skim.branches)``."""
        return tuple(line.name for line in self.lines)

    def mask(self, chunk: Mapping[str, Any]) -> Mask:
        """Which events are selected.

        Args:
            chunk: Columns by name: the lines' results (booleans, or numbers of which those above 0 mean
                fired), and the keys if there are prescales.
        Returns:
            Booleans, shape (n_events,).
        Raises:
            ConfigurationError: If a line is missing and ``on_missing`` is ``"error"``, or a key is missing.
        """
        held = [self._held(line, chunk) for line in self.lines]
        combine = np.logical_or if self.logic == "or" else np.logical_and
        mask: Mask = combine.reduce(held)
        return mask

    def select(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        """The selected events of a chunk, with all its columns, of numpy or awkward."""
        mask = self.mask(chunk)
        return {
            name: (column if hasattr(column, "dtype") or hasattr(column, "layout") else np.asarray(column))[
                mask
            ]
            for name, column in chunk.items()
        }

    def _held(self, line: TriggerLine, chunk: Mapping[str, Any]) -> Mask:
        """For which events one line holds."""
        length = len(next(iter(chunk.values()), ()))
        names = matches(line.name, chunk)
        if not names:
            if self.on_missing == "error":
                raise ConfigurationError(
                    f"there is no trigger line {line.name!r} in the data; correct its name, or say "
                    "on_missing='fail' or 'pass'."
                )
            return np.full(length, self.on_missing == "pass")
        fired = np.zeros(length, dtype=bool)
        for name in names:
            fired |= _one_number_each(name, chunk[name]) > 0
        held: Mask = fired == self.expected
        return held if line.prescale == 1 else held & self._drawn(line, chunk, length)

    def _drawn(self, line: TriggerLine, chunk: Mapping[str, Any], length: int) -> Mask:
        """Which events a prescale keeps."""
        if line.prescale == 0:
            return np.zeros(length, dtype=bool)
        experiment, run, event = self.keys
        missing = [key for key in (run, event) if key not in chunk]
        if missing:
            raise ConfigurationError(
                f"the prescale of trigger line {line.name!r} needs the column {missing[0]!r}; read it too, "
                "or name it with keys=."
            )
        experiments = chunk.get(experiment, np.zeros(length, dtype=np.int64))
        columns = ((experiment, experiments), (run, chunk[run]), (event, chunk[event]))
        keys = [_one_number_each(name, column) for name, column in columns]
        numbers = event_hash(keys, f"{self.seed}:{line.name}")
        drawn: Mask = numbers % _U64(line.prescale) == 0
        return drawn


def _one_number_each(name: str, column: Any) -> NDArray[Any]:
    """A column that decides on events.

    Raises:
        ConfigurationError: If it has several values an event, or no numbers.
    """
    if not is_flat(column):
        raise ConfigurationError(
            f"the column {name!r} does not hold one number an event, so it is no trigger line or key; "
            "correct the names."
        )
    return np.asarray(column)


def event_hash(columns: Sequence[ArrayLike], salt: str) -> NDArray[np.uint64]:
    """A number for every event that depends on nothing but these columns and the salt.

    Args:
        columns: Whole numbers, shape (n_events,) each.
        salt: Another text gives independent numbers.
    Returns:
        Evenly distributed 64-bit numbers, shape (n_events,).
    Source:
        The finaliser of SplitMix64, https://doi.org/10.1145/2714064.2660195, applied column after column.
    """
    start = int.from_bytes(blake2b(salt.encode(), digest_size=8).digest(), "big")
    state: NDArray[np.uint64] = np.full(len(np.asarray(columns[0])), start, dtype=_U64)
    for column in columns:
        state = _mixed(state ^ np.asarray(column).astype(np.int64).view(_U64))
    return state


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all others; arithmetic modulo 2^64 is meant."""
    values = values + _U64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> _U64(27))) * _U64(0x94D049BB133111EB)
    return values ^ (values >> _U64(31))
