"""One task, submitted to find out what a node is like and how long files take to get here."""

import os
import pwd
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, evolve

from caf_core.control.doctor.facts import ProbeFacts
from caf_core.control.doctor.script import FACTS, SCRIPT, read_facts, read_time
from caf_core.errors import CafError, ConfigurationError
from caf_core.jobs.backend import Backend
from caf_core.jobs.config.reading import Config
from caf_core.jobs.ledger import TaskState
from caf_core.jobs.model import Job
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.submit import Session
from caf_core.jobs.task import Resources

LOOK = 0.05
"""How often the folder is looked into [s]."""
FAREWELL = 5.0
"""How long the end of a probe that took too long is waited for [s]; it was told to end, and need not."""

PATIENCE = 60.0
"""For how long the task and we wait for each other's files [s]."""


@define
class _Talk:
    """The exchange of files with the task."""

    folder: Path
    hello: tuple[float, float | None] | None = None
    asked: float = 0.0
    pong: tuple[float, float | None] | None = None

    def look(self, now: Callable[[], float]) -> None:
        """Take in what is there, and answer."""
        if self.hello is None:
            self.hello = self._seen("hello", now)
            if self.hello is not None:
                self.asked = now()
                (self.folder / "ping").touch()
        elif self.pong is None:
            self.pong = self._seen("pong", now)

    def _seen(self, name: str, now: Callable[[], float]) -> tuple[float, float | None] | None:
        """When a file was first seen here, and the time that is written in it."""
        try:
            # A listing makes NFS look; asking for one name may be answered from a cache.
            if any(path.name == name for path in self.folder.iterdir()):
                return now(), read_time((self.folder / name).read_text(encoding="utf-8"))
        except OSError:
            pass  # a file system that hesitates is asked again, until the probe's patience ends
        return None


def probe(
    backend: Backend,
    config: Config,
    parent: Path,
    patience: float,
    say: Callable[[str], None],
    *,
    resources: Resources | None = None,
) -> ProbeFacts:
    """Submit one task and find out what it sees.

    Args:
        backend: The backend; it is not used for anything else afterwards.
        config: What tasks ask for.
        parent: Where output would lie; a folder is made in it, and removed again.
        patience: How long to wait for the task's end [s].
        say: Told when the state of the task changes.
        resources: What the task asks for, if not what the configuration says.
    Raises:
        ConfigurationError: If the folder cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(prefix=".caf-doctor-", dir=parent)).absolute()
    except OSError as error:
        raise ConfigurationError(
            f"{parent} cannot be used ({error}); choose another folder with -o."
        ) from error
    try:
        session = Session(backend, config)
        try:
            return _examine(session, config, home, patience, say, resources or Resources())
        finally:
            session.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _examine(
    session: Session,
    config: Config,
    home: Path,
    patience: float,
    say: Callable[[str], None],
    wanted: Resources,
) -> ProbeFacts:
    talk = _Talk(home / "talk")
    talk.folder.mkdir()
    asked = wanted.or_else(config.make_resources())
    facts = ProbeFacts(str(home.parent), sys.executable, _user(), asked.cpus, asked.memory_mb)
    words = [str(talk.folder), sys.executable, str(int(PATIENCE * 10))]
    job = Job(
        "caf-doctor",
        cmd=["/bin/sh", "-c", SCRIPT, "caf-doctor", *words],
        working_dir=home / "job",
        output_patterns=[FACTS],
        resources=wanted,
        retry=RetryPolicy.never(),
    )
    begin = time.time()
    try:
        session.submit(job)
    except CafError as error:
        return evolve(facts, refused=str(error))
    began, told, until = None, "", time.monotonic() + patience
    while not session.join(LOOK) and time.monotonic() < until:
        talk.look(time.time)
        if began is None and (talk.hello is not None or job.status is TaskState.RUNNING):
            began = time.time()
        told = _tell(job, told, say)
    seen = time.time()
    talk.look(time.time)
    found = _found(facts, job, talk, (begin, began, seen), ended=job.ready())
    if not found.ended:
        job.cancel()
        session.join(FAREWELL)
    return found


def _user() -> str:
    """Our name at this machine; empty if we have none here."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _tell(job: Job, told: str, say: Callable[[str], None]) -> str:
    """Say where the task is, if that is news."""
    result = job.result
    where = f" ({result.reason})" if result is not None and result.reason else ""
    text = f"the probe is {job.status}{where}"
    if text != told:
        say(text)
    return text


def _found(
    facts: ProbeFacts, job: Job, talk: _Talk, times: tuple[float, float | None, float], *, ended: bool
) -> ProbeFacts:
    begin, began, seen = times
    result = job.result
    round_trip = clock = None
    error = 0.0
    if talk.pong is not None:
        round_trip = talk.pong[0] - talk.asked
        if talk.pong[1] is not None:
            clock, error = talk.pong[1] - (talk.pong[0] + talk.asked) / 2, round_trip / 2
    after = None
    if ended and result is not None and result.ended is not None and job.status is TaskState.COMPLETED:
        after = max(0.0, seen - result.ended + (clock or 0.0))
    return evolve(
        facts,
        refused=(result.reason if result is not None and job.status is TaskState.FAILED else ""),
        state=str(job.status) + (f": {result.reason}" if result is not None and result.reason else ""),
        identity=result.scheduler_id if result is not None else "",
        host=result.host if result is not None else "",
        waited=(began if began is not None and ended else seen) - begin,
        ended=ended,
        values=_values(job),
        round_trip=round_trip,
        clock=clock,
        clock_error=error,
        record_after=after,
    )


def _values(job: Job) -> dict[str, str]:
    if job.attempt_dir is None:
        return {}
    try:
        return read_facts((job.attempt_dir / FACTS).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}
