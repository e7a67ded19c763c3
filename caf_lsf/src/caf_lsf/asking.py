"""What LSF is asked about jobs: their states, why they ended, which of them are ours."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from caf_core.jobs.backend import Report
from caf_core.jobs.batch.dialogue import Command, Dialogue, unanswered
from caf_core.jobs.batch.template import Batch
from caf_core.processes.command import CommandResult
from caf_lsf import reports
from caf_lsf.endings import History, histories
from caf_lsf.ids import join_id, split_id
from caf_lsf.listing import Job, Listing, pending_reasons

ENDED = ("DONE", "EXIT")
REASONS_A_POLL = 5
"""How many submissions that wait are asked for their reason in one poll."""
PATIENCE = 10.0
"""How long a reason is waited for [s]."""

_NAMELESS = re.compile(r"\[\d+\]")


class Asking(Batch):
    """The part of ``LSF`` that asks; it remembers what a version of bjobs lacks, and what it was told."""

    def __init__(self, *, backend_args: Mapping[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)
        self._listing = Listing()
        self._sizes: dict[str, int] = {}
        """Number of a job -> how many elements it was submitted with, by us."""
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
        reasons = yield from self._reasons(known)
        return told | self._reports(known, reasons)

    def _reasons(self, known: Mapping[str, Job]) -> Dialogue[Mapping[str, str]]:
        """Why jobs wait of which no element executes, by their numbers; one element is asked for all. Nobody
        has to answer, a poll is not worth less.
        """
        waiting: dict[str, str] = {}
        working: set[str] = set()
        for one, job in known.items():
            if job.state == "PEND":
                waiting.setdefault(job.number, one)
            elif job.state not in ENDED:
                working.add(job.number)
        reasons: dict[str, str] = {}
        for number in [number for number in waiting if number not in working][:REASONS_A_POLL]:
            patience = min(PATIENCE, self.command_timeout)
            answer = yield self._ask("bjobs", "-p", waiting[number], timeout=patience)
            if answer.returncode is None:
                break
            if reason := pending_reasons(answer.stdout):
                reasons[number] = reason
        return reasons

    def _sorted(self, jobs: Iterable[Job], numbers: set[str]) -> dict[str, Job]:
        """The jobs by id; which of an array have not ended is remembered, if all of it was listed."""
        arrays: dict[str, dict[str, Job]] = {number: {} for number in numbers}
        for job in jobs:
            number, element = job[:2]
            if number in arrays:
                arrays[number][f"{number}[{element}]" if element else number] = job
        found: dict[str, Job] = {}
        for number, listed in arrays.items():
            if len(listed) == self._sizes.get(number):
                self._live[number] = {one for one, job in listed.items() if job.state not in ENDED}
            found = found | listed if found else listed
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

    def _reports(self, known: Mapping[str, Job], reasons: Mapping[str, str]) -> dict[str, Report]:
        """Most of thousands of jobs are in one of a few situations."""
        told: dict[str, Report] = {}
        same: dict[tuple[Any, ...], Report] = {}
        for one, job in known.items():
            if job.state == "EXIT" and (one in self._cancelled or one in self._ends):
                mine = one in self._cancelled
                told[one] = reports.cancelled(job) if mine else reports.report_of(job, self._ends[one])
                continue
            if job.state == "PEND" and job.number in reasons:
                told[one] = evolve(reports.report_of(job), reason=reasons[job.number])
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

    def _list(self, *selection: str) -> Dialogue[list[Job]]:
        """A bjobs, asked for less if its version does not know so much."""
        listing = self._listing
        begin = selection[:1] if selection[:1] == ("-a",) else ()
        while True:
            answer = yield self._ask("bjobs", *begin, *listing.options, *selection[len(begin) :])
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
        named = re.compile(rf"{re.escape(token)}(?:\[(\d+)\])?")
        jobs = yield from self._list("-a")
        ours = [job for job in jobs if named.fullmatch(str(job.name))]
        if not ours and any(_NAMELESS.fullmatch(str(job.name)) for job in jobs):
            # An open version that was built with a checking C library loses the name and keeps the index.
            ours = yield from self._list("-a", "-J", token)
        # Of two jobs for one task, which a killed bsub may leave behind, the one that executes counts.
        ours.sort(key=lambda job: (job.state != "RUN", job.state in ENDED, len(job.number), job.number))
        found: dict[int, str] = {}
        for job in ours:
            found.setdefault(max(job.element - 1, 0), join_id(job.number, job.element))
        if not found:
            answer = yield self._ask("bhist", "-a", "-l", "-J", token)
            for one, history in histories(answer.stdout).items():
                parts = split_id(one)
                if parts and (match := named.fullmatch(history.name)):
                    index = int(match[1] or 0)
                    found.setdefault(max(index - 1, 0), join_id(parts[0], index))
        return found

    def counting(self) -> Dialogue[int | None]:
        """The user's jobs that have not ended."""
        jobs = yield from self._list()
        return sum(job.state not in ENDED for job in jobs)

    def _ask(self, name: str, *arguments: str, timeout: float | None = None) -> Command:
        return Command([self.tool(name), *arguments], timeout=timeout)
