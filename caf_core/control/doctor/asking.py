"""Asks a backend and its scheduler; judges nothing."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field

from caf_core.control.doctor.credentials import find_credentials
from caf_core.control.doctor.facts import Examination, SchedulerFacts, Use
from caf_core.control.doctor.probe import probe
from caf_core.control.tables import unused_tables
from caf_core.errors import BackendError
from caf_core.jobs.backend import Backend
from caf_core.jobs.batch.dialogue import NOT_FOUND
from caf_core.jobs.batch.template import Batch
from caf_core.jobs.config.reading import Config
from caf_core.jobs.task import Resources
from caf_core.plugins.registry import Registry
from caf_core.processes.command import CommandResult

QUICK = 5.0
"""How often the scheduler is asked about the probe [s]: one task may be watched closely."""


@define
class Witness:
    """Counts the commands that a backend executes.

    Args:
        is_answer: Whether a command answered well.
    """

    is_answer: Callable[[CommandResult], bool] = attrgetter("ok")
    answers: list[CommandResult] = field(factory=list)

    def uses(self) -> tuple[Use, ...]:
        """The commands, in the order of their first use."""
        names = dict.fromkeys(answer.argv[0] for answer in self.answers)
        return tuple(self._use(name) for name in names)

    def _use(self, name: str) -> Use:
        mine = [answer for answer in self.answers if answer.argv[0] == name]
        there = any(answer.returncode != NOT_FOUND for answer in mine)
        return Use(
            name,
            (shutil.which(name) or "") if there else "",
            len(mine),
            sum(not self.is_answer(answer) for answer in mine),
            max(answer.seconds for answer in mine),
        )


def examine(
    backend: Backend,
    name: str,
    config: Config,
    *,
    directory: Path | None,
    patience: float,
    say: Callable[[str], None],
    resources: Resources | None = None,
    registry: Registry | None = None,
) -> Examination:
    """Find out everything about a backend.

    Args:
        backend: The backend; it is closed afterwards if there is a probe.
        name: Its plugin name.
        config: The configuration.
        directory: Where the probe works; ``None`` for no probe.
        patience: How long it is waited for [s].
        say: Told what is being done.
        resources: What the probe asks for.
        registry: The plugins, to find tables of the configuration that no backend has.
    """
    witness, args = Witness(), dict(backend.backend_args)
    scheduler = None
    if isinstance(backend, Batch):
        witness.is_answer = backend.is_answer
        backend.witness = witness.answers.append
        say(f"asking {backend.scheduler or name}")
        scheduler = _ask(backend, name)
        backend.configure({"poll_interval": QUICK}, overrule=True)
    found = None
    if directory is not None and (scheduler is None or not scheduler.error):
        found = probe(backend, config, directory, patience, say, resources=resources)
    credentials = find_credentials(os.environ, os.getuid())
    tables = () if registry is None else tuple(unused_tables(registry, config, [backend]))
    return Examination(name, args, witness.uses(), scheduler, found, credentials, time.time(), tables)


def _ask(backend: Batch, name: str) -> SchedulerFacts:
    try:
        site = backend.site
    except BackendError as error:
        return SchedulerFacts(backend.scheduler or name, str(error), capabilities=backend.limits(None))
    try:
        jobs = backend.count()
    except BackendError:
        jobs = None
    return SchedulerFacts(
        backend.scheduler or name,
        "",
        _facts(site),
        backend.capabilities(),
        jobs,
        tuple(backend.findings(site)),
        dict(backend.described(site)),
    )


def _facts(site: Any) -> Mapping[str, Any]:
    """What is known of a site, as plain values."""
    if site is None:
        return {}
    return attrs.asdict(site, recurse=False) if attrs.has(type(site)) else {"site": site}
