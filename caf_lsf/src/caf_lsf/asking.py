"""What LSF is asked about jobs: their states, why they ended, which of them are ours."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from caf_core.jobs.backend import Report
from caf_core.jobs.batch.dialogue import Command, Dialogue, unanswered
from caf_core.jobs.batch.template import Batch
from caf_core.processes.command import CommandResult
from caf_lsf import reports
from caf_lsf.endings import History, histories
from caf_lsf.ids import join_id, split_id
from caf_lsf.listing import Job, Listing

ENDED = ("DONE", "EXIT")


class Asking(Batch):
    """The part of ``LSF`` that asks; it remembers what a version of bjobs lacks, and what it was told."""

    def __init__(self, *, backend_args: Mapping[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)
        self._listing = Listing()
        self._live: dict[str, set[str]] = {}
        """Number of a job -> its ids that had not ended when it was last seen whole."""
        self._plain: set[str] = set()
        """Numbers of plain jobs that should be arrays."""
        self._cancelled: set[str] = set()
        self._ends: dict[str, History] = {}
        self._unheard: set[str] = set()
        """Ids about which bhist was asked in vain."""

    def polling(self, ids: Sequence[str]) -> Dialogue[Mapping[str, Report]]:
        """One bjobs, of the user's jobs or of one number; bhist for what is not there or ended strangely."""
        wanted = {one: parts for one in ids if (parts := split_id(one))}
        if not wanted:
            return {}
        numbers = {number for number, _ in wanted.values()}
        # Several numbers in one command make the open versions send the jobs of all users.
        selection = tuple(numbers) if len(numbers) == 1 else ()
        jobs = yield from self._list("-a", *selection)
        found = self._sorted(jobs, numbers)
        known = {one: found[one] for one in wanted if one in found}
        told: dict[str, Report] = {}
        absent: list[str] = []
        for one in wanted.keys() - known.keys():
            number, index = wanted[one]
            if index and number in found:
                self._plain.add(number)
                told[one] = reports.no_array()
            else:
                absent.append(one)
        strange = [one for one, job in known.items() if self._is_strange(one, job)]
        yield from self._hearing(strange, absent)
        told |= {one: self._ends[one].report() for one in absent if one in self._ends}
        return told | self._reports(known)

    def _sorted(self, jobs: Iterable[Job], numbers: set[str]) -> dict[str, Job]:
        """The jobs by id; what is seen of each number is remembered."""
        found: dict[str, Job] = {}
        live: dict[str, set[str]] = {}
        for job in jobs:
            number, index, _, state, _, _, _, _ = job
            if number not in numbers:
                continue
            one = f"{number}[{index}]" if index else number
            found[one] = job
            if number not in live:
                live[number] = set()
            if state not in ENDED:
                live[number].add(one)
        self._live.update(live)
        return found

    def _is_strange(self, one: str, job: Job) -> bool:
        """Whether a job ended in a way that the listing does not explain."""
        if job.state != "EXIT":
            if self._ends:
                self._ends.pop(one, None)  # it may have been queued again
            return False
        if self._listing.tells_reasons or one in self._cancelled:
            return False
        return not (one in self._ends and self._ends[one].ended)

    def _reports(self, known: Mapping[str, Job]) -> dict[str, Report]:
        """Most of thousands of jobs are in one of a few situations."""
        told: dict[str, Report] = {}
        same: dict[tuple[Any, ...], Report] = {}
        for one, job in known.items():
            if job.state == "EXIT" and (one in self._cancelled or one in self._ends):
                mine = one in self._cancelled
                told[one] = reports.cancelled(job) if mine else reports.report_of(job, self._ends[one])
                continue
            situation = job[3:]  # all but the number and the name
            try:
                told[one] = same[situation]
            except KeyError:
                told[one] = same[situation] = reports.report_of(job)
            except TypeError:  # something in it is not even a word
                told[one] = reports.report_of(job)
        return told

    def _hearing(self, strange: Sequence[str], absent: Sequence[str]) -> Dialogue[None]:
        """Ask bhist, and bjobs -l where it knows nothing; neither has to answer, a poll is not worth less."""
        known = {one for one in absent if one in self._ends and self._ends[one].ended}
        asked = [one for one in (*strange, *absent) if one not in self._unheard and one not in known]
        if asked:
            answer = yield self._ask("bhist", "-l", *reports.arguments(asked))
            if answer.returncode is None:
                self._unheard.update(asked)  # it reads long files, and is not asked for these again
            self._learn(answer, asked)
        if silent := [one for one in strange if one not in self._ends]:
            answer = yield self._ask("bjobs", "-l", *reports.arguments(silent))
            self._learn(answer, silent)

    def _learn(self, answer: CommandResult, asked: Iterable[str]) -> None:
        told = histories(answer.stdout)
        for one in asked:
            if one in told:
                self._ends[one] = told[one]
            else:
                self._ends.pop(one, None)

    def _list(self, *arguments: str) -> Dialogue[list[Job]]:
        """A bjobs, asked for less if its version does not know so much."""
        listing = self._listing
        states = [word for word in arguments if word.startswith("-")]
        numbers = [word for word in arguments if not word.startswith("-")]
        while True:
            answer = yield self._ask("bjobs", *states, *listing.options, *numbers)
            jobs = listing.read(answer)
            if jobs is not None:
                self._listing = listing
                return jobs
            poorer = listing.poorer(answer)
            if poorer is None:
                raise unanswered(answer)
            listing = poorer

    def finding(self, token: str) -> Dialogue[Mapping[int, str]]:
        """The user's jobs of that name, from bhist those that bjobs has forgotten."""
        jobs = yield from self._list("-a")
        named = re.compile(rf"{re.escape(token)}(?:\[(\d+)\])?")
        # Of two jobs for one task, which a killed bsub may leave behind, the one that executes counts.
        jobs.sort(key=lambda job: (job.state != "RUN", job.state in ENDED, int(job.number)))
        found: dict[int, str] = {}
        for job in jobs:
            if named.fullmatch(str(job.name)):
                found.setdefault(max(job.element - 1, 0), join_id(job.number, job.element))
        if not found:
            answer = yield self._ask("bhist", "-a", "-l", "-J", token)
            for one, history in histories(answer.stdout).items():
                parts = split_id(one)
                if parts and (match := named.fullmatch(history.name)):
                    found.setdefault(max(int(match[1] or 0) - 1, 0), join_id(parts[0], int(match[1] or 0)))
        return found

    def counting(self) -> Dialogue[int | None]:
        """The user's jobs that have not ended."""
        jobs = yield from self._list()
        return sum(job.state not in ENDED for job in jobs)

    def _ask(self, name: str, *arguments: str, timeout: float | None = None) -> Command:
        return Command([self.tool(name), *arguments], timeout=timeout)
