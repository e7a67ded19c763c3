"""What follows from the facts about a scheduler, and everything together: pure."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import ceil
from typing import Any

from caf_core.control.doctor.facts import Credential, Examination, SchedulerFacts, Use
from caf_core.control.doctor.judging_node import judge_probe
from caf_core.jobs.findings import Finding, Level
from caf_core.jobs.units import span_text

SLOW = 5.0
"""A command that takes longer is worth a word [s]."""
SOON = 3600.0
"""A credential that lives shorter is worth a warning [s]."""
PAUSES = (
    "when a credential expires, caf waits and tries again every ten minutes; no task fails by it, and caf "
    "goes on once it is renewed"
)


def judge(found: Examination) -> list[Finding]:
    """Everything that follows, in the order in which it is told."""
    scheduler, probe = found.scheduler, found.probe
    grace = scheduler.capabilities.grace if scheduler is not None else None
    return [
        *(_command(use, found.backend_args) for use in found.uses),
        *(_scheduler(scheduler) if scheduler is not None else ()),
        *(judge_probe(probe, grace) if probe is not None else ()),
        *_credentials(found.credentials, found.now),
        *(
            Finding(Level.WARNING if one.meant else Level.NOTE, str(one), section="caf.toml")
            for one in found.tables
        ),
    ]


def suggestions(findings: list[Finding]) -> dict[str, Any]:
    """The arguments that would mend what was found, together."""
    return {key: value for one in findings for key, value in one.settings.items()}


def _command(use: Use, args: Mapping[str, Any]) -> Finding:
    if not use.where:
        return Finding(Level.NOTE, f"{use.name} is not there", section="commands")
    times = f"{use.calls} call(s), the slowest took {use.slowest:.2f} s"
    text = f"{use.name} is {use.where}: {times}"
    limit = float(args.get("command_timeout") or 0)
    if use.slowest > SLOW and limit < 10 * use.slowest:
        return Finding(
            Level.WARNING,
            f"{text}, which is close to the time limit of {limit:g} s at a busy time",
            "give it more time",
            {"command_timeout": ceil(20 * use.slowest)},
            "commands",
        )
    failed = f"; {use.failures} of them did not succeed" if use.failures else ""
    return Finding(Level.NOTE if use.failures else Level.OK, text + failed, section="commands")


def _scheduler(facts: SchedulerFacts) -> Iterator[Finding]:
    if facts.error:
        yield Finding(
            Level.PROBLEM,
            f"{facts.name} does not answer: {facts.error}",
            "call caf where the commands of the scheduler work; if they are not on the PATH, set path_prefix",
            section="scheduler",
        )
        return
    for name, value in facts.told.items():
        yield Finding(Level.OK, f"{name}: {value}", section="scheduler")
    for name, value in facts.site.items() if not facts.told else ():
        numbers = isinstance(value, tuple) and all(isinstance(part, int) for part in value)
        text = ".".join(map(str, value)) if numbers and "version" in name else _plain(value)
        yield Finding(Level.OK, f"{name.replace('_', ' ')}: {text}", section="scheduler")
    yield from facts.findings
    yield from _limits(facts)


def _limits(facts: SchedulerFacts) -> Iterator[Finding]:
    can = facts.capabilities
    array = "of any size" if can.array_limit is None else f"at most {can.array_limit} tasks"
    yield Finding(Level.OK, f"one submission: {array}", section="limits")
    have = "" if facts.jobs is None else f"; you have {facts.jobs} now"
    if can.job_limit is None:
        yield Finding(
            Level.NOTE,
            f"no limit of your tasks in the system is set{have}",
            "if your site wishes one, set global_job_limit",
            section="limits",
        )
    elif facts.jobs is not None and facts.jobs >= can.job_limit:
        yield Finding(
            Level.WARNING,
            f"at most {can.job_limit} of your tasks may be in the system{have}: caf would wait for ends",
            "wait, or raise global_job_limit if your site allows it",
            section="limits",
        )
    else:
        yield Finding(
            Level.OK, f"at most {can.job_limit} of your tasks may be in the system{have}", section="limits"
        )
    if can.poll_interval is not None:
        yield Finding(
            Level.OK,
            f"the scheduler is asked every {span_text(can.poll_interval)}; exit records are read every "
            f"second, and may come {span_text(can.grace)} late",
            section="limits",
        )


def _plain(value: Any) -> str:
    if isinstance(value, timedelta):
        return span_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(_plain, value)) or "none"
    return "not known" if value is None or value == "" else str(value)


def _credentials(credentials: tuple[Credential, ...], now: float) -> Iterator[Finding]:
    for one in credentials:
        yield _credential(one, now)
    if credentials:
        yield Finding(Level.NOTE, PAUSES, section="credentials")
    else:
        yield Finding(
            Level.NOTE, "no Kerberos ticket, X.509 proxy or bearer token was found", section="credentials"
        )


def _credential(one: Credential, now: float) -> Finding:
    whose = f"{one.kind} {one.name}".strip()
    if one.expires is None:
        words = one.problem or "it does not say when it ends"
        return Finding(Level.WARNING, f"{whose}: {words}", section="credentials")
    left = one.expires - now
    renew = f"; it can be renewed for {_time(one.renewable_until - now)}" if one.renewable_until else ""
    if left <= 0:
        return Finding(Level.WARNING, f"{whose} has expired", "renew it", section="credentials")
    if left < SOON:
        return Finding(
            Level.WARNING, f"{whose} lives only {_time(left)} more{renew}", "renew it", section="credentials"
        )
    return Finding(Level.OK, f"{whose} lives {_time(left)} more{renew}", section="credentials")


def _time(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    return span_text(timedelta(minutes=minutes)) if minutes else f"{max(0, round(seconds))}s"
