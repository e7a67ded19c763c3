"""``caf why``: why something failed, and what was done about it."""

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caf_core.cli.base import Command, Settings, duration, json_option, path_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.cli.status import blocked_texts
from caf_core.json_text import json_text, json_values

if TYPE_CHECKING:
    from caf_core.control.account import Account
    from caf_core.control.reading.causes import Answer, Attempt, Case
    from caf_core.control.reading.overview import Reader

_MEANINGS = {
    "init": "it is not at the scheduler; caf submits it as soon as what is said above allows it",
    "submitted": "the scheduler has it, and it has not begun as far as is known",
    "running": "it has begun and not ended",
}
"""What the state of an attempt that has not ended means."""
_TEXTS = 10
"""How many runs without a constant are told with their reasons, and how many notes of strategies."""
_FULL = 3
"""How many failures are told in full where no task is named; the others are alike more often than not."""


@click.command("why", cls=Command)
@path_option
@json_option
@click.option("--iteration", type=click.IntRange(min=0), help="Another iteration than the last.")
@click.option(
    "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="Last lines of stderr to show."
)
@click.option("--all", "everything", is_flag=True, help="Show every failure in full, and long lists.")
@click.option("--run", "run", metavar="EXP,RUN", help="Tell why the constants of this run are what they are.")
@click.option("--iov", metavar="E,R,E,R", help="The same for all runs of an interval.")
@click.argument("calibration", required=False)
@click.argument("task", required=False)
@click.pass_obj
def command(
    settings: Settings,
    calibration: str | None,
    task: str | None,
    iteration: int | None,
    lines: int,
    everything: bool,
    run: str | None,
    iov: str | None,
) -> int:
    """Tell why CALIBRATION failed, what became of one TASK of it, or where constants come from.

    A task is named by its collection and number, such as default/3; an execution of an algorithm by the
    algorithm and the name of its folder, such as Fit/0_0.0_2. Where there is only one calibration, it need
    not be named. With --run or --iov it tells which payloads hold there, from which runs they were made and
    why their intervals begin and end where they do, what was tried, and why there is no constant.
    """
    from caf_core.control.reading.causes import failed_work, read_case
    from caf_core.control.reading.naming import find_work, meant
    from caf_core.control.reading.overview import failed_dependency, reading

    with reading(settings.path) as store:
        calibration, task = meant(store, calibration, task)
        if run is not None or iov is not None:
            from caf_core.cli.ledger import tell, wanted_runs

            wanted = wanted_runs(task, run, iov)
            return tell(store, calibration, iteration, wanted, as_json=settings.json, everything=everything)
        row = store.models.Calibration.get_or_none(store.models.Calibration.name == calibration)
        if task is not None:
            cases = [read_case(store, find_work(store, calibration, task, iteration))]
        else:
            number = iteration if iteration is not None else (row.iteration if row is not None else 0)
            cases = [read_case(store, work) for work in failed_work(store, calibration, number)]
        history = _history(store, calibration)
        account = _account(store, row, iteration)
        because = None if row is None else failed_dependency(store, row.name)
    if settings.json:
        print(json_text(_as_json(row, account, because, cases, lines), indent=2))
        return Exit.OK
    if task is None:
        _print_calibration(calibration, row, history, because, len(cases))
        _print_account(account, everything=everything)
    shown_cases = cases if everything or task is not None else cases[:_FULL]
    for number, case in enumerate(shown_cases):
        if number or task is None:
            print()
        say("\n".join(case_lines(case, lines, settings.path)))
    if len(cases) > len(shown_cases):
        rest = ", ".join(case.work.name for case in cases[_FULL : _FULL + 10])
        say(
            f"\nand {len(cases) - _FULL} more (--all shows them): "
            f"{rest}{' ...' if len(cases) > _FULL + 10 else ''}"
        )
    return Exit.OK


def _history(store: "Reader", calibration: str) -> list[tuple[float, int, str, str]]:
    """The last moves that had a reason."""
    query = (
        "SELECT time, iteration, new, reason FROM transition WHERE calibration = ? AND reason != '' ORDER BY "
        "id DESC LIMIT 4"
    )
    return [(row[0], row[1], row[2], row[3]) for row in reversed(store.rows(query, (calibration,)))]


def _print_calibration(
    name: str, row: Any, history: list[tuple[float, int, str, str]], because: str | None, failures: int
) -> None:
    if row is not None:
        print(f"{shown(name)}: {row.state}, iteration {row.iteration}, checkpoint {row.checkpoint}")
    told = None
    for when, iteration, new, reason in history:
        if reason != told:
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
            print(f"  {clock}  iteration {iteration}, {new}: {shown(reason)}")
        told = reason
    blocked = [] if row is None else blocked_texts(row.state, because)
    print("".join(f"  {shown(text)}\n" for text in blocked), end="")
    if not blocked and not failures:
        print("  no task or execution of this iteration has failed")


def _account(store: "Reader", row: Any, iteration: int | None) -> "Account":
    """What an iteration has come to, the last one if none is named."""
    from caf_core.control.account import Account, read_account

    if row is None or (iteration is None and row.state not in ("completed", "failed")):
        return Account()
    number = row.iteration if iteration is None else iteration
    return read_account(store.directory, row.name, number)


def _print_account(account: "Account", *, everything: bool) -> None:
    from caf_core.control.account_words import account_texts, gap_reasons

    print("".join(f"  {shown(text)}\n" for text in account_texts(account, everything=everything)), end="")
    _print_list("    ", gap_reasons(account.gaps), everything=everything)
    _print_list("  ", account.notes, everything=everything)


def _print_list(indent: str, texts: Sequence[str], *, everything: bool) -> None:
    """Each text in a line; of many the first ones, and how many more there are."""
    first = texts if everything else texts[:_TEXTS]
    print("".join(f"{indent}{shown(text)}\n" for text in first), end="")
    if len(texts) > len(first):
        print(f"{indent}and {len(texts) - len(first)} more (--all shows them)")


def case_lines(case: "Case", lines: int, path: Path) -> list[str]:
    """Everything about one task or execution, for people."""
    work = case.work
    kind = "execution" if work.execution else "task"
    where = "" if work.execution else f", on {work.backend}"
    text = [f"{kind} {shown(work.name)}, iteration {work.iteration}{where}: {case.state}"]
    if case.answer is not None:
        text.append(f"  {answer_text(case.answer)}")
        if case.answer.message:
            text.append(f"  message: {shown(case.answer.message)}")
    elif case.line["input_files"]:
        text.append(f"  input files: {len(case.line['input_files'])}")
    for attempt, following in pairwise([*case.attempts, None]):
        if attempt is None:
            break
        # An execution has no attempts of its own, and what follows says nothing of it alone.
        whose = "all executions of its task, " if work.execution else ""
        text.append(f"  {whose}attempt {attempt.number}: {attempt_text(attempt)}")
        if attempt.state in _MEANINGS:
            text.append(f"    {waiting_text(attempt, work.backend, time.time())}")
        if attempt.state == "failed":
            text.append(f"    {done_text(case, attempt, following)}")
    if case.split:
        text.append(f"  split in two: {', '.join(case.split)}")
    last = case.last
    if last is None:
        return [*text, f"  not submitted yet: {shown(case.waits)}"]
    said = _last_lines(case, lines)
    if said:
        text += ["  last lines of stderr:", *(f"    | {line}" for line in said)]
    there = (last.directory / "stderr").exists()
    text.append(
        f"  logs: {shown(last.directory)}/" + ("stdout and stderr" if there else " (nothing was written)")
    )
    text.append(
        f"  again, in the foreground: caf debug {_word(work.calibration)} {_word(work.name)} -p {_word(path)}"
    )
    return text


def answer_text(answer: "Answer") -> str:
    """What came of an execution."""
    from caf_core.text import counted

    facts = [f"result: {answer.result}", f"IoV {answer.iov}", f"runs {answer.runs}"]
    facts += [] if answer.entries is None else [counted(answer.entries)]
    facts += [] if answer.seconds is None else [f"in {answer.seconds:.3g} s"]
    return "; ".join(facts)


def attempt_text(attempt: "Attempt") -> str:
    """How an attempt ended, what it used, and where."""
    # The exit code itself follows.
    how = attempt.state if attempt.failure in ("", "exit_code") else attempt.failure.replace("_", " ")
    facts = []
    if attempt.signal is not None:
        facts.append(f"signal {attempt.signal}")
    elif attempt.exit_code is not None:
        facts.append(f"exit code {attempt.exit_code}")
    if attempt.reason and attempt.reason not in facts:
        facts.append(shown(attempt.reason))
    if attempt.seconds is not None:
        limit = f" of {duration(attempt.walltime_s)} asked for" if attempt.walltime_s else ""
        facts.append(f"after {duration(attempt.seconds)}{limit}")
    if attempt.peak_memory_mb:
        asked = f"{attempt.memory_mb} MB asked for" if attempt.memory_mb else "no limit asked for"
        facts.append(f"peak memory {attempt.peak_memory_mb:.0f} MB ({asked})")
    if attempt.host:
        facts.append(f"host {attempt.host}")
    if attempt.scheduler_id:
        facts.append(f"id {attempt.scheduler_id}")
    return f"{how}: {', '.join(facts)}" if facts else how


def waiting_text(attempt: "Attempt", backend: str, now: float) -> str:
    """What it means that an attempt has not ended, and what it asked for."""
    asked = [f"{attempt.memory_mb} MB"] if attempt.memory_mb else []
    asked += [duration(attempt.walltime_s)] if attempt.walltime_s else []
    wanted = f"; it asks for {' and '.join(asked)}" if asked else ""
    if attempt.begun and attempt.state != "running":
        return f"it has begun: it left its mark, which nobody has read yet{wanted}"
    if attempt.state == "submitted" and not attempt.reason:
        ago = f", submitted {duration(now - attempt.submitted)} ago" if attempt.submitted else ""
        return f"it has not begun as far as is known{ago}; {backend} has told nothing of it so far{wanted}"
    return f"{_MEANINGS[attempt.state]}{wanted}"


def done_text(case: "Case", attempt: "Attempt", following: "Attempt | None") -> str:
    """What was done about a failed attempt."""
    if following is not None:
        more = []
        if following.memory_mb != attempt.memory_mb:
            more.append(f"{following.memory_mb} MB")
        if following.walltime_s != attempt.walltime_s and following.walltime_s:
            more.append(duration(following.walltime_s))
        return "then: tried again" + (f" with {' and '.join(more)}" if more else "")
    if case.split:
        return "then: split in two, to isolate a bad file"
    if case.state in ("init", "submitted"):
        return "then: waits for another attempt"
    if attempt.failure == "cancelled":
        return "then: nothing yet; the next start executes it again"
    return f"then: nothing; the retry policy gives {attempt.failure or 'this'} no (further) attempt"


def _last_lines(case: "Case", count: int) -> list[str]:
    """The last lines that the last attempt printed."""
    from caf_core.text import last_lines

    log = case.last.directory / "stderr" if case.last else Path()
    return [shown(line.expandtabs()) for line in last_lines(log, count, case.log)]


def _word(text: object) -> str:
    import shlex

    return shlex.quote(str(text))


def _as_json(
    row: Any, account: "Account", because: str | None, cases: "list[Case]", lines: int
) -> dict[str, object]:
    return {
        "state": row.state if row is not None else None,
        "iteration": row.iteration if row is not None else None,
        "reason": row.reason if row is not None else "",
        "blocked_by": because,
        **account.to_json(),
        "cases": [
            {
                **json_values(case),
                "stderr": _last_lines(case, lines),
            }
            for case in cases
        ],
    }
