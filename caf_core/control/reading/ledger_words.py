"""A ledger in sentences: which payload holds for a run and why, what was tried, and what has no constant."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from caf_core.calibration.plans import Commit, Result
from caf_core.control.account_words import gap_reasons
from caf_core.control.reading.ledger import Held, Ledger, Tried
from caf_core.iov import ExpRun, IoV
from caf_core.text import clause, counted


def ledger_texts(ledger: Ledger, wanted: IoV) -> list[str]:
    """What a ledger has about some runs.

    Args:
        ledger: The ledger.
        wanted: The runs.
    """
    commits = [one for one in ledger.commits if holding(ledger, one, wanted)]
    gaps = [gap for gap in ledger.gaps if IoV.parse(gap.iov).overlaps(wanted)]
    texts = [text for one in commits for text in commit_texts(ledger, one, wanted)]
    texts += [f"{text}." for text in gap_reasons(gaps)]
    if not commits and not gaps:
        texts.append(_nothing(ledger, wanted))
    return [*texts, *_without_data(ledger, wanted), *_attempts(ledger, wanted)]


def holding(ledger: Ledger, commit: Commit, wanted: IoV) -> list[Held]:
    """The payloads of a commit that hold for some of these runs."""
    return [one for one in ledger.payloads[commit.key] if one.iov.overlaps(wanted)]


def commit_texts(ledger: Ledger, commit: Commit, wanted: IoV) -> Iterator[str]:
    """Which payloads of a commit hold for some of these runs, and why."""
    held = sorted(holding(ledger, commit, wanted), key=lambda one: (one.iov, one.name))
    for iov, group in groupby(held, key=lambda one: one.iov):
        payloads = list(group)
        names = " and ".join(f"{one.name} {one.revision}" for one in payloads)
        own = ", the interval that the algorithm gave" if payloads[0].own else ""
        yield f"{names} {'holds' if len(payloads) == 1 else 'hold'} for {iov}{own}."
    execution = next(one for one in ledger.executions if one.key == commit.key)
    entries = "; entries were not counted" if execution.entries is None else f", {counted(execution.entries)}"
    yield f"Made from {runs_text(commit.runs)}{entries}, by {execution.name}{_stands(ledger, held)}."
    if commit.reason:
        yield f"Reason of the commit: {clause(commit.reason)}."
    if commit.kept:
        runs = runs_text(commit.kept)
        yield f"Kept for {runs}, on which the algorithm failed: it was not made from these data."
    if not all(one.own for one in held):
        yield begin_text(ledger, commit)
        yield end_text(ledger, commit)


def _stands(ledger: Ledger, held: Sequence[Held]) -> str:
    """How the interval of payloads stands, once that is known."""
    if not ledger.account.convergence:
        return ""
    unconverged = ledger.account.by_payload()
    found = [unconverged.get((one.name, str(one.iov))) for one in held]
    bad = next((one.convergence for one in found if one is not None), None)
    return "; converged" if bad is None else f"; not converged ({bad})"


def begin_text(ledger: Ledger, commit: Commit) -> str:
    """Why the interval of a commit begins where it does."""
    first, data = commit.iov.first, commit.runs[0]
    begin = f"It begins at {first}"
    if first == data:
        return f"{begin}, its first run with data."
    if first > data or commit.iov.empty:
        return f"{begin}, as the strategy wants it; its first run with data is {data}."
    before = [one for one in ledger.commits if one.iov < commit.iov]
    if not before:
        return f"{begin}, before its first run with data, {data}{_parameter(ledger)}."
    if first.run == 0 and before[-1].iov.first.exp < first.exp:
        return f"{begin}, as it is the first of experiment {first.exp}; its first run with data is {data}."
    return f"{begin}, before its first run with data, {data}, as said in the reason."


def end_text(ledger: Ledger, commit: Commit) -> str:
    """Why the interval of a commit ends where it does."""
    iov, last = commit.iov, commit.runs[-1]
    if iov.exp_high == -1:
        return f"It holds for ever after{_parameter(ledger)}."
    following = next((one for one in ledger.commits if iov < one.iov), None)
    if iov.run_high == -1:
        return f"It has no end in experiment {iov.exp_high}, of which it is the last."
    end = ExpRun(iov.exp_high, iov.run_high)
    if following is not None and following.iov.union(iov) is not None:
        return (
            f"It ends at {end}, just before the next one begins at {following.iov.first}: "
            f"{clause(following.reason) or 'no reason was recorded'}."
        )
    gaps = [gap for gap in ledger.gaps if IoV.parse(gap.iov).union(iov) is not None]
    behind = next((gap for gap in gaps if IoV.parse(gap.iov).first > end), None)
    if behind is not None:
        return f"It ends at {end}, as there is no constant at {behind.iov}: {clause(behind.reason)}."
    if end == last:
        return f"It ends at {end}, its last run with data."
    return f"It ends at {end}, behind its last run with data, {last}{_parameter(ledger)}."


def _parameter(ledger: Ledger) -> str:
    """Which parameter of the strategy moves the outer ends, if one is given."""
    for name in ("iov_coverage", "apply_iov"):
        if value := ledger.strategy.get(name):
            return f" ({name} is {IoV(**value) if isinstance(value, dict) else value})"
    return ""


def _nothing(ledger: Ledger, wanted: IoV) -> str:
    which = f"run {wanted.first}" if _single(wanted) else f"any run in {wanted}"
    if not ledger.commits:
        so_far = "nothing was committed" if ledger.over else "nothing has been committed so far"
        return f"No payload holds for {which}: {so_far}."
    first, last = ledger.commits[0].iov, ledger.commits[-1].iov
    so_far = "" if ledger.over else " so far"
    return (
        f"No payload holds for {which}: what was committed{so_far} begins with {first} and ends with {last}."
    )


def _single(wanted: IoV) -> bool:
    return wanted.first == ExpRun(wanted.exp_high, wanted.run_high)


def _without_data(ledger: Ledger, wanted: IoV) -> Iterator[str]:
    """Why a run was in no execution."""
    run = wanted.first
    if not _single(wanted) or any(run in one.runs for one in ledger.executions):
        return
    if run in ledger.account.ignored:
        yield f"Run {run} is among ignored_runs."
    elif run in ledger.account.runs:
        yield f"The algorithm was not executed on run {run}."
    elif ledger.over:
        yield f"No data of run {run} were collected."
    else:
        yield f"No execution has had run {run} so far."


def _attempts(ledger: Ledger, wanted: IoV) -> Iterator[str]:
    """What was executed on these runs, and what came of it."""
    committed = {one.key for one in ledger.commits}
    mine = [one for one in ledger.executions if any(wanted.contains(run) for run in one.runs)]
    for number, one in enumerate(mine):
        later = any(set(other.runs) > set(one.runs) and other.iov for other in mine[number + 1 :])
        yield attempt_text(ledger, one, committed=one.key in committed, again=later)


def attempt_text(ledger: Ledger, one: Tried, *, committed: bool, again: bool) -> str:
    """What one execution had, and what came of it."""
    entries = "" if one.entries is None else f", {counted(one.entries)}"
    what = f"{one.name}: {runs_text(one.runs)}{entries}"
    if not one.result:
        return f"{what}: {'it ended without an answer' if ledger.over else 'it goes on, or did not end'}."
    said = f": {clause(one.message)}" if one.message else ""
    if one.result == "boundaries":
        return f"{what}: was asked for boundaries."
    result = f"{what}: {one.result.replace('_', ' ')}{said}"
    if not Result(one.result).success:
        return f"{result}."
    if committed:
        return f"{result}; committed."
    if again:
        return f"{result}; executed again together with other runs."
    return f"{result}; {'not committed' if ledger.over else 'not committed so far'}."


def runs_text(runs: Sequence[ExpRun]) -> str:
    """Runs in few words."""
    return f"run {runs[0]}" if len(runs) == 1 else f"the {len(runs)} runs from {runs[0]} to {runs[-1]}"
