"""Resident workers: what a service adds to every step, and how it bears many of them."""

from collections.abc import Iterator
from pathlib import Path

from measuring import program
from sizes import Sizes
from table import Row

ORIGINAL = "the original's workers ask every 10 s and its agent looks every 30 s"
AGENT, WORKER = 30.0, 10.0
"""The intervals of the original design [s]."""


def rows(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """All rows of this subject."""
    yield from _real(sizes)
    yield from _simulated(sizes)


def _real(sizes: Sizes) -> Iterator[Row]:
    found = program("resident_workers", sizes.crew, sizes.steps)
    who = f"{sizes.crew} workers on this machine"
    note = "trivial steps, SQLite, quorum 1; from one beginning to the next, the update's process included"
    yield Row(f"a step of {who}", (found["step"],), "s", 6.0, note=note)
    yield Row(f"steps a minute, {who}", (60 / found["step"],), "", 10, at_least=True)
    # The agent finds the last report half an interval later on average; the last of many workers hears of the
    # next step almost a whole interval after that.
    expected = AGENT / 2 + WORKER * sizes.crew / (sizes.crew + 1)
    yield Row("(the same in the original design)", (expected,), "s", note=f"computed: {ORIGINAL}")
    yield Row(f"from creation to the first step's quorum, {who}", (found["first"],), "s")
    yield Row(f"memory of service and agent, {who}", (found["service_bytes"] / 1e6,), "MB", 200)
    yield Row("memory of a worker", (found["worker_bytes"] / 1e6,), "MB")


def _simulated(sizes: Sizes) -> Iterator[Row]:
    found = program("simulated_workers", sizes.simulated)
    who = f"{sizes.simulated:,} simulated workers"
    note = f"{found['steps']} steps, {found['counted']:,} results counted, in {found['seconds']:.1f} s"
    yield Row(f"{who} hear of a step (p99)", (found["p99"],), "s", 1.0, note=note)
    yield Row(f"{who} hear of a step (median)", (found["median"],), "s")
    yield Row(f"memory of the service, {who}", (found["bytes"] / 1e6,), "MB")
