"""What is asked of PBS about jobs: one short listing, and few full records.

Several ids in one question are avoided: a version of OpenPBS answers for the first only. Users' own jobs are
asked for instead, or one id at a time.
"""

import os
import pwd
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from getpass import getuser

from attrs import frozen

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.batch.dialogue import Command, Dialogue, unanswered
from caf_pbs import answers, listing, records
from caf_pbs.ids import JobId, all_in, parse
from caf_pbs.meaning import SHORT, report
from caf_pbs.records import Record
from caf_pbs.site import Format, Site

_RECORDS_A_POLL = 20
"""How many questions for the records of tasks one poll asks; what is left waits for the next."""

_REASONS_A_POLL = 5
"""How many submissions that wait are asked for their reason in one poll."""

_SINGLY = 10
"""So many tasks of an array are always asked for one by one."""

_WORTH_IT = 10
"""The whole array is asked for where at least one in so many of its tasks is unclear."""

_LATER = Report(SchedulerState.UNKNOWN)
"""Says nothing: the record has not been asked for yet, or could not be had."""

_LONG_ENOUGH = 10
"""So much of a token tells it from all others: it is random."""


@frozen
class Records:
    """An answer to a question for records.

    Args:
        found: The records, by the part of the id before the server.
        gone: Whether the server says that it does not know (all of) what it was asked for.
    """

    found: Mapping[str, Record]
    gone: bool = False


_NOBODY = Records({})
"""Nobody answered, or was asked."""


class Questions:
    """Asks about jobs, and remembers what is final.

    Args:
        tool: Gives the path of a command.
    """

    def __init__(self, tool: Callable[[str], str]) -> None:
        self._tool = tool
        self._final: dict[str, Report] = {}
        self._postponed: set[str] = set()

    # The short listing

    def states(self, site: Site) -> Dialogue[dict[str, str]]:
        """The letters of the user's own jobs that have not ended, and of ended tasks in arrays that go on.

        Raises:
            PollError: If nobody answered.
        """
        return listing.states((yield from self._listing(site)))

    def _listing(self, site: Site) -> Dialogue[str]:
        """Both families print the same columns; ``-w`` (not in Torque, nor in very old versions) makes them
        wide.
        """
        own = (self._tool("qstat"), "-t", "-u", user())
        answer = yield Command(own if site.torque else (*own, "-w"))
        if answer.returncode == answers.USAGE and not site.torque:
            answer = yield Command(own)
        if not answer.ok or not listing.is_whole(answer.stdout):
            raise unanswered(answer)
        return answer.stdout

    # Polling

    def poll(self, ids: Sequence[str], site: Site) -> Dialogue[dict[str, Report]]:
        """The reports of tasks; those that PBS does not know are left out.

        Raises:
            PollError: If the listing was not answered. Records that cannot be had spoil nothing.
        """
        self._final = {one: self._final[one] for one in ids if one in self._final}
        reports = dict(self._final)
        letters = yield from self.states(site)
        unclear: dict[str, list[JobId]] = {}
        waiting: dict[str, JobId] = {}
        working: set[str] = set()
        tracked: Counter[str] = Counter()
        for one in ids:
            key = one.partition(".")[0]
            number, bracket, _ = key.partition("[")
            tracked[number] += 1
            if one in reports:
                continue
            letter = letters.get(key, "")
            told = SHORT.get(letter)
            single_hold = letter == "H" and (site.torque or not bracket)  # else the whole array is held
            if told is None or told.state is SchedulerState.ENDED or single_hold:
                if job := parse(one):
                    unclear.setdefault(number, []).append(job)
                continue
            reports[one] = told
            if letter in "QH":
                waiting.setdefault(number, parse(one) or JobId(number))
            else:
                working.add(number)
        reports.update((yield from self._unclear(unclear, letters, tracked, site)))
        reasons = yield from self._reasons([waiting[one] for one in waiting.keys() - working], site)
        return _explained(reports, reasons) if reasons else reports

    def _unclear(
        self,
        unclear: Mapping[str, list[JobId]],
        letters: Mapping[str, str],
        tracked: Mapping[str, int],
        site: Site,
    ) -> Dialogue[dict[str, Report]]:
        """The tasks that the listing does not tell enough of: ended, held, or not in it.

        Most of those that ended have written a record that was not read yet. So that a large array is not
        asked for because of them, only some are asked for in each poll, those that waited first.
        """
        reports: dict[str, Report] = {}
        room = _RECORDS_A_POLL
        for number, jobs in unclear.items():
            # Without history a job that is not listed is not known.
            known = [job for job in jobs if site.history or job.key in letters]
            whole = not site.torque and len(known) > max(_SINGLY, tracked[number] // _WORTH_IT)
            for question, tasks in self._batched(known, whole=whole):
                answer = (yield from self._record(question, site, history=True)) if room > 0 else _NOBODY
                room = 0 if answer is _NOBODY else room - 1
                for task in tasks:
                    told = _told(task, answer, letters.get(task.key, ""), site)
                    if told is not None:
                        reports[str(task)] = told
        self._postponed = {one for one, told in reports.items() if told is _LATER}
        ended = {one: told for one, told in reports.items() if told.state is SchedulerState.ENDED}
        self._final.update(ended)
        return reports

    def _batched(self, jobs: Sequence[JobId], *, whole: bool) -> Iterator[tuple[JobId, Sequence[JobId]]]:
        """What to ask for, and which tasks that answers for; all jobs have the same number."""
        if whole:
            yield jobs[0].parent, jobs
            return
        for job in sorted(jobs, key=lambda one: str(one) not in self._postponed):
            yield job, [job]

    def _reasons(self, jobs: Iterable[JobId], site: Site) -> Dialogue[dict[str, Report]]:
        """Why submissions wait of which nothing executes: number -> what is said of each of their tasks."""
        reasons: dict[str, Report] = {}
        for job in sorted(jobs, key=lambda one: int(one.number))[:_REASONS_A_POLL]:
            asked = job if site.torque else job.parent
            answer = yield from self._record(asked, site, history=False)
            if answer is _NOBODY:
                break
            if record := answer.found.get(asked.key):
                # An array of which something was started before is called B.
                state = "H" if record.get("job_state") == "H" else "Q"
                told = report(state, {**record, "job_state": state}, torque=site.torque)
                if told.reason or told.state is SchedulerState.HELD:
                    reasons[job.number] = told
        return reasons

    def _record(self, job: JobId, site: Site, *, history: bool) -> Dialogue[Records]:
        """The record of a job, or those of a whole array with its tasks."""
        options = {Format.JSON: ("-f", "-F", "json"), Format.TEXT: ("-f",), Format.XML: ("-x",)}[site.format]
        if history and not site.torque:
            options += ("-x",) if site.history else ()
            options += ("-t",) if job.index == "[]" else ()
        answer = yield Command((self._tool("qstat"), *options, str(job)))
        gone = answers.without_history(answer) or (not answer.ok and answers.only_gone(answer))
        if answer.returncode is None or not (answer.ok or gone):
            return _NOBODY
        return Records(records.read(answer.stdout, site.format), gone)

    # Finding

    def find(self, token: str, site: Site) -> Dialogue[dict[int, str]]:
        """The tasks of a submission; if it was accepted twice, those of the smaller number (the claims on the
        nodes let only one of each work).

        Raises:
            PollError: If nobody answered.
        """
        if site.torque:
            return (yield from self._find_in_torque(token, site))
        history = ("-x",) if site.history else ()
        answer = yield Command((self._tool("qselect"), *history, "-N", token))
        if answers.without_history(answer):  # not any more
            history = ()
            answer = yield Command((self._tool("qselect"), "-N", token))
        if not answer.ok or not listing.is_whole(answer.stdout, ids=True):
            raise unanswered(answer)
        jobs = sorted(all_in(answer.stdout), key=lambda one: int(one.number))
        if not jobs or not jobs[0].index:
            return {0: str(jobs[0])} if jobs else {}
        array = jobs[0].parent
        answer = yield Command((self._tool("qstat"), "-t", *history, str(array)))
        gone = not answer.ok and answers.only_gone(answer)
        if not gone and not (answer.ok and listing.is_whole(answer.stdout, exact=True)):
            raise unanswered(answer)
        return _tasks(array, listing.keys(answer.stdout))

    def _find_in_torque(self, token: str, site: Site) -> Dialogue[dict[int, str]]:
        """Torque adds the index to the names of tasks, so that ``qselect`` does not find them; listings cut
        names off, and the server off the ids.
        """
        text = yield from self._listing(site)
        rows = [row for row in listing.rows(text) if _is_named(row, token)]
        if not rows and listing.is_whole(text, exact=True):
            return {}
        answer = yield Command((self._tool("qselect"), "-u", user()))
        if not (
            answer.ok and listing.is_whole(answer.stdout, ids=True) and listing.is_whole(text, exact=True)
        ):
            raise unanswered(answer)
        server = next((one.server for one in all_in(answer.stdout)), "")
        number = min((row.key.partition("[")[0] for row in rows), key=int)
        keys = [row.key for row in rows if row.key.partition("[")[0] == number]
        if keys == [number]:
            return {0: number + server}
        return _tasks(JobId(number, "[]", server), keys)


def _told(task: JobId, answer: Records, letter: str, site: Site) -> Report | None:
    """What an answer, and the letter of the listing before it, say of a task; ``None`` if it is not known."""
    record = answer.found.get(task.key)
    if record is not None or (answer.gone and letter):
        return report(letter, record, torque=site.torque)
    if answer.gone:
        return None
    return SHORT["H"] if letter == "H" else _LATER


def _explained(reports: Mapping[str, Report], reasons: Mapping[str, Report]) -> dict[str, Report]:
    """The reports, with the reasons of those that wait."""
    waits = (SHORT["Q"], SHORT["H"])
    return {
        one: reasons.get(one.partition(".")[0].partition("[")[0], told) if told in waits else told
        for one, told in reports.items()
    }


def _tasks(array: JobId, keys: Iterable[str]) -> dict[int, str]:
    """The tasks of an array among the keys of a listing, by their positions."""
    found = {}
    for one in filter(None, map(parse, keys)):
        if one.number == array.number and one.index and one.position is not None:
            found[one.position] = str(array.element(one.position))
    return dict(sorted(found.items()))


def _is_named(row: listing.Row, token: str) -> bool:
    """Whether a row is of a submission; its name has the index behind it, and may be cut off."""
    _, bracket, index = row.key.partition("[")
    name = f"{token}-{index[:-1]}" if bracket else token
    return row.name == name or (len(row.name) >= _LONG_ENOUGH and name.startswith(row.name))


@cache
def user() -> str:
    """The user's name, as PBS takes it from the user id."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return getuser()
