"""What follows from what the probe found on a node: pure."""

from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from math import ceil

from caf_core.control.doctor.facts import ProbeFacts
from caf_core.jobs.findings import Finding, Level

NODE, FILES = "node", "files"
LATE = 5.0
"""A file that takes longer to be seen is worth a word [s]."""
CLOCKS = 5.0
"""Clocks that differ by more are worth a word [s]."""
MARGIN = 4
"""By how much an allowance should exceed what was measured."""


def judge_probe(facts: ProbeFacts, grace: timedelta | None) -> Iterator[Finding]:
    """What follows from one task.

    Args:
        facts: What it found out.
        grace: How long exit records may take to be seen; ``None`` if there is no scheduler in between.
    """
    if not facts.values:
        yield _nothing(facts, scheduled=grace is not None)
        return
    where = f" as {facts.identity}" if facts.identity and grace is not None else ""
    user = f", user {facts.values['user']}" if "user" in facts.values else ""
    yield Finding(
        Level.OK,
        f"a task was executed on {facts.values.get('host') or facts.host}{where} after "
        f"{facts.waited:.1f} s ({facts.values.get('system', 'unknown system')}{user})",
        section=NODE,
    )
    yield _processors(facts)
    yield _memory(facts)
    yield from _python(facts)
    if facts.values.get("home") == "no":
        yield Finding(
            Level.NOTE, "your home directory is not there", "do not rely on ~ in tasks", section=NODE
        )
    other = facts.values.get("user")
    if other and facts.user and other != facts.user:
        yield Finding(
            Level.NOTE,
            f"tasks are executed as {other}, not as {facts.user}",
            "let that user read your input files and write your output directory",
            section=NODE,
        )
    yield from _files(facts, grace)


def _nothing(facts: ProbeFacts, *, scheduled: bool) -> Finding:
    """There is no word from the node."""
    if not facts.ended and not facts.refused:
        where = facts.state.replace("submitted", "waiting", 1) or "not submitted"
        return Finding(
            Level.WARNING,
            f"the probe did not end within {facts.waited:.0f} s; it was {where}",
            "wait longer with --wait, or choose a quicker queue with --backend-arg",
            section=NODE,
        )
    what = facts.refused or facts.state
    if "no Python" in what:
        return Finding(
            Level.PROBLEM,
            f"the probe was executed on {facts.host or 'a node'}, but {what}",
            "ask for nodes with Python 3.9 or later, or call caf with an interpreter that the nodes see too",
            section=NODE,
        )
    if "no exit record" in what:
        return Finding(
            Level.PROBLEM,
            f"the probe ended and left nothing in {facts.directory} ({what})",
            "if the nodes do not see this folder, choose one on a shared file system with -o, there and for "
            "your output",
            section=FILES,
        )
    remedy = "correct what the scheduler objects to, with --backend-arg or in caf.toml" if scheduled else ""
    return Finding(Level.PROBLEM, f"the probe failed: {what}", remedy, section=NODE)


def _processors(facts: ProbeFacts) -> Finding:
    found = facts.values.get("cpus", "")
    text = f"processors: {found or 'unknown'}, {facts.asked_cpus} asked for"
    if found.isdecimal() and int(found) < facts.asked_cpus:
        return Finding(Level.WARNING, text, "ask for as many as nodes have", section=NODE)
    if found.isdecimal() and int(found) > facts.asked_cpus:
        return Finding(Level.OK, f"{text}: the site does not tie tasks to processors", section=NODE)
    return Finding(Level.OK, text, section=NODE)


def _memory(facts: ProbeFacts) -> Finding:
    limit = _mb(facts.values.get("memory_bytes"), 1)
    machine = _mb(facts.values.get("machine_kb"), 1024)
    asked = f"{facts.asked_memory_mb} MB" if facts.asked_memory_mb else "nothing"
    if limit is None or (machine is not None and limit >= machine):
        text = f"memory: no limit is seen by the task, {asked} asked for"
        return Finding(Level.OK, text + (f"; the machine has {machine} MB" if machine else ""), section=NODE)
    text = f"memory: the task may use {limit} MB, {asked} asked for"
    if facts.asked_memory_mb and limit < 0.95 * facts.asked_memory_mb:
        return Finding(
            Level.WARNING, text, "the scheduler may count in another unit: ask your site", section=NODE
        )
    return Finding(Level.OK, text, section=NODE)


def _mb(text: str | None, unit: int) -> int | None:
    return int(text) * unit >> 20 if text and text.isdecimal() else None


def _python(facts: ProbeFacts) -> Iterator[Finding]:
    found, number = facts.values.get("python"), facts.values.get("python_version", "")
    if found is None:
        yield Finding(
            Level.PROBLEM, "no Python was found", "ask for nodes with Python 3.9 or later", section=NODE
        )
        return
    same = found == facts.python
    yield Finding(
        Level.OK if same else Level.NOTE,
        f"Python: {found}, version {number}" + ("" if same else f"; {facts.python} is not there"),
        section=NODE,
    )
    mine, caf = version("caf-core"), facts.values.get("caf", "")
    if same and caf == mine:
        yield Finding(Level.OK, f"caf-core {caf} is there: Python collectors work", section=NODE)
    else:
        why = f"it has caf-core {caf}, not {mine}" if caf[:1].isdecimal() else f"caf-core is not there: {caf}"
        yield Finding(
            Level.WARNING,
            f"Python collectors do not work there ({why if same else 'another interpreter'})",
            "install caf where the nodes see it under the same path, such as on a shared file system; "
            "collectors that are commands need nothing",
            section=NODE,
        )


def _files(facts: ProbeFacts, grace: timedelta | None) -> Iterator[Finding]:
    seen = facts.values.get("sees") == "yes"
    if not seen:
        yield Finding(
            Level.NOTE,
            f"{facts.directory} is not seen on the node; files were brought there and back",
            "collectors must not rely on paths of this machine",
            section=FILES,
        )
        return
    if facts.values.get("writes") != "yes":
        yield Finding(
            Level.PROBLEM,
            f"{facts.directory} is seen on the node, but cannot be written",
            "choose another folder with -o, there and for your output",
            section=FILES,
        )
        return
    yield Finding(Level.OK, f"{facts.directory} is seen and can be written on the node", section=FILES)
    yield from _latency(facts, grace)
    yield from _clock(facts)


def _latency(facts: ProbeFacts, grace: timedelta | None) -> Iterator[Finding]:
    if facts.round_trip is None:
        yield Finding(
            Level.WARNING,
            "a file that was written here was not seen on the node in time, or the other way round",
            "give exit records more time",
            {"grace": 300},
            FILES,
        )
        return
    slowest = max(facts.round_trip, facts.record_after or 0.0)
    words = f"a file and its answer took {facts.round_trip:.1f} s there and back"
    if facts.record_after is not None:
        words += f", and the exit record was read {facts.record_after:.1f} s after the task's end"
    if grace is not None and slowest * MARGIN > grace.total_seconds():
        more = ceil(slowest * MARGIN / 30) * 30
        yield Finding(
            Level.WARNING, f"{words}, which is slow", "give exit records more time", {"grace": more}, FILES
        )
    else:
        level = Level.NOTE if slowest > LATE else Level.OK
        yield Finding(level, words, section=FILES)


def _clock(facts: ProbeFacts) -> Iterator[Finding]:
    if facts.clock is None:
        return
    difference = f"{abs(facts.clock):.1f} s {'ahead of' if facts.clock > 0 else 'behind'} ours"
    if abs(facts.clock) - facts.clock_error > CLOCKS:
        yield Finding(
            Level.WARNING,
            f"the node's clock is {difference}",
            "times of tasks will be wrong by that; tell your site",
            section=FILES,
        )
    else:
        yield Finding(
            Level.OK,
            f"the node's clock agrees with ours to {max(facts.clock_error, abs(facts.clock), 0.1):.1f} s",
            section=FILES,
        )
