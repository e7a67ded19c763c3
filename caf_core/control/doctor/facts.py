"""What is found out about a backend, before anybody judges it."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from caf_core.control.tables import UnusedTable
from caf_core.jobs.backend import Capabilities
from caf_core.jobs.findings import Finding


@frozen
class Use:
    """A command of the scheduler that was executed.

    Args:
        name: The command as it was called.
        where: The file that was executed; empty if there is none.
        calls: How often.
        failures: How often it did not answer well.
        slowest: The longest that it took [s].
    """

    name: str
    where: str
    calls: int
    failures: int
    slowest: float


@frozen
class SchedulerFacts:
    """What the scheduler says.

    Args:
        name: Its name for people.
        error: Why it did not answer, if it did not.
        site: What the plugin found out about the site, for machines.
        capabilities: What it can do, narrowed by the arguments.
        jobs: The user's own tasks in it; ``None`` if it cannot be told.
        findings: What the plugin says.
        told: ``site`` in words for people; empty if the plugin has none for it.
    """

    name: str
    error: str = ""
    site: Mapping[str, Any] = field(factory=dict)
    capabilities: Capabilities = field(factory=Capabilities)
    jobs: int | None = None
    findings: tuple[Finding, ...] = ()
    told: Mapping[str, str] = field(factory=dict)


@frozen
class ProbeFacts:
    """What one task found out; times are in seconds.

    Args:
        directory: The folder in which it was.
        python: Our interpreter, which a node tries first.
        user: Who submitted it.
        asked_cpus: What was asked for.
        asked_memory_mb: Likewise [MB].
        refused: Why it could not be submitted, or why it failed.
        state: Its last state.
        identity: Its name at the scheduler.
        host: Where it executed.
        waited: From its submission until it was known to have begun; until we gave up if it did not end.
        ended: Whether it came to an end in time.
        values: What it wrote: ``python``, ``python_version``, ``caf``, ``cpus``, ...
        round_trip: From a file being written here until the answer from there was seen here.
        clock: How far the clock there is ahead of ours.
        clock_error: By how much that may be wrong.
        record_after: From the end of the task until its exit record was seen here.
    """

    directory: str
    python: str
    user: str = ""
    asked_cpus: int = 1
    asked_memory_mb: int | None = None
    refused: str = ""
    state: str = ""
    identity: str = ""
    host: str = ""
    waited: float = 0.0
    ended: bool = False
    values: Mapping[str, str] = field(factory=dict)
    round_trip: float | None = None
    clock: float | None = None
    clock_error: float = 0.0
    record_after: float | None = None


@frozen
class Credential:
    """A credential of the user.

    Args:
        kind: ``Kerberos ticket``, ``X.509 proxy``, ``bearer token``.
        name: Whose, or which file.
        expires: When it ends [s since the epoch]; ``None`` if that cannot be told.
        renewable_until: Until when it can be renewed without a password, likewise.
        problem: Why nothing more is known.
    """

    kind: str
    name: str
    expires: float | None = None
    renewable_until: float | None = None
    problem: str = ""


@frozen
class Examination:
    """Everything that was found out.

    Args:
        backend: The backend's plugin name.
        backend_args: Its arguments.
        uses: The commands that were executed.
        scheduler: What the scheduler says; ``None`` for a backend that has none.
        probe: What one task found out; ``None`` if there was none.
        credentials: The user's.
        now: When [s since the epoch].
        tables: Tables of ``caf.toml`` that no backend here has.
    """

    backend: str
    backend_args: Mapping[str, Any]
    uses: tuple[Use, ...]
    scheduler: SchedulerFacts | None
    probe: ProbeFacts | None
    credentials: tuple[Credential, ...]
    now: float
    tables: tuple[UnusedTable, ...] = ()
