"""What ``scontrol``, the completion record and ``sacct`` say of jobs that ``squeue`` no longer lists.

Each reader returns ``Record``s in the order of the text; the last one about a task counts, because a requeued
job has several.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve, frozen

from caf_slurm import ids
from caf_slurm.states import Row

SACCT_FIELDS = "JobID,JobName,State,ExitCode,NodeList,MaxRSS"
_FIELD = re.compile(r"(?:^|\s)([A-Za-z]+)=(\S*)")
_UNITS = {"": 1 / 2**20, "K": 1 / 2**10, "M": 1.0, "G": 2.0**10, "T": 2.0**20}


@frozen
class Record:
    """What is known of one job, or of the tasks of an array that never started.

    Args:
        expression: The tasks.
        name: The name of the job: a token.
        row: What is said of them.
        rest: Whether it is about all tasks of an array that never started, whichever they are.
    """

    expression: ids.Expression
    name: str
    row: Row
    rest: bool = False


def records_of_scontrol(text: str) -> Iterator[Record]:
    """Read ``scontrol show job --oneliner``."""
    for fields in _fields(text):
        state = fields.get("JobState", "")
        expression = _expression(fields)
        if expression is not None and state:
            reason = fields.get("Reason", "").replace("_", " ")
            reason = "" if reason == "None" else reason
            host = _host(fields.get("BatchHost", ""))
            yield Record(
                expression, fields.get("JobName", ""), _row(state, reason, host, fields.get("ExitCode", ""))
            )


def records_of_filetxt(text: str) -> Iterator[Record]:
    """Read the file of ``JobCompType=jobcomp/filetxt``.

    The tasks of an array that never started share one record, which does not name them.
    """
    for fields in _fields(text):
        state = fields.get("JobState", "")
        expression = _expression(fields)
        if expression is not None and state:
            row = _row(state, "", _host(fields.get("NodeList", "")), fields.get("ExitCode", ""))
            yield Record(expression, fields.get("Name", ""), row, rest=expression.indices is None)


def records_of_sacct(text: str) -> Iterator[Record]:
    """Read ``sacct --noheader --parsable2 --format SACCT_FIELDS``.

    The line of a job is followed by those of its steps; the step ``batch`` knows the memory.
    """
    last: Record | None = None
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) < 6:
            continue
        # A name may hold the separator, so the other fields are counted from their end.
        identity, name = fields[0], "|".join(fields[1:-4])
        state, code, hosts, memory = fields[-4:]
        base, step, kind = identity.partition(".")
        if step:
            if last is not None and kind == "batch" and base == _first(last.expression):
                last = evolve(last, row=_with_step(last.row, state, _megabytes(memory)))
            continue
        if last is not None:
            yield last
        expression = ids.read(base)
        last = None
        if expression is not None and state:
            last = Record(expression, name, _row(state, "", _host(hosts), code))
    if last is not None:
        yield last


def told(records: Iterable[Record], asked: Sequence[str]) -> Mapping[str, Row]:
    """What the records say about some ids."""
    rows: dict[str, Row] = {}
    rest: dict[str, Row] = {}
    wanted = set(asked)
    for record in records:
        if record.rest:
            rest[record.expression.base] = record.row
        for identity in record.expression.ids():
            if identity in wanted:
                rows[identity] = record.row
    for identity in wanted - rows.keys():
        row = rest.get(identity.partition("_")[0])
        if row is not None and row.state.startswith("CANCELLED"):
            rows[identity] = row
    return rows


def _fields(text: str) -> Iterator[Mapping[str, str]]:
    """The first words ``KEY=VALUE`` of each line that is about a job; free text follows later in the line."""
    for line in text.splitlines():
        if line.startswith("JobId="):
            fields: dict[str, str] = {}
            for key, value in _FIELD.findall(line):
                fields.setdefault(key, value)
            yield fields


def _expression(fields: Mapping[str, str]) -> ids.Expression | None:
    array, index = fields.get("ArrayJobId"), fields.get("ArrayTaskId")
    if array and index and index != "N/A":
        return ids.read(f"{array}_[{index}]")
    return ids.read(fields.get("JobId", ""))


def _row(state: str, reason: str, host: str, code: str) -> Row:
    exit_code, _, signal = code.partition(":")
    return Row(
        state,
        reason,
        host,
        int(exit_code) if exit_code.isdecimal() else None,
        int(signal) if signal.isdecimal() else None,
    )


def _with_step(row: Row, state: str, memory: float | None) -> Row:
    """A job may be ``FAILED`` where its step knows that memory was the reason."""
    if row.state == "FAILED" and state == "OUT_OF_MEMORY":
        row = evolve(row, state=state)
    return evolve(row, peak_memory_mb=memory)


def _first(expression: ids.Expression) -> str:
    return next(expression.ids(), "")


def _host(words: str) -> str:
    return "" if words in ("(null)", "None assigned", "None", "n/a") else words


def _megabytes(text: str) -> float | None:
    match = re.fullmatch(r"([0-9.]+)([KMGT]?)", text.strip())
    if match is None:
        return None
    try:
        return float(match[1]) * _UNITS[match[2]]
    except ValueError:
        return None
