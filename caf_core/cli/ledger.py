"""What ``caf why --run`` and ``--iov`` tell: which constants hold, and why."""

from typing import TYPE_CHECKING, Any

from caf_core.cli.base import parse_run, say, shown
from caf_core.cli.exits import Exit
from caf_core.errors import ConfigurationError
from caf_core.json_text import json_text, json_values

if TYPE_CHECKING:
    from caf_core.control.reading.ledger import Ledger
    from caf_core.control.reading.overview import Reader
    from caf_core.iov import IoV

_LINES = 40
"""How many sentences are told of an algorithm."""


def wanted_runs(task: str | None, run: str | None, iov: str | None) -> "IoV":
    """The runs that a user asks about.

    Raises:
        ConfigurationError: If that is not clear.
    """
    from caf_core.iov import IoV

    if task is not None or (run is not None and iov is not None):
        others = "another one of them" if task is None else "a task"
        raise ConfigurationError(
            f"--run and --iov ask about constants, and cannot be used with {others}; leave one out."
        )
    if iov is not None:
        wanted = IoV.parse(iov)
        if wanted.empty:
            raise ConfigurationError(f"--iov {iov} holds no run; give an interval such as 1,5,1,9.")
        return wanted
    found = parse_run(run or "")
    return IoV(*found, *found)


def tell(
    store: "Reader",
    calibration: str,
    iteration: int | None,
    wanted: "IoV",
    *,
    as_json: bool,
    everything: bool,
) -> int:
    """Print what is known of the constants for some runs.

    Args:
        store: The checkpoint.
        calibration: The calibration.
        iteration: The iteration; the last one in which something was executed if left out.
        wanted: The runs.
        as_json: Whether machines read it.
        everything: Whether long lists are told in full.
    """
    from caf_core.control.reading.ledger import last_iteration, read_ledgers

    last = last_iteration(store, calibration)
    number = last if iteration is None else iteration
    ledgers = () if number is None else read_ledgers(store, calibration, number)
    if as_json:
        rows = [_as_json(one, wanted) for one in ledgers]
        print(json_text({"calibration": calibration, "iteration": number, "algorithms": rows}, indent=2))
        return Exit.OK
    if not ledgers:
        known = "" if last is None or number == last else f" (the last one with an execution is {last})"
        where = "" if number is None else f" in iteration {number}{known}"
        say(f"{calibration}: no algorithm has been executed{where}")
        return Exit.OK
    from caf_core.control.reading.ledger_words import ledger_texts

    state = "" if all(one.over for one in ledgers) else ", which goes on or was interrupted"
    say(f"{shown(calibration)}, iteration {number}{state}")
    for ledger in ledgers:
        strategy = ledger.strategy.get("name")
        say(f"  algorithm {shown(ledger.algorithm)}" + (f", {strategy}" if strategy else ""))
        texts = ledger_texts(ledger, wanted)
        first = texts if everything else texts[:_LINES]
        say("\n".join(f"    {shown(text)}" for text in first))
        if len(texts) > len(first):
            say(f"    and {len(texts) - len(first)} more sentences (--all shows them)")
    return Exit.OK


def _as_json(ledger: "Ledger", wanted: "IoV") -> dict[str, Any]:
    from caf_core.control.reading.ledger_words import begin_text, end_text, holding
    from caf_core.iov import IoV

    rows = []
    for commit in ledger.commits:
        held = holding(ledger, commit, wanted)
        ends = {"begins": begin_text(ledger, commit), "ends": end_text(ledger, commit)}
        rows += [
            {
                "name": one.name,
                "revision": one.revision,
                "iov": str(one.iov),
                "runs": commit.runs,
                "reason": commit.reason,
                "execution": next(tried.name for tried in ledger.executions if tried.key == commit.key),
                **({} if one.own else ends),
            }
            for one in held
        ]
    return {
        "algorithm": ledger.algorithm,
        "over": ledger.over,
        "payloads": json_values(rows),
        "gaps": json_values([gap for gap in ledger.gaps if IoV.parse(gap.iov).overlaps(wanted)]),
        "executions": json_values(
            [one for one in ledger.executions if any(wanted.contains(run) for run in one.runs)]
        ),
    }
