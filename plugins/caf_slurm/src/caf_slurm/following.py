"""Asking Slurm about tasks: ``squeue`` first, and the other sources for what it does not list."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import evolve

from caf_core.errors import PollError
from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.batch.dialogue import Command, Dialogue, unanswered
from caf_core.jobs.ledger import FailureKind
from caf_core.processes.command import OUTPUT_LIMIT, CommandResult
from caf_slurm import accounting, ids, listing
from caf_slurm.request import LOG
from caf_slurm.site import Memory, Site
from caf_slurm.states import STARTED_AND_HELD, Row, report

LIST_LIMIT = 300
"""For more jobs than this, all jobs of the user are listed."""
CHECK_LIMIT = 20
"""How many jobs that are not listed are looked up one by one in one poll; the others wait for the next."""
LOG_LIMIT = 50
"""How many logs are searched for the reason of a kill in one poll."""

_UNKNOWN_JOB = "invalid job id"
_MEMORY = re.compile(r"(?:StepId=|step\s+|job\s+)([0-9]+(?:_[0-9]+)?)\b", re.IGNORECASE)
_MEMORY_WORDS = "exceeded (job )?memory limit|oom[-_ ]kill"
_CANCELLED_EARLY = Report(
    SchedulerState.ENDED,
    reason="cancelled at Slurm before it started",
    failure=FailureKind.CANCELLED.value,
)


class Following:
    """What was heard of tasks, to tell those that were forgotten from those that were never there.

    Args:
        tool: Gives the path of a command of Slurm.
        directories: The directory of each submission, by token.
        clock: A clock that never goes back [s].
    """

    def __init__(
        self, tool: Callable[[str], str], directories: Mapping[str, Path], clock: Callable[[], float]
    ) -> None:
        self._tool = tool
        self._directories = directories
        self._clock = clock
        self._waiting: dict[str, float] = {}
        self._forgotten: set[str] = set()
        self._endings: dict[str, Report] = {}

    def submitted(self, identities: Iterable[str]) -> None:
        """New tasks wait."""
        self._waiting.update(dict.fromkeys(identities, self._clock()))

    def polling(self, asked: Sequence[str], site: Site) -> Dialogue[Mapping[str, Report]]:
        """See ``Batch.polling``."""
        bases = [base for base in {one.partition("_")[0] for one in asked} if ids.split(base)]
        if not bases:
            return {}
        now = self._clock()
        listed = yield from self._listing(sorted(bases))
        meanings: dict[int, Report] = {}
        reports: dict[str, Report] = {}
        missing = []
        for identity in asked:
            row = listed.rows.get(identity)
            if row is None:
                if ids.split(identity):
                    missing.append(identity)
                continue
            meaning = meanings.get(id(row))
            if meaning is None:
                meaning = meanings[id(row)] = report(row)
            reports[identity] = meaning
        special = listed.origins.keys() & reports.keys()
        failed = {one: listed.origins[one] for one in special if listed.rows[one].state == "FAILED"}
        if failed:
            reports.update((yield from self._explain(failed, listed)))
        stuck = {one: listed.origins[one] for one in special - failed.keys()}
        if stuck:
            reports.update((yield from self._stuck(stuck)))
        if missing:
            reports.update((yield from self._missing(missing, listed, site, now)))
        self._remember(asked, reports, now)
        return reports

    def finding(self, token: str, site: Site) -> Dialogue[Mapping[int, str]]:
        """See ``Batch.finding``."""
        answer = yield self._squeue("-n", token)
        listed = self._read(answer, token)
        found: dict[int, str] = {}
        older = yield from self._remembered_by_name(token, site)
        for record in older:
            if record.name == token:
                found.update((ids.position(identity), identity) for identity in record.expression.ids())
        if any(identity.partition("_")[1] for identity in found.values()):
            # A record of an array without an index is about tasks that never started, whichever they were.
            found = {place: identity for place, identity in found.items() if "_" in identity}
        found.update((ids.position(identity), identity) for identity in listed.rows)
        if listed.garbled:
            raise PollError(f"squeue: {len(listed.garbled)} jobs could not be read", transient=True)
        return found

    # squeue

    def _listing(self, bases: Sequence[str]) -> Dialogue[listing.Listing]:
        which = ["-u", str(os.getuid())] if len(bases) > 1 else []
        if len(bases) <= LIST_LIMIT:
            which += ["-j", ",".join(bases)]
        answer = yield self._squeue(*which)
        if not answer.ok and _UNKNOWN_JOB in answer.stderr.lower():
            return listing.Listing()
        return self._read(answer)

    def _squeue(self, *which: str) -> Command:
        words = (self._tool("squeue"), "-a", "-h", "-t", "all", "-o", listing.FORMAT, *which)
        return Command(words, env=listing.WHOLE)

    def _read(self, answer: CommandResult, name: str | None = None) -> listing.Listing:
        if not answer.ok:
            raise unanswered(answer)
        if len(answer.stdout) >= OUTPUT_LIMIT:
            raise PollError("squeue: the answer is too long to be kept", transient=True)
        return listing.read(answer.stdout, name)

    def _explain(
        self, failed: Mapping[str, listing.Origin], listed: listing.Listing
    ) -> Dialogue[Mapping[str, Report]]:
        """How tasks failed: the exit codes, and for killed ones whether their log speaks of memory."""
        bases = sorted({identity.partition("_")[0] for identity in failed})
        which = ["-j", ",".join(bases)] if len(bases) <= LIST_LIMIT else ["-u", str(os.getuid())]
        answer = yield Command(
            (self._tool("squeue"), "-a", "-h", "-t", "FAILED", "-O", listing.STATUS_FORMAT, *which),
            env=listing.WHOLE,
        )
        statuses = listing.statuses(answer.stdout) if answer.ok else {}
        rows: dict[str, Row] = {}
        for identity in failed:
            code, signal = statuses.get(identity, (None, None))
            rows[identity] = evolve(listed.rows[identity], exit_code=code, signal=signal)
        killed = {identity: failed[identity] for identity, row in rows.items() if row.signal == 9}
        for identity in (yield from self._out_of_memory(killed)):
            rows[identity] = evolve(rows[identity], state="OUT_OF_MEMORY")
        return {identity: report(row) for identity, row in rows.items()}

    def _out_of_memory(self, killed: Mapping[str, listing.Origin]) -> Dialogue[Sequence[str]]:
        """Where ``JobAcctGatherParams=OverMemoryKill`` is set, only the log tells why a task was killed."""
        logs = dict.fromkeys(
            str(self._directories[line.name] / LOG)
            for line in killed.values()
            if line.name in self._directories
        )
        if not logs:
            return []
        answer = yield Command(
            ("grep", "-a", "-h", "-i", "-E", "-e", _MEMORY_WORDS, "--", *list(logs)[:LOG_LIMIT])
        )
        named = set(_MEMORY.findall(answer.stdout))
        return [identity for identity, line in killed.items() if {line.raw, identity} & named]

    def _stuck(self, stuck: Mapping[str, listing.Origin]) -> Dialogue[Mapping[str, Report]]:
        """Tasks that are held because a node could not start them, although they have started.

        A controller that was killed may have forgotten that it started them: it tries again, and their node
        refuses, for they execute. Their claims tell.
        """
        reports = {}
        tokens = dict.fromkeys(line.name for line in stuck.values() if line.name in self._directories)
        for token in list(tokens)[:LOG_LIMIT]:
            answer = yield Command(
                ("find", str(self._directories[token] / "claims"), "-type", "f", "-printf", "%f\\n")
            )
            claimed = set(answer.stdout.split())
            for identity, line in stuck.items():
                if line.name == token and str(ids.position(identity)) in claimed:
                    reports[identity] = STARTED_AND_HELD
        return reports

    # What squeue does not list

    def _missing(
        self, missing: Sequence[str], listed: listing.Listing, site: Site, now: float
    ) -> Dialogue[Mapping[str, Report]]:
        reports = {identity: self._endings[identity] for identity in missing if identity in self._endings}
        rest = [identity for identity in missing if identity not in reports]
        unclear = set(listed.garbled)
        present = listed.bases
        absent = dict.fromkeys(identity.partition("_")[0] for identity in rest)
        checks = [base for base in absent if base not in present | self._forgotten | unclear]
        for number, base in enumerate(checks):
            if number >= CHECK_LIMIT or (records := (yield from self._looked_up(base))) is None:
                unclear.add(base)
            else:
                rows = accounting.told(records, rest)
                reports.update((identity, report(row)) for identity, row in rows.items())
        for identity in rest:
            if identity not in reports and identity.partition("_")[0] in unclear:
                reports[identity] = Report(SchedulerState.UNKNOWN, reason="Slurm did not tell")
        rest = [identity for identity in rest if identity not in reports]
        ended = (yield from self._remembered(rest, site)) if rest else {}
        for identity in rest:
            waited = self._waiting.get(identity)
            if identity in ended or waited is None or identity.partition("_")[0] not in present:
                continue
            if now - waited < site.min_job_age:
                # It waited a moment ago, and its array is known. What starts and ends is listed for longer
                # than that, but of a task that is cancelled before it starts nothing is left.
                ended[identity] = _CANCELLED_EARLY
        self._endings.update(ended)
        reports.update(ended)
        return reports

    def _looked_up(self, base: str) -> Dialogue[Sequence[accounting.Record] | None]:
        """What ``scontrol`` knows of a job that ``squeue`` did not list; ``None`` if it did not answer.

        The environment, or another user id in a container, may hide jobs from ``squeue``. ``base`` is never
        empty: that would print all jobs of the cluster.
        """
        answer = yield Command((self._tool("scontrol"), "-a", "-o", "show", "job", base), env=listing.WHOLE)
        if answer.ok:
            return list(accounting.records_of_scontrol(answer.stdout))
        if _UNKNOWN_JOB in answer.stderr.lower() + answer.stdout.lower():
            self._forgotten.add(base)
            return []
        return None

    def _remembered(self, asked: Sequence[str], site: Site) -> Dialogue[dict[str, Report]]:
        """How tasks ended that the controller has forgotten, if somebody remembers."""
        bases = list(dict.fromkeys(identity.partition("_")[0] for identity in asked))
        if site.memory is Memory.FILETXT:
            patterns = [f"^JobId={base} " for base in bases]
            patterns += [f"ArrayJobId={base} ArrayTaskId=" for base in bases]
            records = yield from self._filetxt(patterns, site)
        elif site.memory is Memory.SACCT:
            records = []
            for part in ids.chunks(bases, 100_000):
                answer = yield self._sacct("-j", ",".join(part))
                if answer.ok:
                    records += accounting.records_of_sacct(answer.stdout)
        else:
            return {}
        reports = {identity: report(row) for identity, row in accounting.told(records, asked).items()}
        return {one: told for one, told in reports.items() if told.state is SchedulerState.ENDED}

    def _remembered_by_name(self, token: str, site: Site) -> Dialogue[Sequence[accounting.Record]]:
        if site.memory is Memory.FILETXT:
            return (yield from self._filetxt([f" Name={token} "], site))
        if site.memory is Memory.SACCT:
            answer = yield self._sacct("--name", token, "-S", "now-30days")
            if not answer.ok:
                raise unanswered(answer)
            return list(accounting.records_of_sacct(answer.stdout))
        return []

    def _filetxt(self, patterns: Sequence[str], site: Site) -> Dialogue[list[accounting.Record]]:
        answer = yield Command(
            ("grep", "-a", "-h", "-f", "-", "--", site.completion_path), stdin="\n".join(patterns) + "\n"
        )
        return list(accounting.records_of_filetxt(answer.stdout))

    def _sacct(self, *which: str) -> Command:
        words = (self._tool("sacct"), "-n", "-P", "-o", accounting.SACCT_FIELDS, *which)
        return Command(words, env=listing.WHOLE)

    def _remember(self, asked: Iterable[str], reports: Mapping[str, Report], now: float) -> None:
        """Which tasks wait now."""
        waiting = self._waiting
        for identity in asked:
            told = reports.get(identity)
            if told is not None and told.state is SchedulerState.QUEUED:
                waiting[identity] = now
            elif told is not None and told.state is not SchedulerState.UNKNOWN:
                waiting.pop(identity, None)
