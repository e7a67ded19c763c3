"""Resident workers: what a service adds to every step, and how it bears many of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from measuring import program
from sizes import Sizes
from table import Row

AGENT, WORKER = 30.0, 10.0
"""How often the original's agent looks for reports, and how often its workers ask for work [s]."""


def rows(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """All rows of this subject."""
    yield from _real(sizes)
    yield from _simulated(sizes)


def _real(sizes: Sizes) -> Iterator[Row]:
    found = program("resident_workers", sizes.crew, sizes.steps)
    who = f"{sizes.crew} workers on this machine"
    note = "SQLite, trivial steps, quorum 1; from beginning to beginning: the work, the reports, the update"
    yield Row(f"steps a minute, {who}", (60 / found["step"],), "", 10, at_least=True, note=note)
    yield Row(f"a step of {who}", (found["step"],), "s", note=note)
    yield Row(
        "(what the original design would wait in a step)",
        (original_wait(sizes.crew),),
        "s",
        note=f"computed, not measured: its agent looks every {AGENT:g} s, so that the last report waits half "
        f"of that on average; its workers ask every {WORKER:g} s, so that the last one of N hears of the "
        f"next step N/(N + 1) of that after its beginning; without the work, the reports and the update",
    )
    yield Row(f"from creation to the first step's quorum, {who}", (found["first"],), "s")
    yield Row(f"memory of service and agent, {who}", (found["service_bytes"] / 1e6,), "MB", 200)
    yield Row("memory of a worker", (found["worker_bytes"] / 1e6,), "MB")


def original_wait(workers: int) -> float:
    """What the intervals of the original design add to a step [s]: from the last report until the agent finds
    it, and until the last worker hears of the next step.
    """
    return AGENT / 2 + WORKER * workers / (workers + 1)


def _simulated(sizes: Sizes) -> Iterator[Row]:
    found = [program("simulated_workers", sizes.simulated) for _ in range(sizes.long_rounds)]

    def row(what: str, name: str, unit: str = "", budget: float | None = None, *, per: float = 1.0) -> Row:
        values = tuple(one[name] / per for one in found)
        return Row(what, values, unit, budget, note=note if budget is not None else "")

    counted = " and ".join(f"{one['counted']:,}" for one in found)
    database = "PostgreSQL" if os.environ.get("CAF_POSTGRESQL_URL") else "SQLite"
    note = (
        f"{database}, quorum 1, {found[0]['steps']} steps without any work, so that all report and ask at "
        f"once; {counted} results counted"
    )
    who = f"{sizes.simulated:,} simulated workers"
    yield row(f"{who} hear of a step after its beginning (p99)", "p99", "s", 1.0)
    yield row(f"{who} hear of a step after its beginning (median)", "median", "s")
    yield row(f"errors, {who}", "errors", budget=0)
    yield row(f"results not counted exactly once, {who}", "wrong", budget=0)
    yield row(f"until all have reported, {who}", "reporting", "s")
    yield row(f"service's CPU for a poll and a report, {who}", "cpu", "ms", per=1e-3)
    yield row(f"memory of the service, {who}", "bytes", "MB", 200, per=1e6)
