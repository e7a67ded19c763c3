"""The journal of a task that carries a plan out: what was asked, begun, answered and committed.

``journal.jsonl`` has a row for each of these, and ``payloads.pack`` the bytes of payloads one behind the
other. Both are only appended to, payloads first, so that the beginning of a journal is worth something
wherever it was cut off; a torn last row is dropped when it is read.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from attrs import define, field, frozen

from caf_core.calibration.carry_out import Question, Reply
from caf_core.calibration.plans import Commit, Execute, Executed, FindBoundaries, Result, Verdict, commits_of
from caf_core.conditions.codecs import Codecs, revision_of
from caf_core.iov import ExpRun, IoV
from caf_core.json_text import COMPACT, json_text

JOURNAL_FILE = "journal.jsonl"
PACK_FILE = "payloads.pack"


@define
class Recorded:
    """What a journal says of one question.

    Args:
        key: The question's key.
        runs: The runs that it is about.
        iov: The interval for which the algorithm was executed; empty for boundaries.
        directory: The folder of the journal.
        log: Where its part of the task's log begins and ends [bytes].
        answer: What the algorithm answered; ``None`` if it did not. The row of a payload is ``[name,
            revision, suffix, file, own interval, offset, length]``.
        deaths: How processes ended that were at it.
    """

    key: str
    runs: tuple[ExpRun, ...]
    iov: str
    directory: Path
    log: tuple[int, int | None] = (0, None)
    answer: dict[str, Any] | None = None
    deaths: list[str] = field(factory=list)

    def answers(self, question: Question) -> bool:
        """Whether it is about the same runs and interval as a question."""
        return self.runs == question.runs and self.iov == iov_text(question)


def iov_text(question: Question) -> str:
    """The interval of a question; empty for boundaries."""
    return str(question.iov) if isinstance(question, Execute) else ""


def question_of(runs: Sequence[ExpRun], iov: str) -> Question:
    """The inverse of ``iov_text``."""
    return Execute(tuple(runs), IoV.parse(iov)) if iov else FindBoundaries(tuple(runs))


def reply_of(key: str, answer: Mapping[str, Any]) -> Reply:
    """What a plan is told of an answer."""
    if "boundaries" in answer:
        return tuple(ExpRun(exp, run) for exp, run in answer["boundaries"])
    return Executed(key, Result(answer["result"]), answer["message"], answer.get("entries"))


class Journal:
    """Writes the journal of a task. Rows wait for ``flush``, and there is little of them.

    Args:
        folder: Its attempt's folder.
    """

    _WAITING = 1 << 16
    """Not more than this waits [bytes]."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._rows = os.open(folder / JOURNAL_FILE, flags, 0o666)
        self._pack: int | None = None
        self._flags = flags
        self._waiting = bytearray()

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, and close its files."""
        try:
            self.flush()
        finally:
            os.close(self._rows)
            if self._pack is not None:
                os.close(self._pack)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, bytearray()
        _write_all(self._rows, waiting)

    def begin(self, key: str, question: Question, log: int) -> None:
        """Note that a question is about to be asked.

        Args:
            key: Its key.
            question: The question.
            log: The size of the log [bytes].
        """
        self._write({"begun": key, "runs": question.runs, "iov": iov_text(question), "log": log})

    def answer(self, key: str, answer: str, payloads: Sequence[bytes], log: int) -> None:
        """Note an answer.

        Args:
            key: The question's key.
            answer: The answer as JSON, with a row for each payload.
            payloads: The payloads.
            log: The size of the log [bytes].
        """
        places = [[self._append(data), len(data)] for data in payloads]
        self._write_text(
            f'{{"answered":{json_text(key)},"log":{log},"places":{json_text(places)},"answer":{answer}}}'
        )

    def died(self, key: str, how: str) -> None:
        """Note that the process died that was at a question."""
        self._write({"died": key, "how": how})

    def commit(self, commit: Commit) -> None:
        """Note what the strategy commits."""
        row = {"commit": commit.key, "runs": commit.runs, "iov": str(commit.iov), "reason": commit.reason}
        self._write({**row, "kept": commit.kept} if commit.kept else row)

    def end(self, verdict: Verdict) -> None:
        """Note how the plan ended."""
        self._write({"verdict": str(verdict.result), "message": verdict.message})

    def _append(self, data: bytes) -> int:
        if self._pack is None:
            self._pack = os.open(self.folder / PACK_FILE, self._flags, 0o666)
        place = os.fstat(self._pack).st_size
        _write_all(self._pack, data)
        return place

    def _write(self, row: Mapping[str, Any]) -> None:
        self._write_text(json_text(row, separators=COMPACT))

    def _write_text(self, text: str) -> None:
        self._waiting += text.encode() + b"\n"
        if len(self._waiting) > self._WAITING:
            self.flush()


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@frozen
class Read:
    """A journal that was read.

    Args:
        questions: By key, in the order in which they were begun.
        ended: Whether the plan, or the task's parts of it, came to an end.
        commits: What was committed, by key.
    """

    questions: dict[str, Recorded]
    ended: bool
    commits: dict[str, Commit] = field(factory=dict)


def read_journal(folder: Path) -> Read:
    """Read what a task noted, up to now if it goes on; nothing if there is no journal."""
    questions: dict[str, Recorded] = {}
    commits: dict[str, Commit] = {}
    ended = False
    try:
        lines = (folder / JOURNAL_FILE).read_bytes().split(b"\n")
    except OSError:
        return Read({}, False)
    for line in lines[:-1]:  # behind the last newline stands nothing, or what was torn
        try:
            row = json.loads(line)
            ended = ended or "verdict" in row
            if "commit" in row:
                commits[row["commit"]] = _commit(row)
            else:
                _note(questions, row, folder)
        except (ValueError, KeyError, TypeError):
            break
    return Read(questions, ended, commits)


def _commit(row: Mapping[str, Any]) -> Commit:
    (commit,) = commits_of([[row["commit"], row["runs"], row["iov"], row["reason"], row.get("kept", ())]])
    return commit


def _note(questions: dict[str, Recorded], row: Mapping[str, Any], folder: Path) -> None:
    if (key := row.get("begun")) is not None:
        runs = tuple(ExpRun(exp, run) for exp, run in row["runs"])
        before = questions.pop(key, None)
        questions[key] = Recorded(key, runs, row["iov"], folder, (row["log"], None))
        questions[key].deaths += before.deaths if before else []
    elif (key := row.get("answered")) is not None:
        one, answer = questions[key], row["answer"]
        for payload, place in zip(answer.get("payloads", ()), row["places"], strict=True):
            payload += place
        one.answer, one.log = answer, (one.log[0], row["log"])
    elif (key := row.get("died")) is not None:
        questions[key].deaths.append(row["how"])


def read_payload(directory: Path, row: Sequence[Any]) -> bytes:
    """The bytes of a payload in an answer.

    Args:
        directory: The folder of the journal.
        row: The payload's row; those of caf 0.1.0 name a file of the payload's own, without a place in it.
    Raises:
        OSError: If they cannot be read.
    """
    path = directory / str(row[3])
    if len(row) == 5:
        return path.read_bytes()
    with path.open("rb") as file:
        file.seek(int(row[5]))
        return file.read(int(row[6]))


def is_sound(directory: Path, answer: Mapping[str, Any], codecs: Codecs) -> bool:
    """Whether the payloads of an answer are there, byte by byte."""
    for row in answer.get("payloads", ()):
        codec = codecs.by_suffix(row[2])
        try:
            data = read_payload(directory, row)
        except OSError:
            return False
        if codec is not None and revision_of(codec.name, data) != row[1]:
            return False
    return True


def newest(folders: Sequence[Path], wanted: Callable[[Recorded], bool]) -> dict[str, Recorded]:
    """What is known of each question from several journals.

    Args:
        folders: Their folders, oldest first; answers of later ones count.
        wanted: Which answers count; deaths are added up in any case.
    """
    found: dict[str, Recorded] = {}
    for folder in folders:
        for key, one in read_journal(folder).questions.items():
            before = found.get(key)
            if one.answer is not None and not wanted(one):
                one.answer = None
            if before is not None and one.answer is None and before.answer is not None:
                before.deaths += one.deaths
                continue
            one.deaths = (before.deaths if before else []) + one.deaths
            found[key] = one
    return found


def journals(directory: Path) -> list[Path]:
    """The folders of all attempts of a job's tasks that left a journal, oldest first."""
    found = [path.parent for path in directory.glob(f"*/attempt-*/{JOURNAL_FILE}")]
    return sorted(found, key=lambda folder: (folder / JOURNAL_FILE).stat().st_mtime_ns)
