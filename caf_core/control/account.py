"""What an iteration has come to: which intervals did not converge, and which runs have no constant.

The controller leaves it in ``account.json`` beside the constants of the iteration; commands read it there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from caf_core.calibration.files import write_json
from caf_core.iov import ExpRun

FILE = "account.json"

NOT_ENOUGH_DATA, FAILURE, IGNORED, NO_DATA = "not enough data", "failure", "ignored", "no data"
NOT_EXECUTED, NOT_COMMITTED, NOT_GIVEN = "not executed", "not committed", "not given by the algorithm"
"""Why runs have no constant."""


@frozen
class Interval:
    """An interval of one algorithm's constants that has not converged.

    Args:
        algorithm: The algorithm.
        iov: The interval for which it was committed, as text.
        payloads: Names of its payloads, and their intervals as text.
        convergence: How it stands.
        metrics: By name: value and tolerance in each iteration, the worst of its runs; ``None`` where there
            is none. Numbers that are not finite are texts.
        not_finite: Its numbers that are not finite.
    """

    algorithm: str
    iov: str
    payloads: tuple[tuple[str, str], ...]
    convergence: str
    metrics: Mapping[str, tuple[tuple[Any, Any] | None, ...]] = field(factory=dict)
    not_finite: tuple[str, ...] = ()


@frozen
class Gap:
    """A run, or run numbers in a row, without a constant.

    Args:
        payload: What the constant is called; empty if the algorithm gave none at all.
        algorithm: The algorithm that gives it.
        iov: The run or run numbers, as text.
        kind: Why, in two words; see above.
        reason: Why.
    """

    payload: str
    algorithm: str
    iov: str
    kind: str
    reason: str


@frozen
class Account:
    """What an iteration has come to.

    Args:
        convergence: How its intervals stand together; empty if another iteration followed, or it failed.
        intervals: How many intervals have constants.
        unconverged: Those that have not converged.
        channels: (algorithm, interval, which) of arrays with some numbers that are not finite.
        runs: The runs with data.
        ignored: The runs that the user wants ignored.
        gaps: The runs without a constant, by payload.
        notes: What strategies want people to be told, such as a boundary that was merged away.
    """

    convergence: str = ""
    intervals: int = 0
    unconverged: tuple[Interval, ...] = ()
    channels: tuple[tuple[str, str, str], ...] = ()
    runs: tuple[ExpRun, ...] = ()
    ignored: tuple[ExpRun, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What machines are told of it."""
        return {
            "intervals": self.intervals,
            "unconverged": self.unconverged,
            "channels_not_finite": self.channels,
            "runs": len(self.runs),
            "gaps": self.gaps,
            "notes": self.notes,
        }

    def by_payload(self) -> dict[tuple[str, str], Interval]:
        """The intervals that have not converged, by name and interval of their payloads."""
        return {payload: interval for interval in self.unconverged for payload in interval.payloads}


def write_account(path: Path, account: Account) -> None:
    """Leave an account for commands and later processes."""
    write_json(path, account)


def read_account(directory: Path, calibration: str, iteration: int) -> Account:
    """The account of an iteration; an empty one if there is none.

    Args:
        directory: The output directory.
        calibration: The calibration.
        iteration: The iteration.
    """
    path = directory / calibration / str(iteration) / "algorithm_output" / FILE
    try:
        content = json.loads(path.read_bytes())
        return Account(
            content["convergence"],
            content["intervals"],
            tuple(_interval(one) for one in content["unconverged"]),
            tuple((algorithm, iov, text) for algorithm, iov, text in content["channels"]),
            tuple(ExpRun(*run) for run in content["runs"]),
            tuple(ExpRun(*run) for run in content["ignored"]),
            tuple(Gap(**one) for one in content["gaps"]),
            tuple(content.get("notes", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        # Older versions left none.
        return Account()


def _interval(content: Mapping[str, Any]) -> Interval:
    return Interval(
        **{
            **content,
            "payloads": tuple((name, iov) for name, iov in content["payloads"]),
            "metrics": {
                name: tuple(None if one is None else (one[0], one[1]) for one in values)
                for name, values in content["metrics"].items()
            },
            "not_finite": tuple(content["not_finite"]),
        }
    )
