"""Following event logs: which files are read, what is known from them of each task, and what is not.

Files are read here, and no command is given. A log is a file that other programs append to, perhaps on
another machine: it may be late, missing for a moment, or gone.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import define, evolve, field

from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.node import INDEX_WIDTH
from caf_htcondor.events import Event, EventReader
from caf_htcondor.states import CLUSTER_REMOVED, CLUSTER_SUBMITTED, QUEUED, SUBMITTED, after, removed

LOG = "events.log"
"""The name of the log in the directory of a submission."""

FORGET_AFTER = 900.0
"""A cluster of which nobody asked for so long is forgotten [s]; its log is read again if somebody does."""

_CHUNK = 1 << 22


@define
class LogFile:
    """One log, read piece by piece.

    Args:
        path: Where it lies.
        problem: Why what was read may not be all; empty while it can be trusted.
    """

    path: Path
    problem: str = ""
    _reader: EventReader = field(factory=EventReader)
    _offset: int = 0
    _inode: int = 0
    _cut: str = ""

    def new_events(self) -> Iterable[Event]:
        """The events since the last call."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.problem = f"{self.path} cannot be read: {error.strerror}"
            return
        try:
            self._look(os.fstat(descriptor))
            while data := self._read(descriptor):
                yield from self._reader.feed(data)
        except OSError as error:
            self.problem = f"{self.path} cannot be read: {error.strerror}"
        finally:
            os.close(descriptor)

    def _look(self, status: os.stat_result) -> None:
        if status.st_size < self._offset or (self._inode and status.st_ino != self._inode):
            self._cut = f"{self.path} was cut or replaced"
            self._offset, self._reader = 0, EventReader()
        self._inode = status.st_ino
        self.problem = self._cut

    def _read(self, descriptor: int) -> bytes:
        data = os.pread(descriptor, _CHUNK, self._offset)
        # A client of NFS may see the length of what others append before it sees the content.
        data = data.partition(b"\0")[0]
        self._offset += len(data)
        return data


@define
class _Cluster:
    log: LogFile
    asked_at: float
    seen: bool = False
    removed: str = ""

    @property
    def trusted(self) -> bool:
        return self.seen and not self.log.problem


@define
class Followed:
    """What is known of the tasks, by id (``CLUSTER.PROC``)."""

    _clusters: dict[int, _Cluster] = field(factory=dict)
    _paths: dict[int, Path] = field(factory=dict)
    _logs: dict[Path, LogFile] = field(factory=dict)
    _new: set[Path] = field(factory=set)
    _reports: dict[str, Report] = field(factory=dict)
    _heard: dict[str, float] = field(factory=dict)
    _absent: set[str] = field(factory=set)

    def expect(self, cluster: int, log: Path, ids: Sequence[str], now: float) -> None:
        """HTCondor has just taken these tasks."""
        self._cluster(cluster, log, now)
        self._reports.update(dict.fromkeys(ids, QUEUED))
        self._heard.update(dict.fromkeys(ids, now))

    def adopt(self, log: Path) -> None:
        """Follow a log; which cluster it belongs to is not known before it is read."""
        if log not in self._logs:
            self._new.add(log)

    def locate(self, cluster: int, log: Path) -> None:
        """Follow a log of which HTCondor said that it belongs to a cluster."""
        self._paths.setdefault(cluster, log)

    def directory(self, cluster: int) -> Path | None:
        """Where the log of a cluster lies, if that is known."""
        path = self._paths.get(cluster)
        return None if path is None else path.parent

    def cluster_of(self, log: Path) -> int | None:
        """The cluster whose submission a log tells, if it tells one; of several the last, as there was a
        reason to submit again.
        """
        found = None
        for event in LogFile(log).new_events():
            if event.number in (SUBMITTED, CLUSTER_SUBMITTED):
                found = event.cluster
        if found is not None:
            self._paths[found] = log
        return found

    def is_absent(self, identity: str) -> bool:
        """Whether HTCondor said that it neither has a task nor remembers it."""
        return identity in self._absent

    def is_all(self, cluster: int, ids: Collection[str]) -> bool:
        """Whether nothing is left of a cluster but these tasks."""
        directory = self.directory(cluster)
        if directory is None:
            return False
        left = {f"{cluster}.{proc}": proc for proc in range(size_of(directory))}
        for one, proc in left.items():
            report = self._reports.get(one, QUEUED)
            if one in ids or report.state is SchedulerState.ENDED:
                continue
            # Its record is there before the log says that it has ended.
            if not (directory / "records" / f"{proc}.json").exists():
                return False
        return bool(left)

    def read(self, clusters: Collection[int], now: float) -> None:
        """Read what is new in the logs of these clusters; forget those that nobody asks about any more."""
        for number in clusters:
            if number in self._paths:
                self._cluster(number, self._paths[number], now).asked_at = now
        logs = {path: self._log(path) for path in self._new}
        logs |= {
            self._paths[number]: self._clusters[number].log for number in clusters if number in self._paths
        }
        for log in logs.values():
            self._take_events(log, now)
        for path in [
            path for path, log in self._logs.items() if path not in logs and self._is_over(log, now)
        ]:
            self._forget(path)

    def told(self, ids: Sequence[str], now: float, quiet: float) -> tuple[dict[str, Report], list[str]]:
        """What is known of tasks.

        Args:
            ids: The tasks.
            now: The time.
            quiet: A task of which the log says nothing for so long is worth a question [s].
        Returns:
            The reports, and the ids about which the schedd should be asked. Those that HTCondor no longer
            has, as it said itself, are in the second only.
        """
        reports: dict[str, Report] = {}
        ask: list[str] = []
        known, heard, absent = self._reports, self._heard, self._absent
        trusted: dict[str, _Cluster] = {
            str(number): cluster for number, cluster in self._clusters.items() if cluster.trusted
        }
        for one in ids:
            report = known.get(one)
            cluster = trusted.get(one.partition(".")[0])
            if report is None and cluster is not None:
                report = known[one] = removed(cluster.removed) if cluster.removed else QUEUED
                heard[one] = now
            if report is None or one in absent:
                ask.append(one)
                continue
            reports[one] = report
            if report.state is not SchedulerState.ENDED and (cluster is None or now - heard[one] > quiet):
                ask.append(one)
        return reports, ask

    def hear(self, asked: Iterable[str], answers: Mapping[str, Report], now: float) -> None:
        """The schedd answered about these ids; those without an answer are neither queued nor remembered."""
        for one in asked:
            self._heard[one] = now
            answer = answers.get(one)
            if answer is None:
                self._absent.add(one)
                continue
            self._absent.discard(one)
            old = self._reports.get(one, answer)
            self._reports[one] = evolve(
                answer,
                host=answer.host or old.host,
                peak_memory_mb=max(answer.peak_memory_mb or 0.0, old.peak_memory_mb or 0.0) or None,
            )

    def released(self, ids: Iterable[str]) -> None:
        """HTCondor has released these tasks; the log tells it a moment later."""
        for one in ids:
            if one in self._reports:
                self._reports[one] = evolve(
                    self._reports[one], state=SchedulerState.QUEUED, reason="", failure=None
                )

    def _take_events(self, log: LogFile, now: float) -> None:
        reports, heard, clusters = self._reports, self._heard, self._clusters
        for event in log.new_events():
            cluster = clusters.get(event.cluster) or self._cluster(event.cluster, log.path, now)
            cluster.seen = True
            if event.proc >= 0:
                one = f"{event.cluster}.{event.proc}"
                reports[one] = after(reports.get(one, QUEUED), event)
                heard[one] = now
                self._absent.discard(one)
            elif event.number == CLUSTER_REMOVED:
                self._remove(event.cluster, cluster)

    def _cluster(self, number: int, path: Path, now: float) -> _Cluster:
        self._paths[number] = path
        self._new.discard(path)
        return self._clusters.setdefault(number, _Cluster(self._log(path), now))

    def _log(self, path: Path) -> LogFile:
        return self._logs.setdefault(path, LogFile(path))

    def _remove(self, number: int, cluster: _Cluster) -> None:
        """All of it is gone: also what was never made a job of its own."""
        cluster.removed = "the cluster was removed from the queue"
        for one in self._ids(number):
            if self._reports.get(one, QUEUED).state is not SchedulerState.ENDED:
                self._reports[one] = removed(cluster.removed)

    def _ids(self, number: int) -> list[str]:
        prefix = f"{number}."
        return [one for one in self._heard if one.startswith(prefix)]

    def _is_over(self, log: LogFile, now: float) -> bool:
        users = [cluster for cluster in self._clusters.values() if cluster.log is log]
        return all(now - cluster.asked_at > FORGET_AFTER for cluster in users)

    def _forget(self, path: Path) -> None:
        log = self._logs.pop(path)
        for number in [number for number, cluster in self._clusters.items() if cluster.log is log]:
            del self._clusters[number]
            for one in self._ids(number):
                del self._heard[one]
                self._reports.pop(one, None)
                self._absent.discard(one)


def size_of(directory: Path) -> int:
    """How many tasks a submission has."""
    try:
        return (directory / "manifest.idx").stat().st_size // INDEX_WIDTH
    except OSError:
        return 0
