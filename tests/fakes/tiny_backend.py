"""The backend for ``tiny.Tiny``: the smallest user of the batch template."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from attrs import evolve

from caf_core.errors import BackendError
from caf_core.jobs.backend import Capabilities, Report, SchedulerState, Submission
from caf_core.jobs.batch.dialogue import Command, Dialogue, doubtful, refused, unanswered, words
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch, task_call

STATES = {
    "pending": SchedulerState.QUEUED,
    "running": SchedulerState.RUNNING,
    "held": SchedulerState.HELD,
    "suspended": SchedulerState.SUSPENDED,
    "ended": SchedulerState.ENDED,
}
FAILURES = {"cancelled": "cancelled", "walltime": "walltime", "memory": "out_of_memory", "node": "node_lost"}


class TinyBackend(Batch):
    """Tiny has ``tsub``, ``tstat`` and ``tdel``."""

    scheduler = "Tiny"
    settings: ClassVar[Mapping[str, Setting]] = {"queue": Setting((str,), "where tasks wait")}
    default_backend_args: ClassVar[Mapping[str, Any]] = {"command_timeout": 10.0}

    def limits(self, site: Any) -> Capabilities:
        return Capabilities(array_limit=1000, minimum_array=2)

    def files(self, submission: Submission) -> Mapping[str, str]:
        return {"job.sh": "#!/bin/sh\n" + task_call(submission, "$TINY_INDEX", "$TINY_JOB") + "\n"}

    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        argv = [self.tool("tsub"), "-N", submission.token]
        if submission.size > 1:
            argv += ["-a", str(submission.size)]
        if submission.resources.walltime is not None:
            argv += ["-w", str(submission.resources.walltime / timedelta(seconds=1) + 30)]
        if submission.resources.memory_mb is not None:
            argv += ["-m", str(submission.resources.memory_mb)]
        if "queue" in submission.backend_args:
            argv += ["-q", submission.backend_args["queue"]]
        answer = yield Command([*argv, str(submission.directory / "job.sh")], submits=True)
        if answer.returncode in (2, 3, 127):
            raise refused(answer)
        number = answer.stdout.strip()
        if not answer.ok or not number.isdecimal():
            raise doubtful(answer)
        return [number] if submission.size == 1 else [f"{number}.{i}" for i in range(submission.size)]

    def polling(self, ids: Sequence[str]) -> Dialogue[Mapping[str, Report]]:
        answer = yield Command([self.tool("tstat")])
        if not answer.ok:
            raise unanswered(answer)
        wanted = set(ids)
        rows = [line.split("|") for line in answer.stdout.splitlines()]
        return {row[0]: _report(row) for row in rows if len(row) == 8 and row[0] in wanted}

    def cancelling(self, ids: Sequence[str]) -> Dialogue[None]:
        answer = yield Command([self.tool("tdel"), *ids])
        if not answer.ok:
            raise unanswered(answer)

    def finding(self, token: str) -> Dialogue[Mapping[int, str]]:
        answer = yield Command([self.tool("tstat"), "-N", token])
        rows = [line.split("|") for line in answer.stdout.splitlines()]
        if not answer.ok or any(len(row) != 8 for row in rows):
            raise BackendError(f"tstat did not answer: {words(answer)}", transient=True)
        return {int(row[0].partition(".")[2] or 0): row[0] for row in rows if row[1] == token}

    def counting(self) -> Dialogue[int | None]:
        answer = yield Command([self.tool("tstat")])
        if not answer.ok:
            raise unanswered(answer)
        return sum("|ended|" not in line for line in answer.stdout.splitlines())


def _report(row: list[str]) -> Report:
    _, _, state, ending, code, signal, host, reason = row
    report = Report(STATES.get(state, SchedulerState.UNKNOWN), reason=reason, host=host)
    if report.state is not SchedulerState.ENDED:
        return report
    return evolve(
        report,
        exit_code=int(code) if code else None,
        signal=int(signal) if signal else None,
        failure=FAILURES.get(ending),
        reason=f"tiny says: {ending}" if ending != "exit" else "",
    )
