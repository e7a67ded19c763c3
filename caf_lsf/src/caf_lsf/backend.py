"""``LSF``: tasks as jobs and arrays of IBM LSF 10.1, Volclava and OpenLava."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from caf_core.errors import BackendError, ConfigurationError, SubmissionError
from caf_core.jobs.backend import Capabilities, Submission
from caf_core.jobs.batch.dialogue import NOT_FOUND, Command, Dialogue, doubtful, refused, sole, unanswered
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.findings import Finding
from caf_core.processes.command import CommandResult
from caf_lsf import submission as handing_over
from caf_lsf import words
from caf_lsf.asking import Asking
from caf_lsf.ids import element_lists, join_id, split_id
from caf_lsf.site import CONF, DEFAULT_ARRAY_LIMIT, UNITS, Site, described, findings_of, queue_names, site_of

log = logging.getLogger("caf.jobs")

KILLS = 500
"""So many elements one bkill gets: it sends a message for each."""


class LSF(Asking):
    """Executes tasks on LSF; what a version of it lacks is found out once and remembered."""

    scheduler = "LSF"
    user_args: ClassVar[frozenset[str]] = frozenset({"queue", "project", "user_group"})
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
        "extra_args": Setting((list, tuple, str), "further arguments of bsub, a list of words"),
        "extra_lines": Setting(
            (list, tuple, str), "lines at the top of the script: #BSUB directives or shell"
        ),
    }

    def check_args(self, backend_args: Mapping[str, Any]) -> None:
        """Refuse what is not known, and units that do not exist."""
        super().check_args(backend_args)
        unit = backend_args.get("memory_unit")
        if unit is not None and unit not in UNITS:
            raise ConfigurationError(
                f"backend argument 'memory_unit' of LSF is {unit!r}; give one of {', '.join(UNITS)}."
            )

    def is_answer(self, answer: CommandResult) -> bool:
        """That there is no job is an answer too, although bjobs and bhist then fail."""
        nothing = words.NOT_THERE.search(answer.stderr) and not words.complaints(answer.stderr)
        return answer.ok or bool(nothing)

    # What the site is like

    def surveying(self) -> Dialogue[Site]:
        """Ask for the version, the largest array and the units."""
        version = yield self._ask("bjobs", "-V")
        if version.returncode == NOT_FOUND:
            raise refused(version)
        if version.returncode is None or not (version.stdout + version.stderr).strip():
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

    def findings(self, site: Site) -> Sequence[Finding]:
        """What cannot be found out here."""
        return findings_of(site)

    def described(self, site: Site) -> Mapping[str, str]:
        """The installation in words."""
        return described(site)

    def _facts(self) -> Dialogue[Site]:
        if self._site is None:
            self._site = yield from self.surveying()
        site: Site = self._site
        return site

    # Handing over

    def files(self, submission: Submission) -> Mapping[str, str]:
        """The script, which bsub reads as its standard input."""
        return {handing_over.SCRIPT: handing_over.script(submission)}

    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        """One bsub; an array is looked at, because LSF may take a bad one for a plain job."""
        site = yield from self._facts()
        answer = yield Command(
            [self.tool("bsub"), *handing_over.options(submission, site)],
            stdin=submission.directory / handing_over.SCRIPT,
            # It becomes the job's, and this folder is everywhere; the open versions know no longer names.
            cwd=Path("/"),
            submits=True,
        )
        number = sole(words.SUBMITTED.findall(f"{answer.stdout}\n{answer.stderr}"))
        if number is None:
            if answer.ok:  # told to be quiet, by the user's BSUB_QUIET
                found = yield from self.finding(submission.token)
                if len(found) == submission.size:
                    return [found[position] for position in range(submission.size)]
            raise (yield from self._refusal(answer))
        if submission.size == 1:
            ids = [number]
        else:
            yield from self._verifying(submission, number, site)
            ids = [join_id(number, index) for index in range(1, submission.size + 1)]
        self._sizes[number], self._live[number] = len(ids), set(ids)
        return ids

    def _refusal(self, answer: CommandResult) -> Dialogue[SubmissionError]:
        said = f"{answer.stdout}\n{answer.stderr}"
        if answer.returncode == NOT_FOUND:
            return refused(answer)
        if not answer.returncode or answer.returncode < 0 or not words.NOT_SUBMITTED.search(said):
            return doubtful(answer)
        if words.CREDENTIALS.search(said):
            return refused(answer, remedy="renew your credentials", credentials=True)
        if words.FULL.search(said):
            return refused(answer, full=True)
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


def _array_size(answer: str, number: str) -> int | None:
    """How many elements an array has, from a line of ``bjobs -A``: eight counts, the first that of all."""
    line = re.search(rf"^{number}\s+\S.*?\s((?:\d+\s+){{7}}\d+)\s*$", answer, re.MULTILINE)
    return int(line[1].split()[0]) if line else None
