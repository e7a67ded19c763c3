"""The backend ``pbs``."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from attrs import evolve

from caf_core.errors import BackendError, SubmissionError
from caf_core.jobs.backend import Capabilities, Report, SchedulerState, Submission
from caf_core.jobs.batch.dialogue import (
    NOT_FOUND,
    Command,
    Dialogue,
    doubtful,
    refused,
    sole,
    unanswered,
    words,
)
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch, task_call
from caf_core.jobs.findings import Finding
from caf_core.processes.command import CommandResult
from caf_pbs import answers, listing
from caf_pbs.answers import Trouble
from caf_pbs.ids import JobId, bundled, parse, printed_ids
from caf_pbs.meaning import SHORT
from caf_pbs.options import resource_options
from caf_pbs.questions import Questions
from caf_pbs.site import (
    DEFAULT_ARRAY_LIMIT,
    Site,
    array_limit,
    attributes,
    described,
    findings_of,
    identify,
    with_queue,
)

SCRIPT = "pbs.sh"

JOB_LIMIT = 5_000
"""How many jobs a user may have in the system, unless the site says otherwise."""

SPARE_TIME = timedelta(seconds=60)
"""What PBS is asked for beyond a task's time limit where it cannot tell why it ended a task."""

_IDS_A_COMMAND = 500
"""How many ids one ``qdel`` gets."""


class PBS(Batch):
    """Executes tasks on OpenPBS, PBS Professional or Torque.

    Which of them, and what it can do, is asked once. A submission is one job array, or a single job. States
    come from one short listing of the user's own jobs; full records are asked for only where that listing
    does not tell enough: for tasks that ended without a record, that are held, or that wait although nothing
    of their submission executes.

    Args:
        backend_args: The choices of this instance; ``PBS.settings`` tells what there is.
    """

    scheduler: ClassVar[str] = "PBS"
    settings: ClassVar[Mapping[str, Setting]] = {
        "queue": Setting((str,), "the queue; the site's default queue if left out"),
        "account": Setting((str,), "the account that is charged"),
        "project": Setting((str,), "the project (not in Torque)"),
        "priority": Setting((int,), "the priority among your own jobs, -1024 to 1023"),
        "resource_list": Setting((str, dict), "resources as for qsub -l: 'a=1,b=2', or a table"),
        "extra_args": Setting((list, tuple), "further arguments of qsub"),
        "extra_lines": Setting((str, list, tuple), "lines for the head of the job's script"),
    }
    user_args: ClassVar[frozenset[str]] = frozenset({"queue", "account", "project", "priority"})
    default_backend_args: ClassVar[Mapping[str, Any]] = {"global_job_limit": JOB_LIMIT}

    def __init__(self, *, backend_args: Mapping[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)
        self._questions = Questions(self.tool)
        self._sizes: dict[str, int] = {}

    # The site

    def surveying(self) -> Dialogue[Site]:
        """Ask for family, version, limits, and whether finished jobs are remembered."""
        answer = yield Command((self.tool("qstat"), "--version"))
        if answer.returncode is None or answers.trouble(answer) is Trouble.MISSING:
            raise unanswered(answer)
        site = identify(f"{answer.stdout}\n{answer.stderr}")
        answer = yield Command((self.tool("qstat"), "-B", "-f"))
        if not answer.ok:
            raise unanswered(answer)
        server = attributes(answer.stdout)
        queue: dict[str, str] = {}
        if name := self.backend_args.get("queue") or server.get("default_queue"):
            answer = yield Command((self.tool("qstat"), "-Q", "-f", name))
            queue = attributes(answer.stdout) if answer.ok else {}
            unknown = not answer.ok and answers.trouble(answer, torque=site.torque) is Trouble.QUEUE
            site = with_queue(site, name, None if unknown else queue)
        site = evolve(site, array_limit=array_limit(server, queue))
        if site.torque:
            return site
        # Trying is certain, while not every user is told the server's settings. Nobody has that name.
        answer = yield Command((self.tool("qselect"), "-x", "-N", "cafNoSuchName"))
        if not answer.ok and answer.returncode != answers.USAGE:
            raise unanswered(answer)
        return evolve(site, history=answer.ok and not answers.without_history(answer))

    def _facts(self) -> Dialogue[Site]:
        """The site, asked for within a dialogue if need be."""
        if self._site is None:
            self._site = yield from self.surveying()
        site: Site = self._site
        return site

    def findings(self, site: Site) -> Sequence[Finding]:
        """Version, queue, history."""
        return findings_of(site)

    def described(self, site: Site) -> Mapping[str, str]:
        """The site in words."""
        return described(site)

    def limits(self, site: Site | None) -> Capabilities:
        """The site's array limit; PBS has no arrays of one task."""
        limit = (site and site.array_limit) or DEFAULT_ARRAY_LIMIT
        return Capabilities(array_limit=limit if site is None or site.arrays else 1, minimum_array=2)

    def counting(self) -> Dialogue[int]:
        """The user's tasks that have not ended, those of arrays one by one."""
        letters = yield from self._questions.states((yield from self._facts()))
        ended = (SchedulerState.ENDED, SchedulerState.UNKNOWN)
        return sum(
            not key.endswith("[]") and letter in SHORT and SHORT[letter].state not in ended
            for key, letter in letters.items()
        )

    def is_answer(self, answer: CommandResult) -> bool:
        """That a job is gone is an answer too, and Torque tells its version as an error."""
        version = answer.argv[1:] == ("--version",) and bool((answer.stdout + answer.stderr).strip())
        return answer.ok or (version and answer.returncode != NOT_FOUND) or answers.only_gone(answer)

    # Submitting

    def files(self, submission: Submission) -> Mapping[str, str]:
        """The job's script; ``qsub`` reads it as its standard input, so that PBS sees no path of ours."""
        return {SCRIPT: self.script(submission)}

    def script(self, submission: Submission) -> str:
        """The text of the job's script.

        PBS starts it in the home directory. The index is called by two names, the id by one.
        """
        lines = submission.backend_args.get("extra_lines") or ()
        position = "0" if submission.size == 1 else "${PBS_ARRAY_INDEX:-$PBS_ARRAYID}"
        return "\n".join(
            (
                "#!/bin/sh",
                *((lines,) if isinstance(lines, str) else lines),
                f"cd {quote(str(submission.directory))} || exit 127",
                "exec </dev/null >>scheduler.log 2>&1",
                task_call(submission, position, "$PBS_JOBID"),
                "",
            )
        )

    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        """One ``qsub``; an array if there is more than one task."""
        site = yield from self._facts()
        # Without history nobody would tell that PBS ended a task for its time. The task itself can, if it is
        # first; where a queue does not allow that, it is done without.
        spare = not (site.history or site.torque)
        answer = yield self._qsub(submission, site, spare=spare)
        if spare and not answer.ok and answers.trouble(answer) is Trouble.LIMITS:
            answer = yield self._qsub(submission, site)
        if not answer.ok:
            raise (yield from self._refusal(answer, site))
        index = "[]" if submission.size > 1 else ""
        job = sole(one for one in printed_ids(answer.stdout) if one.index == index)
        if job is None:
            raise doubtful(answer)
        if submission.size == 1:
            return [str(job)]
        self._sizes[job.number] = submission.size
        return [str(job.element(position)) for position in range(submission.size)]

    def _qsub(self, submission: Submission, site: Site, *, spare: bool = False) -> Command:
        return Command(
            (self.tool("qsub"), *self.qsub_options(submission, site, spare=spare)),
            stdin=submission.directory / SCRIPT,
            # Where it is called becomes a variable of the job, and not every name can be one.
            cwd=Path("/"),
            submits=True,
        )

    def qsub_options(self, submission: Submission, site: Site, *, spare: bool = False) -> list[str]:
        """The options of ``qsub``, with some more time than is needed if there is some to ``spare``."""
        args = submission.backend_args
        options = ["-N", submission.token, "-S", "/bin/sh", "-m", "n", "-j", "oe"]
        # The script has a log of its own. What PBS collects is thrown away on the node and not copied around:
        # Torque knows /dev/null on any host, PBS only on the node itself.
        options += ["-o", "/dev/null" if site.torque else "localhost:/dev/null"]
        if not site.torque:
            options.append("-f")  # else qsub leaves a process behind for a while, which keeps our lock
        if submission.size > 1:
            options += ["-t" if site.torque else "-J", f"0-{submission.size - 1}"]
        options += ["-r", "y"]  # arrays must be; the claim on the node keeps it right
        for name, option in (("queue", "-q"), ("account", "-A"), ("priority", "-p")):
            if args.get(name) is not None:
                options += [option, str(args[name])]
        if args.get("project") is not None and not site.torque:
            options += ["-P", args["project"]]
        resources = submission.resources
        if resources.walltime is not None and spare:
            resources = evolve(resources, walltime=resources.walltime + SPARE_TIME)
        options += resource_options(resources, args, torque=site.torque)
        return options + [str(one) for one in args.get("extra_args") or ()]

    def _refusal(self, answer: CommandResult, site: Site) -> Dialogue[SubmissionError]:
        """What a ``qsub`` that failed means, and what can be done about it."""
        kind = answers.trouble(answer, torque=site.torque)
        remedy = ""
        match kind:
            case Trouble.DOWN:
                return doubtful(answer)  # tried again later, when it is certain that it was not taken
            case Trouble.FULL:
                return refused(answer, full=True)
            case Trouble.CREDENTIALS:
                return refused(answer, remedy="renew it", credentials=True)
            case Trouble.QUEUE:
                names = listing.queues((yield Command((self.tool("qstat"), "-Q"))).stdout)
                known = f"; there are: {', '.join(names)}" if names else ""
                remedy = f"choose a queue by the backend argument 'queue'{known}"
            case Trouble.LIMITS:
                remedy = "ask for less (memory, time, processors), or choose another 'queue'"
            case Trouble.RESOURCE:
                remedy = "see the backend argument 'resource_list'"
            case Trouble.ARRAY:
                remedy = "set the backend argument 'array_limit' to what the queue takes"
            case _:
                pass
        return refused(answer, remedy=remedy)

    # Finding, polling, cancelling

    def finding(self, token: str) -> Dialogue[Mapping[int, str]]:
        """Search by name."""
        return (yield from self._questions.find(token, (yield from self._facts())))

    def polling(self, ids: Sequence[str]) -> Dialogue[Mapping[str, Report]]:
        """One short listing, and full records where it does not tell enough."""
        return (yield from self._questions.poll(ids, (yield from self._facts())))

    def cancelling(self, ids: Sequence[str]) -> Dialogue[None]:
        """``qdel``, for whole arrays where all of one is meant."""
        for bundle in bundled(self._summed_up(ids), _IDS_A_COMMAND):
            answer = yield Command((self.tool("qdel"), *map(str, bundle)))
            if not answer.ok and not answers.only_gone(answer):
                raise BackendError(f"{answer.argv[0]}: {words(answer)}", transient=True)

    def _summed_up(self, ids: Sequence[str]) -> Iterable[JobId]:
        arrays: dict[JobId, list[JobId]] = {}
        for one in filter(None, map(parse, ids)):
            arrays.setdefault(one.parent, []).append(one)
        for array, tasks in arrays.items():
            if len(set(tasks)) == self._sizes.get(array.number):
                yield array
            else:
                yield from tasks
