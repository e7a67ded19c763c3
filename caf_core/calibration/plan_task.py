"""The task that carries a plan out: all executions of one algorithm in one iteration, or some parts of them.

``carry_out_plan`` is the ``entry`` of a ``Call``; its working directory is the attempt's own. This process
follows the plan and keeps the journal, and the algorithm is executed in one that is forked from it, so that
nothing that the algorithm does to its process can harm what was recorded.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.calibration.algorithm_process import LOG_FILE, WORK, AlgorithmProcess, Answer, log_size
from caf_core.calibration.carry_out import Question, Reply, follow, follow_parts, with_statistics
from caf_core.calibration.journal import (
    Journal,
    Recorded,
    is_sound,
    newest,
    question_of,
    read_payload,
    reply_of,
)
from caf_core.calibration.loaded_algorithm import LoadedAlgorithm, failed
from caf_core.calibration.plans import Commit, Past, Result, Verdict, commits_of
from caf_core.conditions.codecs import Codecs
from caf_core.iov import ExpRun
from caf_core.json_text import COMPACT, json_text
from caf_core.text import counted, in_a_sentence, with_last_line

_TRIES = 2
"""So often a question is asked at which the algorithm's process dies."""


def carry_out_plan(
    algorithm: Mapping[str, Any],
    path: str,
    past: str = "",
    parts: Sequence[int] | None = None,
    earlier: Sequence[str] = (),
) -> None:
    """Carry out the plan of an algorithm, and leave a journal and the payloads.

    Args:
        algorithm: How it is loaded: the arguments of ``LoadedAlgorithm``.
        path: With what all keys begin.
        past: A file with what the previous iteration committed (see ``commit_rows``), if there was one.
        parts: The parts of the plan that this task carries out; all of it if left out.
        earlier: Folders with journals of earlier tasks; what they answer is not executed again, failures
            apart.
    """
    here = Path.cwd()
    sys.stdout.flush()
    os.dup2(2, 1)  # one log, in the order in which things happened
    loaded = LoadedAlgorithm(**algorithm)
    settings = loaded.kit.algorithm
    plan = with_statistics(
        loaded.kit.strategy.plan(loaded.index.runs, Past(loaded.iteration, _committed(past))),
        loaded.index.statistics,
    )
    limit = None if settings.execution_walltime is None else settings.execution_walltime.total_seconds()
    with (
        Journal(here) as journal,
        AlgorithmProcess(loaded, here, limit, isolate=settings.isolate) as process,
    ):
        known = _known(here, [Path(folder) for folder in earlier])
        asking = _Asking(journal, process, known, loaded.doors.open_codecs())
        if parts is None:
            journal.end(follow(plan, path, asking.ask, journal.commit))
        else:
            follow_parts(plan, path, parts, asking.ask, journal.commit)
            journal.end(Verdict(Result.OK))
    with suppress(FileNotFoundError):
        (here / WORK).rmdir()


def _known(here: Path, earlier: Sequence[Path]) -> dict[str, Recorded]:
    """What earlier tasks and earlier attempts of this task recorded."""
    attempts = sorted(
        (folder for folder in here.parent.glob("attempt-*") if folder != here),
        key=lambda folder: folder.stat().st_mtime,
    )
    found = newest(earlier, is_kept)
    for one in found.values():
        one.deaths.clear()  # they counted then; a new start tries again
    for key, one in newest(attempts, lambda _: True).items():
        if one.answer is not None or key not in found:
            found[key] = one
        else:
            found[key].deaths = one.deaths
    return found


def is_kept(one: Recorded) -> bool:
    """Whether a later start makes use of an answer: of all but a ``failure``."""
    return one.answer is not None and one.answer.get("result") != Result.FAILURE


@frozen
class _Asking:
    """Answers the questions of a plan: as they were answered before, or by the algorithm."""

    journal: Journal
    process: AlgorithmProcess
    known: Mapping[str, Recorded]
    codecs: Codecs

    def ask(self, key: str, question: Question) -> Reply:
        before = self.known.get(key)
        if before is not None and not before.answers(question):
            before = None
        self.journal.begin(key, question, log_size())
        if before is not None and before.answer is not None:
            if is_sound(before.directory, before.answer, self.codecs):
                return self._again(key, before.directory, before.answer)
            before = None
        return self._execute(key, question, list(before.deaths) if before else [])

    def _again(self, key: str, directory: Path, answer: Mapping[str, Any]) -> Reply:
        """Record an answer once more, so that one journal has everything."""
        rows = answer.get("payloads", ())
        payloads = [read_payload(directory, row) for row in rows]
        answer = {**answer, "payloads": [row[:5] for row in rows]} if rows else answer
        self.journal.answer(key, json_text(answer, separators=COMPACT), payloads, log_size())
        return reply_of(key, answer)

    def _execute(self, key: str, question: Question, deaths: list[str]) -> Reply:
        begin = log_size()
        while len(deaths) < _TRIES:
            self.process.put(key, question)
            self.journal.flush()  # while it is being answered
            answer = self.process.wait()
            if isinstance(answer, Answer):
                self.journal.answer(key, answer.text, answer.payloads, log_size())
                return reply_of(key, _parsed(answer.text))
            if answer.killed:
                # Nobody knows whose fault it was: this task ends likewise, and who watches over it decides.
                os.kill(os.getpid(), signal.SIGKILL)
            self.journal.died(key, answer.how)
            deaths.append(answer.how)
        words = f"{deaths[-1]}, as it did before"
        given_up = failed(with_last_line(words, self.journal.folder / LOG_FILE, begin))
        self.journal.answer(key, given_up.text(), (), log_size())
        return reply_of(key, given_up.answer)


def _committed(past: str) -> tuple[Commit, ...]:
    return commits_of(json.loads(Path(past).read_text(encoding="utf-8"))) if past else ()


def _parsed(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def execute_once(algorithm: Mapping[str, Any], key: str, runs: Sequence[Sequence[int]], iov: str) -> None:
    """Execute an algorithm once, in the current directory, as a plan had it executed; errors are raised.

    Args:
        algorithm: How it is loaded: the arguments of ``LoadedAlgorithm``.
        key: The question's key.
        runs: The runs.
        iov: The interval; empty to find boundaries.
    """
    loaded = LoadedAlgorithm(**algorithm)
    question = question_of([ExpRun(exp, run) for exp, run in runs], iov)
    answered = loaded.execute(key, question, Path.cwd)
    with Journal(Path.cwd()) as journal:
        journal.begin(key, question, 0)
        journal.answer(key, answered.text(), answered.payloads, 0)
    sys.stdout.flush()
    print(f"caf: it ended: {_in_words(answered.answer)}", file=sys.stderr)  # noqa: T201 - a person looks on


def _in_words(answer: Mapping[str, Any]) -> str:
    """What came of an execution."""
    if "boundaries" in answer:
        return f"boundaries: {' '.join(f'{exp},{run}' for exp, run in answer['boundaries']) or 'none'}"
    said = f": {in_a_sentence(answer['message'])}" if answer["message"] else ""
    names = ", ".join(row[0] for row in answer["payloads"]) or "none"
    return f"{answer['result']}{said}; {counted(answer['entries'])}; payloads: {names}"
