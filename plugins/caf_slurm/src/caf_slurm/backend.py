"""The backend ``slurm``: what is said to Slurm's commands, and what follows from their answers."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from caf_core.errors import SubmissionError
from caf_core.jobs.backend import Capabilities, Report, Submission
from caf_core.jobs.batch.dialogue import Command, Dialogue, unanswered, words
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch
from caf_core.jobs.findings import Finding, Level
from caf_core.processes.command import CommandResult
from caf_slurm import clusters, ids, listing, refusals, request
from caf_slurm import site as site_of
from caf_slurm.following import Following

ARGUMENT_LIMIT = 100_000
"""Length of the arguments of one command: Linux takes 128 kB in one word, and more in all."""
LIVE = "PENDING,RUNNING,SUSPENDED,CONFIGURING"
_HARMLESS = ("invalid job id", "already completing or completed", "job/step already")


class Slurm(Batch):
    """Executes tasks on Slurm: one job array a submission, one ``squeue`` for all tasks.

    Args:
        backend_args: What is asked of Slurm (see ``caf_slurm.request.SETTINGS``), and what all batch backends
            know; those of a job win over these.
    """

    settings: ClassVar[Mapping[str, Setting]] = request.SETTINGS
    default_backend_args: ClassVar[Mapping[str, Any]] = request.DEFAULTS
    user_args: ClassVar[frozenset[str]] = request.FOR_USERS
    scheduler: ClassVar[str] = "Slurm"

    def __init__(
        self, *, backend_args: Mapping[str, Any] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(backend_args=backend_args)
        self._following = Following(self.tool, self.directories, clock)

    def check_args(self, backend_args: Mapping[str, Any]) -> None:
        """Refuse arguments that nobody knows, or whose value makes no sense."""
        super().check_args(backend_args)
        request.validate(backend_args)

    def surveying(self) -> Dialogue[site_of.Site]:
        """Ask for the configuration, and try who remembers finished jobs."""
        answer = yield Command((self.tool("scontrol"), "show", "config"), env=clusters.HERE)
        if not answer.ok:
            raise unanswered(answer)
        return (yield from site_of.completing(site_of.read(answer.stdout), self.tool))

    def limits(self, site: site_of.Site | None) -> Capabilities:
        """Arrays as large as the site takes them; asked often enough to see endings before they are
        forgotten.
        """
        if site is None:
            return Capabilities(array_limit=1000)
        seconds = min(60.0, max(5.0, site.min_job_age / 2))
        return Capabilities(array_limit=site.array_limit, poll_interval=timedelta(seconds=seconds))

    def findings(self, site: site_of.Site) -> Sequence[Finding]:
        """What matters about a site."""
        told = list(site_of.findings(site, self.command_timeout))
        if away := clusters.sent_away(os.environ, site.cluster):
            told.append(Finding(Level.PROBLEM, f"{away} sends jobs to another cluster", clusters.REMEDY))
        return told

    def described(self, site: site_of.Site) -> Mapping[str, str]:
        """A site in words."""
        return site_of.described(site)

    def is_answer(self, answer: CommandResult) -> bool:
        """That there is no such job or line is an answer too, and so is that there is no accounting."""
        nothing = answer.argv[0] == "grep" and answer.returncode == 1
        return answer.ok or nothing or "disabled" in answer.stderr or _is_harmless(answer)

    def files(self, submission: Submission) -> Mapping[str, str]:
        """The script."""
        return {request.SCRIPT: request.script(submission)}

    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        """One ``sbatch``; its working directory spares Slurm the path of the script."""
        args = request.merged(submission.backend_args, self.backend_args)
        disk = submission.resources.disk_mb is None or (yield from self._asked_site()).disk
        if clusters.sent_away(os.environ, "") and (
            away := clusters.sent_away(os.environ, (yield from self._asked_site()).cluster)
        ):
            raise SubmissionError(f"{away} sends jobs to another cluster; {clusters.REMEDY}, or unset it.")
        answer = yield Command(
            (self.tool("sbatch"), *request.options(submission, args, disk=disk), f"./{request.SCRIPT}"),
            env=clusters.HERE,
            cwd=submission.directory,
            submits=True,
        )
        accepted = refusals.accepted(answer)
        if accepted is None:
            raise refusals.problem(answer)
        base, cluster = accepted
        if cluster and cluster != (yield from self._asked_site()).cluster:
            yield from self._fetch_back(base, cluster)
        if submission.size == 1:
            identities = [base]
        else:
            identities = [f"{base}_{index}" for index in range(submission.size)]
        self._following.submitted(identities)
        return identities

    def _fetch_back(self, base: str, cluster: str) -> Dialogue[None]:
        """The site sent a job to another cluster: end it there, and say so."""
        answer = yield Command((self.tool("scancel"), "-M", cluster, base), env=clusters.HERE)
        what = "was cancelled" if answer.ok else f"could not be cancelled ({words(answer)})"
        raise SubmissionError(
            f"this site sent the job {base} to the cluster {cluster}, where it {what}; {clusters.REMEDY}.",
            command=answer.argv,
            output=answer.stdout + answer.stderr,
        )

    def polling(self, ids: Sequence[str]) -> Dialogue[Mapping[str, Report]]:
        """One ``squeue`` for all; what it no longer lists is asked elsewhere."""
        return (yield from self._following.polling(ids, (yield from self._asked_site())))

    def cancelling(self, identities: Sequence[str]) -> Dialogue[None]:
        """One ``scancel`` for all whose ids fit on a command line."""
        for part in ids.chunks(ids.collapse(identities), ARGUMENT_LIMIT):
            answer = yield Command((self.tool("scancel"), *part), env=clusters.HERE)
            if not answer.ok and not _is_harmless(answer):
                raise unanswered(answer)

    def finding(self, token: str) -> Dialogue[Mapping[int, str]]:
        """``squeue`` by name, and whoever remembers what it has forgotten."""
        return (yield from self._following.finding(token, (yield from self._asked_site())))

    def counting(self) -> Dialogue[int | None]:
        """The user's tasks that wait or execute, whoever submitted them."""
        answer = yield Command(
            (self.tool("squeue"), "-a", "-h", "-u", str(os.getuid()), "-t", LIVE, "-o", "%i"),
            env=listing.WHOLE,
        )
        if not answer.ok:
            raise unanswered(answer)
        return listing.count(answer.stdout.splitlines())

    def _asked_site(self) -> Dialogue[site_of.Site]:
        """The site; if it did not answer before, it is asked again."""
        if self._site is None:
            self._site = yield from self.surveying()
        known: site_of.Site = self._site
        return known


def _is_harmless(answer: CommandResult) -> bool:
    """Whether ``scancel`` complains of nothing but jobs that are no more."""
    complaints = [line for line in answer.stderr.lower().splitlines() if line.strip()]
    return bool(complaints) and all(any(word in line for word in _HARMLESS) for line in complaints)
