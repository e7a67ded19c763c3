"""How jobs are listed: what a version of bjobs is asked for, and how its answers are read.

Versions differ: IBM LSF 10.1.0.2 and later and Volclava print JSON, older ones of IBM columns with a
delimiter, OpenLava a fixed table; and not all know the same columns. Most reject a column that they do not
know only when there is a job to show, so that nothing can be tried in advance: the first rejection teaches.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from attrs import evolve, frozen

from caf_core.jobs.batch.dialogue import NOT_FOUND
from caf_core.processes.command import CommandResult
from caf_lsf.ids import split_id
from caf_lsf.words import NOT_THERE, complaints

JSON, DELIMITED, TABLE = "json", "delimited", "table"

NEEDED = ("jobid", "stat", "job_name")
WANTED = (*NEEDED, "exec_host", "jobindex", "exit_code", "exit_reason", "max_mem")

_DELIMITER = "^"
_USAGE = re.compile(r"usage|illegal option|invalid option|unrecognized option|bad option", re.IGNORECASE)
_MEMORY = re.compile(r"([\d.]+)\s*([KMGT])", re.IGNORECASE)
_MEGABYTES = {"K": 2**-10, "M": 1.0, "G": 2.0**10, "T": 2.0**20}
_RECORD = re.compile(r"\{[^{}]*\}")


class Job(NamedTuple):
    """One line of a listing.

    Attributes:
        number: LSF's number; the elements of an array share it.
        element: The index in the array; 0 for a plain job.
        name: The job's name, with the index of an element.
        state: LSF's word.
        host: Where it executes or executed, as LSF writes it.
        exit_code: As LSF writes it.
        reason: Why it ended, such as ``TERM_RUNLIMIT: job killed after ...``.
        memory: Its peak, as LSF writes it.
    """

    number: str
    element: int
    name: str
    state: str
    host: str
    exit_code: str
    reason: str
    memory: str


@frozen
class Listing:
    """What a version of bjobs is asked for.

    Args:
        form: How its answer looks.
        columns: The columns that are asked for.
    """

    form: str = JSON
    columns: tuple[str, ...] = WANTED

    @property
    def options(self) -> tuple[str, ...]:
        """The options that ask for it."""
        columns = " ".join(self.columns)
        if self.form == JSON:
            return ("-o", columns, "-json")
        return ("-o", f"{columns} delimiter='{_DELIMITER}'") if self.form == DELIMITED else ("-w",)

    @property
    def tells_reasons(self) -> bool:
        """Whether it says why a job was ended."""
        return self.form != TABLE and "exit_reason" in self.columns

    def read(self, answer: CommandResult) -> list[Job] | None:
        """The jobs of an answer, none if LSF says that there are none; ``None`` if it is no answer."""
        if answer.returncode is None or answer.returncode == NOT_FOUND:
            return None
        said = answer.stdout.strip()
        complaint = complaints(answer.stderr)
        if complaint and answer.returncode != 0:
            # An open version prints a valid but empty list, too, when the daemons did not answer.
            return None
        if said:
            return _READERS[self.form](said)
        return [] if NOT_THERE.search(answer.stderr) else None

    def poorer(self, answer: CommandResult) -> "Listing | None":
        """What to ask for instead, if an answer says that this is too much; else ``None``."""
        if not answer.returncode or answer.returncode == NOT_FOUND or self.form == TABLE:
            return None
        said = answer.stderr or answer.stdout
        kept = tuple(
            one for one in self.columns if one in NEEDED or not re.search(rf"\b{one}\b", said, re.IGNORECASE)
        )
        if re.search(r"\bfield|\bformat", said, re.IGNORECASE):
            if kept != self.columns:
                return evolve(self, columns=kept)
            if self.columns != NEEDED:
                return evolve(self, columns=NEEDED)
        if _USAGE.search(said):
            return Listing(DELIMITED if self.form == JSON else TABLE)
        return None


def _read_json(text: str) -> list[Job] | None:
    """``{"COMMAND": "bjobs", "JOBS": 2, "RECORDS": [{"JOBID": "1", "STAT": "RUN", ...}, ...]}``"""
    start = text.find("{")
    try:
        content = json.JSONDecoder(strict=False).raw_decode(text, start)[0] if start >= 0 else None
    except ValueError:
        return _salvage(text)
    records = content.get("RECORDS") if isinstance(content, dict) else None
    return list(_jobs(records)) if isinstance(records, list) else None


def _salvage(text: str) -> list[Job] | None:
    """The records of an answer that came to its end although something in it is no JSON, such as a strange
    name.
    """
    if '"RECORDS"' not in text or not re.search(r"\]\s*\}\s*$", text):
        return None
    records = []
    for piece in _RECORD.findall(text):
        try:
            records.append(json.loads(piece, strict=False))
        except ValueError:
            continue  # it spoils no other
    return list(_jobs(records))


def _jobs(records: Iterable[Any]) -> Iterator[Job]:
    """The jobs of records; this is done ten thousand times a poll."""
    for record in records:
        try:
            state, get = record["STAT"], record.get
            name = get("JOB_NAME", "")
            number, element = _place(record["JOBID"], name, get("JOBINDEX"))
        except (KeyError, TypeError, AttributeError):
            continue  # {"JOBID": "99", "ERROR": "Job <99> is not found"}, or worse
        host, code = get("EXEC_HOST", ""), get("EXIT_CODE", "")
        yield Job(number, element, name, state, host, code, get("EXIT_REASON", ""), get("MAX_MEM", ""))


def _place(number: str, name: str, index: object) -> tuple[str, int]:
    """The number and the index of a job; the index stands in its own column, in its name or in its number."""
    if not number.isdecimal():
        return split_id(number) or (number, 0)
    text = index
    if text is None:
        text = name[name.rfind("[") + 1 : -1] if name[-1:] == "]" else "0"
    try:
        return number, int(text)  # type: ignore[call-overload]  # whatever it is, it is tried
    except (TypeError, ValueError):
        return number, 0


def _read_delimited(text: str) -> list[Job] | None:
    """A line of column names, then a line a job."""
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith(f"JOBID{_DELIMITER}")]
    if not heads:
        return None
    names = lines[heads[0]].split(_DELIMITER)
    rows = (line.split(_DELIMITER) for line in lines[heads[0] + 1 :])
    return list(_jobs([dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]))


def _read_table(text: str) -> list[Job] | None:
    """``JOBID USER STAT QUEUE FROM_HOST EXEC_HOST JOB_NAME SUBMIT_TIME``, the last of three words."""
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.split()[:3] == ["JOBID", "USER", "STAT"]]
    if not heads:
        return None
    jobs = []
    for line in lines[heads[0] + 1 :]:
        words = line.split()
        if len(words) >= 8 and words[0].isdecimal():
            name = " ".join(words[6:-3])
            jobs.append(Job(*_place(words[0], name, None), name, words[2], words[5], "", "", ""))
    return jobs


def pending_reasons(text: str) -> str:
    """Why a job waits, from ``bjobs -p``: the lines below its own, each with a blank before it."""
    reasons: list[str] = []
    for line in text.splitlines():
        if line[:1].isspace() and line.strip():
            reasons.append(line.strip().rstrip(";"))
        elif reasons:
            break  # the next job
    return "; ".join(reasons)


_READERS: dict[str, Callable[[str], list[Job] | None]] = {
    JSON: _read_json,
    DELIMITED: _read_delimited,
    TABLE: _read_table,
}


def host_of(host: str) -> str:
    """The first host of ``4*node1:2*node2``; empty for a job that has none."""
    first = host.strip().partition(":")[0].rpartition("*")[2]
    return "" if first == "-" else first


def megabytes_of(memory: str) -> float | None:
    """Memory such as ``1.5 Gbytes`` [MiB]."""
    match = _MEMORY.match(memory.strip())
    try:
        return float(match[1]) * _MEGABYTES[match[2].upper()] if match else None
    except ValueError:
        return None
