"""An account in words: which intervals did not converge, and which runs have no constant."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from caf_core.control.account import NO_DATA, Account, Gap, Interval
from caf_core.iov import ExpRun, IoV

SHOWN = 4
"""How many of many are named; the others are counted."""
ALL = 10**9


def account_texts(account: Account, *, everything: bool = False) -> list[str]:
    """All that has to be told, in sentences; nothing if all is well.

    Args:
        account: The account.
        everything: Whether long lists are told in full.
    """
    limit = ALL if everything else SHOWN
    return [
        *unconverged_texts(account, limit),
        *channel_texts(account, limit),
        *gap_texts(account, limit),
    ]


def unconverged_texts(account: Account, limit: int = SHOWN) -> list[str]:
    """The intervals that have not converged, each with its metrics by iteration."""
    found = account.unconverged
    if not found:
        return []
    verb = "has" if len(found) == 1 else "have"
    begin = f"{len(found)} of {_many(account.intervals, 'interval')} {verb} not converged"
    return [f"{begin}: {'; '.join(_cut([interval_text(one) for one in found], limit))}"]


def interval_text(interval: Interval) -> str:
    """``fit 1,2,1,2 (max_iterations; correction 7, 7, 7, tolerance 1)``."""
    facts = [interval.convergence, *interval.not_finite]
    facts += [f"{name} {_values(values)}" for name, values in interval.metrics.items()]
    return f"{interval.algorithm} {interval.iov} ({'; '.join(facts)})"


def _values(values: Sequence[tuple[object, object] | None]) -> str:
    last = values[-6:]
    told = ["-" if one is None else _number(one[0]) for one in last]
    before = ["..."] if len(values) > len(last) else []
    tolerance = next((_number(one[1]) for one in reversed(values) if one is not None), "-")
    return f"{', '.join([*before, *told])}, tolerance {tolerance}"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def channel_texts(account: Account, limit: int = SHOWN) -> list[str]:
    """The arrays in which some numbers are not finite."""
    if not account.channels:
        return []
    named = [f"{algorithm} {iov} ({text})" for algorithm, iov, text in account.channels]
    return [f"some channels are not finite: {'; '.join(_cut(named, limit))}"]


def gap_reasons(gaps: Iterable[Gap]) -> list[str]:
    """Every run without a constant with its reason."""
    return [f"{_hole(IoV.parse(gap.iov))}: no constant {_name(gap)}: {gap.reason}" for gap in gaps]


def _name(gap: Gap) -> str:
    return gap.payload or f"of {gap.algorithm}"


def gap_texts(account: Account, limit: int = SHOWN) -> list[str]:
    """The runs without a constant, one sentence for payloads that lack the same."""
    alike: dict[tuple[tuple[str, str], ...], list[Gap]] = {}
    for _, gaps in groupby(account.gaps, key=lambda gap: (gap.payload, gap.algorithm)):
        mine = list(gaps)
        alike.setdefault(tuple((gap.iov, gap.kind) for gap in mine), []).append(mine[0])
    return [
        _gap_text(account, [_name(gap) for gap in firsts], reasons, limit)
        for reasons, firsts in alike.items()
    ]


def _gap_text(account: Account, names: Sequence[str], reasons: Iterable[tuple[str, str]], limit: int) -> str:
    by_kind: dict[str, list[IoV]] = {}
    for iov, kind in reasons:
        by_kind.setdefault(kind, []).append(IoV.parse(iov))
    holes = by_kind.pop(NO_DATA, [])
    name = " and ".join(_cut(names, SHOWN))
    parts = []
    if by_kind:
        without = sorted(iov.first for iovs in by_kind.values() for iov in iovs)
        every = sorted({*account.runs, *without})
        verb = "has" if len(without) == 1 else "have"
        why = "; ".join(
            f"{kind}: {_runs(every, [iov.first for iov in iovs], limit)}" for kind, iovs in by_kind.items()
        )
        parts.append(f"{len(without)} of {_many(len(every), 'run')} {verb} no constant {name}: {why}")
    if holes:
        ranges = _cut([_hole(hole) for hole in holes], limit)
        begin = "there is" if parts else f"there is no constant {name} and"
        parts.append(f"{begin} no data for {', '.join(ranges)}")
    return "; ".join(parts)


def _runs(every: Sequence[ExpRun], runs: Sequence[ExpRun], limit: int) -> str:
    """``1,2, 1,5 to 1,9``: runs between which there is no other run are put together."""
    return ", ".join(_cut(list(_ranges(every, runs)), limit))


def _ranges(every: Sequence[ExpRun], runs: Sequence[ExpRun]) -> Iterator[str]:
    place = {run: number for number, run in enumerate(every)}
    ordered = sorted(runs)
    rows = enumerate(ordered)
    for _, group in groupby(rows, key=lambda row: (place[row[1]] - row[0], row[1].exp)):
        members = [run for _, run in group]
        yield _range(members[0], members[-1])


def _range(first: ExpRun, last: ExpRun) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _hole(iov: IoV) -> str:
    if iov.run_high < 0:
        return f"{iov.first} and later"
    return _range(iov.first, ExpRun(iov.exp_high, iov.run_high))


def _cut(texts: Sequence[str], limit: int) -> list[str]:
    """The first of many, and how many there are."""
    if len(texts) <= limit + 1:
        return list(texts)
    return [*texts[:limit], f"... ({len(texts)} in all)"]


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
