"""A backend for Grid Engine: the example of how one is written."""

import getpass
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from caf_core.errors import BackendError
from caf_core.jobs.backend import Capabilities, Report, SchedulerState, Submission
from caf_core.jobs.batch.dialogue import Command, Dialogue, doubtful, refused, sole, unanswered, words
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch, task_call


class GridEngine(Batch):
    """Grid Engine: ``qsub``, ``qstat``, ``qdel`` and ``qacct``."""

    scheduler = "Grid Engine"
    settings: ClassVar[Mapping[str, Setting]] = {
        "queue": Setting((str,), "the queue (-q)"),
        "parallel_environment": Setting((str,), "the environment for several cpus (-pe)"),
    }
    default_backend_args: ClassVar[Mapping[str, Any]] = {"parallel_environment": "smp"}

    def limits(self, site: Any) -> Capabilities:
        """Grid Engine's default for ``max_aj_tasks``."""
        return Capabilities(array_limit=75_000)

    def files(self, submission: Submission) -> Mapping[str, str]:
        """The script that every task executes."""
        if submission.size == 1:
            return {"job.sh": task_call(submission, "0", "$JOB_ID") + "\n"}
        return {"job.sh": task_call(submission, "$((SGE_TASK_ID - 1))", "$JOB_ID.$SGE_TASK_ID") + "\n"}

    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        """``qsub -terse`` prints ``7`` or ``7.1-3:1``."""
        argv = [self.tool("qsub"), "-terse", "-N", submission.token, "-S", "/bin/sh", "-j", "y"]
        argv += ["-o", "/dev/null", *self._wishes(submission)]
        if submission.size > 1:
            argv += ["-t", f"1-{submission.size}"]
        answer = yield Command((*argv, str(submission.directory / "job.sh")), submits=True)
        tasks = "" if submission.size == 1 else rf"\.1-{submission.size}:1"
        number = sole(re.findall(rf"^(\d+){tasks}$", answer.stdout, re.MULTILINE))
        if answer.ok and number is not None:
            return [number] if submission.size == 1 else [f"{number}.{i + 1}" for i in range(submission.size)]
        if answer.returncode == 127 or "Unable to run job" in answer.stderr:
            raise refused(answer)
        raise doubtful(answer)

    def _wishes(self, submission: Submission) -> Iterator[str]:
        args, resources = submission.backend_args, submission.resources
        if args.get("queue"):
            yield from ("-q", args["queue"])
        if resources.cpus > 1:
            yield from ("-pe", args["parallel_environment"], str(resources.cpus))
        limits = []
        if resources.memory_mb is not None:
            limits.append(f"h_vmem={-(-resources.memory_mb // resources.cpus)}M")  # for each slot
        if resources.walltime is not None:
            limits.append(f"h_rt={-(-resources.walltime // timedelta(seconds=1))}")
        if limits:
            yield from ("-l", ",".join(limits))

    def polling(self, ids: Sequence[str]) -> Dialogue[Mapping[str, Report]]:
        """What ``qstat`` lists has not ended; what it does not list any more is in the accounts."""
        listed = yield from self._listing()
        reports = {identity: report for identity, (_, report) in listed.items() if identity in set(ids)}
        for number in sorted({identity.partition(".")[0] for identity in ids if identity not in listed}):
            if number.isdecimal():
                ended = yield from self._accounts(number)
                reports.update(
                    {one: report for one, (_, report) in ended.items() if one in set(ids) - set(listed)}
                )
        return reports

    def cancelling(self, ids: Sequence[str]) -> Dialogue[None]:
        """``qdel`` fails for jobs that have ended, which is no error here."""
        answer = yield Command((self.tool("qdel"), *ids))
        if not answer.ok and "does not exist" not in answer.stdout + answer.stderr:
            raise unanswered(answer)

    def finding(self, token: str) -> Dialogue[Mapping[int, str]]:
        """By the name of the job, among those that wait or execute and those that have ended."""
        listed = yield from self._listing()
        ended = yield from self._accounts(token)
        ids = [identity for identity, (name, _) in {**ended, **listed}.items() if name == token]
        return {int(identity.partition(".")[2] or 1) - 1: identity for identity in ids}

    def counting(self) -> Dialogue[int | None]:
        """Everything that ``qstat`` lists."""
        return len((yield from self._listing()))

    def _listing(self) -> Dialogue[dict[str, tuple[str, Report]]]:
        """What waits or executes: id -> name and report."""
        answer = yield Command((self.tool("qstat"), "-xml", "-g", "d", "-u", getpass.getuser()))
        if not answer.ok:
            raise unanswered(answer)
        try:
            root = ET.fromstring(answer.stdout)
        except ET.ParseError as error:
            raise BackendError(f"qstat answered no XML ({error}): {words(answer)}", transient=True) from error
        return dict(_job(element) for element in root.iter("job_list"))

    def _accounts(self, job: str) -> Dialogue[dict[str, tuple[str, Report]]]:
        """What the accounts say of the tasks of a job, given by number or name: id -> name and report."""
        answer = yield Command((self.tool("qacct"), "-j", job))
        if not answer.ok and "not found" in answer.stderr:
            return {}
        if not answer.ok:
            raise unanswered(answer)
        blocks = answer.stdout.split("=" * 62)
        fields = [dict(line.split(None, 1) for line in block.splitlines() if " " in line) for block in blocks]
        return dict(_ended(one) for one in fields if one.get("jobnumber", "").strip())


def _job(element: ET.Element) -> tuple[str, tuple[str, Report]]:
    """One element of ``qstat``: the letters of a state are explained in ``man qstat``."""
    number, task = element.findtext("JB_job_number", ""), element.findtext("tasks")
    letters = element.findtext("state", "")
    if "E" in letters:
        report = Report(
            SchedulerState.HELD, failure="submission", reason=f"state {letters}: see qstat -j {number}"
        )
    elif "h" in letters:
        report = Report(SchedulerState.HELD, reason="held")
    elif "s" in letters.lower() or "T" in letters:
        report = Report(SchedulerState.SUSPENDED)
    elif "r" in letters or "t" in letters:
        host = element.findtext("queue_name", "").partition("@")[2]
        report = Report(SchedulerState.RUNNING, host=host)
    elif "q" in letters:
        report = Report(SchedulerState.QUEUED)
    else:
        report = Report(SchedulerState.UNKNOWN)
    return (f"{number}.{task}" if task else number), (element.findtext("JB_name", ""), report)


def _ended(fields: Mapping[str, str]) -> tuple[str, tuple[str, Report]]:
    """One record of ``qacct``."""
    told = {name: value.strip() for name, value in fields.items()}
    task, failed = told.get("taskid", "undefined"), told.get("failed", "0")
    identity = told["jobnumber"] if task == "undefined" else f"{told['jobnumber']}.{task}"
    status = int(told["exit_status"]) if told.get("exit_status", "").isdecimal() else None
    failure, reason = None, ""
    if failed.partition(" ")[0] != "0":
        reason = f"Grid Engine says: {failed}"
        failure = "node_lost"
        if told.get("deleted_by", "NONE") != "NONE":
            failure, reason = "cancelled", f"deleted by {told['deleted_by']}"
        elif "h_rt" in failed:
            failure = "walltime"
        elif "h_vmem" in failed:
            failure = "out_of_memory"
    report = Report(
        SchedulerState.ENDED,
        exit_code=status if status is not None and status <= 128 else None,
        signal=status - 128 if status is not None and status > 128 else None,
        reason=reason,
        failure=failure,
        host=told.get("hostname", ""),
    )
    return identity, (told.get("jobname", ""), report)
