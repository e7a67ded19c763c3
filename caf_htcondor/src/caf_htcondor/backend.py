"""The backend ``htcondor``."""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve

from caf_core.errors import BackendError, ConfigurationError, PollError, SubmissionError
from caf_core.jobs.backend import Capabilities, Report, SchedulerState, Submission
from caf_core.jobs.batch.dialogue import NOT_FOUND, Command, Dialogue, doubtful, refused, unanswered
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch
from caf_core.jobs.findings import Finding
from caf_core.jobs.task import Resources
from caf_core.processes.command import CommandResult
from caf_htcondor import answers
from caf_htcondor.follow import LOG, Followed, size_of
from caf_htcondor.places import accepted_name
from caf_htcondor.request import seconds_of
from caf_htcondor.site import Site, described, findings, site_of
from caf_htcondor.submit_file import SUBMIT_FILE, Shape, extra_lines, submit_file
from caf_htcondor.transfer import Courier, shape_of_transfer

log = logging.getLogger("caf.jobs")

_CONFIG = "^(MAX_JOBS_(SUBMITTED|PER_.*)|FILESYSTEM_DOMAIN)$"
_ID = re.compile(r"\d+\.\d+")
_AT_ONCE = 2_000
"""So many jobs are named in one command."""
_HISTORY_TIMEOUT = 60.0
"""The least time that a search of the history is given [s]: it reads files, which a busy site has many of."""
_CLOCKS = 300
"""So far may the clocks of the schedd and of a shared file system be apart [s]; Kerberos allows no more."""


class HTCondor(Batch):
    """Executes tasks on an HTCondor pool: one cluster a submission, followed in its event log.

    The log is read every two seconds. The schedd is asked only when a log cannot be read, or says nothing of
    a task for ten minutes, and never more than once a minute.

    Args:
        backend_args: The choices of this instance, over the site's configuration and the defaults; those of a
            job win over them.
    """

    scheduler = "HTCondor"
    # The schedd writes the event log of a submission before it answers: what has no log was not taken.
    searches_apart = 10.0
    settings: ClassVar[Mapping[str, Setting]] = {
        "request_memory": Setting(
            (int, float, str), 'memory of a task: a number of MB, or a text like "4 GB"'
        ),
        "request_cpus": Setting((int,), "processors of a task"),
        "request_disk": Setting((int, float, str), 'disk of a task: a number of MB, or a text like "10 GB"'),
        "max_runtime": Setting((int, float), "HTCondor ends a task that executes longer [s]"),
        "runtime_attribute": Setting(
            (str,), "the attribute in which the site wants the time limit [s], such as MaxRuntime"
        ),
        "universe": Setting((str,), "the universe: vanilla, local, ..."),
        "getenv": Setting((bool, str), "whether tasks see your environment, or the names of variables"),
        "requirements": Setting((str,), "an expression that a machine must fulfil"),
        "accounting_group": Setting((str,), "the group that is charged"),
        "accounting_group_user": Setting((str,), "the user in the group"),
        "priority": Setting((int,), "the priority among your own jobs"),
        "max_materialize": Setting((int,), "HTCondor makes at most so many jobs of a submission at a time"),
        "extra_lines": Setting((str, list, tuple), "further lines of the submit file"),
        "transfer": Setting((bool,), "whether files travel, because the nodes do not see yours"),
        "quiet_interval": Setting(
            (int, float),
            "the schedd is asked about a task of which its event log says nothing for so long [s]",
        ),
        "schedd_interval": Setting((int, float), "the schedd is not asked more often about tasks [s]"),
        "schedd": Setting((str,), "the name of the schedd, if not the one of this machine"),
        "pool": Setting((str,), "the central manager of another pool"),
    }
    user_args: ClassVar[frozenset[str]] = frozenset({"accounting_group", "priority"})
    default_backend_args: ClassVar[Mapping[str, Any]] = {
        **Batch.default_backend_args,
        "universe": "vanilla",
        "getenv": False,
        "transfer": False,
        "global_job_limit": 10_000,
        "quiet_interval": 600,
        # HTCondor's manual asks programs not to query the schedd more often.
        "schedd_interval": 60,
    }

    def __init__(self, *, backend_args: Mapping[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)
        self.clock = time.monotonic
        self._followed = Followed()
        self._courier = Courier()
        self._shapes: dict[str, Shape] = {}
        self._understood: set[tuple[str, ...]] = set()
        self._ask_at = 0.0

    def check_args(self, backend_args: Mapping[str, Any]) -> None:
        """Refuse arguments that nobody knows, or that cannot become a submit file."""
        super().check_args(backend_args)
        submit_file(Submission("c", "", Path("/"), 1, backend_args=backend_args), Shape())

    def limits(self, site: Site | None) -> Capabilities:
        """What the schedd allows; a log may be read as often as one likes."""
        return Capabilities(
            array_limit=site.jobs_per_submission if site else None,
            job_limit=site.jobs_per_owner if site else None,
            poll_interval=timedelta(seconds=2),
            releases=True,
        )

    def surveying(self) -> Dialogue[Site]:
        """Ask for the version, the schedd's limits, and whether it answers."""
        version = yield Command((self.tool("condor_version"),))
        config = yield Command((self.tool("condor_config_val"), "-expanded", "-dump", _CONFIG))
        machines = yield self._ask_pool("condor_status", "-limit", "200", "-af", "FileSystemDomain")
        totals = yield self._ask("condor_q", "-totals")
        if not totals.ok:
            raise unanswered(totals)
        return site_of(version.stdout, config.stdout, machines.stdout)

    def findings(self, site: Site) -> Sequence[Finding]:
        """What matters about the pool."""
        return tuple(findings(site, bool(self.backend_args.get("transfer"))))

    def described(self, site: Site) -> Mapping[str, str]:
        """The pool in words."""
        return described(site)

    # Submitting

    def start(self, submission: Submission) -> Sequence[str]:
        """Write the files, and hand the tasks over as one cluster."""
        try:
            self._shapes[submission.token] = self._shape(submission)
            ids = super().start(submission)
        except ConfigurationError as error:
            raise SubmissionError(str(error)) from error
        except OSError as error:
            raise SubmissionError(f"the files of {submission.token} cannot be written: {error}") from error
        finally:
            self._shapes.pop(submission.token, None)
        self._followed.expect(_cluster(ids[0]), submission.directory / LOG, ids, self.clock())
        return ids

    def shares_files(self, backend_args: Mapping[str, Any]) -> bool:
        """Not where files travel."""
        return not backend_args.get("transfer")

    def _shape(self, submission: Submission) -> Shape:
        initialdir = accepted_name(submission.directory)
        if submission.backend_args.get("transfer"):
            return shape_of_transfer(submission, initialdir)
        return Shape(initialdir)

    def files(self, submission: Submission) -> Mapping[str, str]:
        """The submit file."""
        return {SUBMIT_FILE: submit_file(submission, self._shapes[submission.token])}

    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        """Submit; the user's own lines are tried first, as a misspelt one would only be warned about."""
        own = tuple(extra_lines(submission.backend_args))
        if own and own not in self._understood:
            yield from self._trying(submission, own)
        answer = yield self._ask(
            "condor_submit", "-terse", SUBMIT_FILE, cwd=submission.directory, submits=True
        )
        if not answer.ok:
            raise _not_submitted(answer)
        found = answers.submitted(answer.stdout)
        if found is None or found[1] != submission.size:
            raise doubtful(answer)
        return [f"{found[0]}.{proc}" for proc in range(submission.size)]

    def _trying(self, submission: Submission, own: tuple[str, ...]) -> Dialogue[None]:
        text = submit_file(submission, Shape())
        one = text[: text.rindex("queue ")] + "queue 1\n"
        argv = (self.tool("condor_submit"), "-terse", "-dry-run", "/dev/null", "-")
        answer = yield Command(argv, stdin=one, cwd=submission.directory)
        words = [line.strip() for line in own]
        unknown = [line for line in answers.unused_lines(answer.stderr) if line.strip() in words]
        if unknown:
            raise refused(answer, remedy="correct extra_lines, or leave the line out")
        if answer.ok:
            self._understood.add(own)

    # Asking

    def adopt(self, token: str, directory: Path) -> None:
        """Take over a submission of an earlier process, and follow its log."""
        super().adopt(token, directory)
        self._followed.adopt(directory / LOG)

    def poll(self, ids: Sequence[str]) -> Mapping[str, Report]:
        """Read what is new in the logs; ask the schedd where they do not tell."""
        now = self.clock()
        jobs = [one for one in ids if _ID.fullmatch(one)]
        clusters = {_cluster(one) for one in jobs}
        self._followed.read(clusters, now)
        reports, unclear = self._told(jobs, now)
        if unclear:
            reports = self._clarify(jobs, reports, unclear, now)
        return self._courier.home(reports, self._followed)

    def _told(self, jobs: Sequence[str], now: float) -> tuple[dict[str, Report], list[str]]:
        return self._followed.told(jobs, now, self.backend_args["quiet_interval"])

    def _clarify(
        self, jobs: Sequence[str], reports: dict[str, Report], unclear: Sequence[str], now: float
    ) -> dict[str, Report]:
        if now >= self._ask_at:
            self._ask_at = now + self.backend_args["schedd_interval"]
            try:
                heard = self._converse(self.polling(unclear))
            except PollError as error:
                if not reports:
                    raise
                log.warning("%s; the event logs are followed meanwhile", error)
            else:
                self._followed.hear(unclear, heard, now)
                reports, _ = self._told(jobs, now)
        waiting = Report(SchedulerState.UNKNOWN, reason="HTCondor did not tell yet; it is asked again soon")
        return {**{one: waiting for one in unclear if not self._followed.is_absent(one)}, **reports}

    def polling(self, ids: Sequence[str]) -> Dialogue[Mapping[str, Report]]:
        """Ask the queue, and the history for what is not in it."""
        clusters = sorted({_cluster(one) for one in ids})
        names = [str(cluster) for cluster in clusters]
        queue = yield self._ask("condor_q", "-json", "-attributes", ",".join(answers.ATTRIBUTES), *names)
        if not queue.ok:
            raise unanswered(queue)
        found = self._read(queue)
        reports = {answers.identity(ad): answers.report(ad) for ad in found}
        wanted = set(ids)
        reports |= {
            one: reports.get(one) or Report(SchedulerState.QUEUED)
            for one in answers.not_yet_made(found) & wanted
        }
        if missing := wanted - set(reports):
            clusters = sorted({_cluster(one) for one in missing})
            names = [str(cluster) for cluster in clusters]
            where = [self._followed.directory(cluster) for cluster in clusters]
            history = yield self._search("-attributes", ",".join(answers.ATTRIBUTES), *_since(where), *names)
            if not history.ok:
                log.warning("%s", unanswered(history))
                reports |= dict.fromkeys(missing, Report(SchedulerState.UNKNOWN))
            for ad in self._read(history):
                reports.setdefault(answers.identity(ad), answers.report(ad))
        return {one: report for one, report in reports.items() if one in wanted}

    def finding(self, token: str) -> Dialogue[Mapping[int, str]]:
        """Look into the event log, which is there if and only if the schedd took the submission; ask where
        there is none.
        """
        directory = self.directories.get(token)
        if directory is not None:
            cluster = self._followed.cluster_of(directory / LOG)
            if cluster is not None:
                return {proc: f"{cluster}.{proc}" for proc in range(size_of(directory))}
        attributes = ("-attributes", ",".join(answers.ATTRIBUTES))
        options = (*attributes, "-constraint", f'CafToken == "{token}"')
        queue = yield self._ask("condor_q", "-json", *options)
        if not queue.ok:
            raise unanswered(queue)
        history = yield self._search(*options, *_since([directory]))
        if not history.ok:
            raise unanswered(history)
        found = [*self._read(queue), *self._read(history)]
        ids = {answers.identity(ad) for ad in found} | answers.not_yet_made(found)
        return {int(one.partition(".")[2]): one for one in sorted(ids)}

    def _read(self, answer: CommandResult) -> list[answers.Ad]:
        """The jobs in an answer; their logs are followed from now on."""
        found = list(answers.ads(answer.stdout))
        for ad in found:
            if ad.get("UserLog"):
                path = Path(str(ad.get("Iwd") or "/")) / str(ad["UserLog"])
                self._followed.locate(ad["ClusterId"], path)
        return found

    def counting(self) -> Dialogue[int | None]:
        """The totals of the user's own jobs."""
        answer = yield self._ask("condor_q", "-totals")
        if not answer.ok:
            raise unanswered(answer)
        return answers.jobs_in_queue(answer.stdout)

    # Telling

    def cancel(self, ids: Sequence[str]) -> None:
        """End tasks; the logs tell whether a whole cluster can go."""
        jobs = [one for one in ids if _ID.fullmatch(one)]
        self._followed.read({_cluster(one) for one in jobs}, self.clock())
        super().cancel(jobs)

    def cancelling(self, ids: Sequence[str]) -> Dialogue[None]:
        """Remove clusters, and what is left job by job.

        HTCondor may not have made all jobs of a cluster yet (``max_materialize``); those go only with the
        cluster.
        """
        names: list[str] = []
        for cluster in sorted({_cluster(one) for one in ids}):
            own = {one for one in ids if _cluster(one) == cluster}
            names += [str(cluster)] if self._followed.is_all(cluster, own) else sorted(own)
        for begin in range(0, len(names), _AT_ONCE):
            yield from self._telling(self._ask("condor_rm", *names[begin : begin + _AT_ONCE]))

    def release(self, ids: Sequence[str], resources: Resources) -> None:
        """Let held tasks go on with other resources."""
        super().release(ids, resources)
        self._followed.released(ids)

    def releasing(self, ids: Sequence[str], resources: Resources) -> Dialogue[None]:
        """Edit what held tasks ask for, and release them."""
        edits = ["RequestCpus", str(resources.cpus)]
        if resources.memory_mb is not None:
            edits += ["RequestMemory", str(resources.memory_mb)]
        if resources.disk_mb is not None:
            edits += ["RequestDisk", str(resources.disk_mb * 1024)]
        if resources.walltime is not None:
            travels = self._courier.travels(self._followed.directory(_cluster(ids[0])))
            name = "AllowedExecuteDuration" if travels else "AllowedJobDuration"
            edits += [name, str(seconds_of(resources.walltime))]
        for begin in range(0, len(ids), _AT_ONCE):
            some = ids[begin : begin + _AT_ONCE]
            edited = yield self._ask("condor_qedit", "-constraint", answers.constraint(some), *edits)
            if not edited.ok:
                raise BackendError(
                    f"the held tasks could not be given more: {unanswered(edited)}", transient=True
                )
            yield from self._telling(self._ask("condor_release", *some))

    def _telling(self, command: Command) -> Dialogue[None]:
        answer = yield command
        if not answer.ok and not answers.is_nothing_to_do(answer):
            raise unanswered(answer)

    def _ask(self, tool: str, *words: str, cwd: Path | None = None, submits: bool = False) -> Command:
        name = self.backend_args.get("schedd")
        words = ("-name", str(name), *words) if name else words
        return evolve(self._ask_pool(tool, *words), cwd=cwd, submits=submits)

    def _search(self, *words: str) -> Command:
        """A question to the history."""
        limit = max(self.command_timeout, _HISTORY_TIMEOUT)
        return evolve(self._ask("condor_history", "-json", *words), timeout=limit)

    def _ask_pool(self, tool: str, *words: str) -> Command:
        pool = self.backend_args.get("pool")
        return Command((self.tool(tool), *(("-pool", str(pool)) if pool else ()), *words))


def _cluster(identity: str) -> int:
    return int(identity.partition(".")[0])


def _since(directories: Sequence[Path | None]) -> tuple[str, ...]:
    """Only what ended after submissions were written may belong to them; the history is read backwards."""
    try:
        written = [(one / "manifest.jsonl").stat().st_mtime for one in directories if one is not None]
    except OSError:
        written = []
    if not written or len(written) < len(directories):
        return ()
    # What was sent with its files may stay in the queue for days after its end: it tells no order.
    return ("-since", f"EnteredCurrentStatus < {int(min(written)) - _CLOCKS} && StageInFinish =?= undefined")


def _not_submitted(answer: CommandResult) -> SubmissionError:
    if answer.returncode == NOT_FOUND:
        return refused(answer)
    why = answers.refusal(answer)
    if why.credentials:
        return refused(answer, remedy="renew the credential; it is tried again", credentials=True)
    return refused(answer, full=why.full) if why.certain else doubtful(answer)
