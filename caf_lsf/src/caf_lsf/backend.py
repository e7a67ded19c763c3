"""``LSF``: tasks as jobs and arrays of IBM LSF 10.1, Volclava and OpenLava."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from caf_core.errors import BackendError, SubmissionError
from caf_core.jobs.backend import Capabilities, Report, Submission
from caf_core.jobs.batch.dialogue import NOT_FOUND, Command, Dialogue, doubtful, refused, unanswered
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch
from caf_core.processes.command import CommandResult
from caf_lsf import reports, words
from caf_lsf import submission as handing_over
from caf_lsf.endings import History, histories
from caf_lsf.ids import element_lists, join_id, split_id
from caf_lsf.listing import Job, Listing
from caf_lsf.site import CONF, DEFAULT_ARRAY_LIMIT, Site, queue_names, site_of

log = logging.getLogger("caf.jobs")

ENDED = ("DONE", "EXIT")

KILLS = 500
"""So many elements one bkill gets: it sends a message for each."""


class LSF(Batch):
    """Executes tasks on LSF; what a version of it lacks is found out once and remembered."""

    scheduler = "LSF"
    default_backend_args: ClassVar[Mapping[str, Any]] = {
        "command_timeout": 60.0,
        "poll_interval": 60.0,
        "grace": 60.0,
        "global_job_limit": 15_000,
        "memory_limit": True,
    }
    settings: ClassVar[Mapping[str, Setting]] = {
        "queue": Setting((str,), "the queue, or several in one word; the site's default if left out"),
        "project": Setting((str,), "the project to charge (-P)"),
        "user_group": Setting((str,), "the user group (-G; IBM LSF only)"),
        "app": Setting((str,), "the application profile (-app; IBM LSF only)"),
        "request_memory": Setting((int, float), "memory of a task [MB]"),
        "request_cpus": Setting((int,), "processors of a task, on one host"),
        "run_limit": Setting((int,), "time limit of a task [min]"),
        "memory_limit": Setting((bool,), "whether memory is a limit too (-M), and not only reserved"),
        "memory_unit": Setting((str,), "the site's unit of memory (KB, MB, GB, TB), if it cannot be asked"),
        "resource_requirement": Setting((str,), "further requirements (-R), such as select[type==any]"),
        "max_running": Setting((int,), "so many tasks of an array execute at once"),
        "extra_args": Setting((list, tuple), "further arguments of bsub, a list of words"),
        "extra_lines": Setting((list, tuple), "lines at the top of the script: #BSUB directives or shell"),
    }

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

    # What the site is like

    def surveying(self) -> Dialogue[Site]:
        """Ask for the version, the largest array and the units."""
        version = yield self._ask("bjobs", "-V")
        if not version.stdout + version.stderr.strip() or version.returncode in (None, NOT_FOUND):
            raise unanswered(version)
        parameters = yield self._ask("bparams", "-l")
        if parameters.returncode is None:
            raise unanswered(parameters)
        conf = yield Command(["/bin/sh", "-c", CONF, self.tool("bsub")])
        known: str | None = conf.stdout if conf.ok else None
        if known is None:
            shown = yield self._ask("badmin", "showconf", "mbd")
            known = shown.stdout if re.search(r"^\s*LS[BF]_\w+\s*=", shown.stdout, re.MULTILINE) else None
        return site_of(version.stdout + version.stderr, parameters.stdout, known)

    def limits(self, site: Site | None) -> Capabilities:
        """The largest array."""
        return Capabilities(array_limit=(site and site.array_limit) or DEFAULT_ARRAY_LIMIT)

    def _facts(self) -> Dialogue[Site]:
        if self._site is None:
            self._site = yield from self.surveying()
        site: Site = self._site
        return site

    # Handing over

    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        """One bsub; an array is looked at, because LSF may take a bad one for a plain job."""
        site = yield from self._facts()
        answer = yield Command(
            [self.tool("bsub"), *handing_over.options(submission, site)],
            stdin=handing_over.script(submission),
            # It becomes the job's, and this folder is everywhere; the open versions know no longer names.
            cwd=Path("/"),
            submits=True,
        )
        said = words.SUBMITTED.findall(f"{answer.stdout}\n{answer.stderr}")
        if not said:
            if answer.ok:  # told to be quiet, by the user's BSUB_QUIET
                found = yield from self.finding(submission.token)
                if len(found) == submission.size:
                    return [found[position] for position in range(submission.size)]
            raise (yield from self._refusal(answer))
        number = said[-1]
        if submission.size == 1:
            ids = [number]
        else:
            yield from self._verifying(submission, number, site)
            ids = [join_id(number, index) for index in range(1, submission.size + 1)]
        self._live[number] = set(ids)
        return ids

    def _refusal(self, answer: CommandResult) -> Dialogue[SubmissionError]:
        said = f"{answer.stdout}\n{answer.stderr}"
        if answer.returncode == NOT_FOUND:
            return refused(answer)
        if not answer.returncode or answer.returncode < 0 or not words.NOT_SUBMITTED.search(said):
            return doubtful(answer)
        if words.CREDENTIALS.search(said):
            return refused(answer, remedy="renew your credentials", credentials=True)
        if words.BUSY.search(said):
            return doubtful(answer)
        remedy = ""
        if words.ARRAYS.search(said):
            remedy = "set the backend argument array_limit to a smaller number"
        elif words.QUEUES.search(said):
            remedy = "choose another one by the backend argument 'queue'"
            queues = yield self._ask("bqueues", "-w", timeout=min(10.0, self.command_timeout))
            if names := queue_names(queues.stdout):
                remedy += f"; there are {', '.join(names[:20])}"
        return refused(answer, remedy=remedy)

    def _verifying(self, submission: Submission, number: str, site: Site) -> Dialogue[None]:
        """See that an array has all its elements; if nobody answers now, polls will see."""
        answer = yield self._ask("bjobs", "-A", "-w", number)
        size = _array_size(answer.stdout, number)
        if size is None:
            try:
                jobs = yield from self._list("-a", number)
            except BackendError as error:
                log.warning("array %s of LSF could not be looked at: %s", number, error)
                return
            size = len({job.element for job in jobs if job.number == number})
        if size in (0, submission.size):  # none: it is not to be seen yet
            return
        yield self._ask("bkill", number)
        limit = f" (MAX_JOB_ARRAY_SIZE is {site.array_limit})" if site.array_limit else ""
        raise SubmissionError(
            f"LSF took the array {handing_over.job_name(submission)} of {submission.size} tasks for "
            f"{size} jobs, so it was killed; set array_limit to a smaller number{limit}.",
            command=answer.argv,
            output=answer.stdout + answer.stderr,
        )

    # Asking

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
        for one, (number, index) in wanted.items():
            if index and number in found:
                self._plain.add(number)
                told[one] = reports.no_array()
            elif one not in known:
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
            number, index, state = job[:3]
            if number not in numbers:
                continue
            one = f"{number}[{index}]" if index else number
            found[one] = job
            alive = live.setdefault(number, set())
            if state not in ENDED:
                alive.add(one)
        self._live.update(live)
        return found

    def _is_strange(self, one: str, job: Job) -> bool:
        """Whether a job ended in a way that the listing does not explain."""
        if job.state != "EXIT":
            self._ends.pop(one, None)  # it may have been queued again
            return False
        if self._listing.tells_reasons or one in self._cancelled:
            return False
        return not (one in self._ends and self._ends[one].ended)

    def _reports(self, known: Mapping[str, Job]) -> dict[str, Report]:
        """Most of thousands of jobs are in one of a few situations."""
        told: dict[str, Report] = {}
        same: dict[tuple[str, ...], Report] = {}
        for one, job in known.items():
            situation = (job.state, job.host, job.exit_code, job.reason, job.memory)
            if job.state == "EXIT" and (one in self._cancelled or one in self._ends):
                mine = one in self._cancelled
                told[one] = reports.cancelled(job) if mine else reports.report_of(job, self._ends[one])
                continue
            if situation not in same:
                same[situation] = reports.report_of(job)
            told[one] = same[situation]
        return told

    def _hearing(self, strange: Sequence[str], absent: Sequence[str]) -> Dialogue[None]:
        """Ask bhist, and bjobs -l where it knows nothing; neither has to answer, a poll is not worth less."""
        asked = [one for one in (*strange, *absent) if one not in self._unheard]
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
            if named.fullmatch(job.name):
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

    # Ending

    def cancelling(self, ids: Sequence[str]) -> Dialogue[None]:
        """A few bkills, and one only for an array of which nothing else is left."""
        by_number: dict[str, list[int]] = {}
        for number, index in filter(None, map(split_id, ids)):
            by_number.setdefault(number, []).append(index)
        problem: CommandResult | None = None
        for chosen in self._bunches(by_number, set(ids)):
            answer = yield self._ask("bkill", *chosen)
            lines = [line for line in f"{answer.stdout}\n{answer.stderr}".splitlines() if line.strip()]
            refused = not lines or not all(map(words.KILLED_BEFORE.search, lines))
            if answer.returncode is None or (answer.returncode != 0 and refused):
                problem = answer
        if problem is not None:
            raise unanswered(problem)
        self._cancelled.update(ids)

    def _bunches(self, by_number: Mapping[str, Sequence[int]], ids: set[str]) -> Iterable[list[str]]:
        """The arguments of each bkill."""
        bunch: list[str] = []
        size = 0
        for number, indices in by_number.items():
            live = self._live.get(number)
            whole = number in ids or number in self._plain or (live is not None and live <= ids)
            lists = [(number, 1)] if whole else element_lists(number, indices, KILLS)
            for text, count in lists:
                if bunch and size + count > KILLS:
                    yield bunch
                    bunch, size = [], 0
                bunch.append(text)
                size += count
        if bunch:
            yield bunch

    def _ask(self, name: str, *arguments: str, timeout: float | None = None) -> Command:
        return Command([self.tool(name), *arguments], timeout=timeout)


def _array_size(answer: str, number: str) -> int | None:
    """How many elements an array has, from a line of ``bjobs -A``: eight counts, the first that of all."""
    line = re.search(rf"^{number}\s+\S.*?\s((?:\d+\s+){{7}}\d+)\s*$", answer, re.MULTILINE)
    return int(line[1].split()[0]) if line else None
