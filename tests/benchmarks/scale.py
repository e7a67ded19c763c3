"""What grows with the number of tasks or runs: memory, restart, polling, submission, decisions."""

import tempfile
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from measuring import program
from sizes import Sizes
from table import Row

ARRAY_LIMIT = 1_000


def rows(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """All rows of this subject."""
    yield from _memory(sizes)
    for size in sizes.restarts:
        yield _restart(size, sizes, folder)
    yield from _polling(sizes)
    for size in sizes.submitted:
        yield from _submission(size, sizes)
    yield from _decisions(sizes)


def _memory(sizes: Sizes) -> Iterator[Row]:
    size = sizes.tracked
    answers = [program("memory", size) for _ in range(sizes.long_rounds)]
    note = "growth of the controller's resident memory from an empty service to all tasks executing"
    each = tuple(answer["bytes"] / size for answer in answers)
    total = tuple(answer["bytes"] / 1e6 for answer in answers)
    yield Row(f"memory a tracked task ({size:,} tasks)", each, "B", 1000, note=note)
    yield Row(f"memory for {size:,} tasks", total, "MB", 100, note=note)


def _restart(size: int, sizes: Sizes, folder: Path) -> Row:
    directory = tempfile.mkdtemp(dir=folder)
    program("restart", "prepare", directory, size)
    answers = [program("restart", "resume", directory, size) for _ in range(sizes.long_rounds)]
    return Row(
        f"restart with {size:,} tasks",
        tuple(answer["seconds"] for answer in answers),
        "s",
        1.0 if size <= 10_000 else 5.0,
        note="from opening the checkpoint until all records on disk and the scheduler's answer are taken in; "
        "half of the tasks had ended unseen, the others execute at a scheduler that answers at once",
    )


def _polling(sizes: Sizes) -> Iterator[Row]:
    size = sizes.polled
    answer = program("polling", size, sizes.rounds)
    note = "the service's own work for one answer of a scheduler, without the scheduler"
    yield Row(f"polling {size:,} states, nothing new", tuple(answer["same"]), "ms CPU", 50, note=note)
    yield Row(f"polling {size:,} states, all new", tuple(answer["new"]), "ms CPU", note=note)


def _submission(size: int, sizes: Sizes) -> Iterator[Row]:
    answers: list[dict[str, Any]] = [
        program("submission", size, ARRAY_LIMIT) for _ in range(sizes.long_rounds)
    ]
    note = (
        f"a scheduler of arrays of {ARRAY_LIMIT:,} that answers at once; files, intents and ids are written"
    )
    what = f"submitting {size:,} tasks to a scheduler"
    yield Row(f"{what}: commands", tuple(a["commands"] for a in answers), "", ceil(size / ARRAY_LIMIT))
    yield Row(f"{what}: client's time", tuple(a["seconds"] for a in answers), "s", 0.3 if size <= 1000 else 1)
    yield Row(f"{what}: transactions", tuple(a["commits"] for a in answers), "", note=note)


def _decisions(sizes: Sizes) -> Iterator[Row]:
    size = sizes.runs
    answer = program("strategies", size, sizes.long_rounds)
    for name, values in answer.items():
        yield Row(f"{name}: a decision over {size:,} runs", tuple(values), "µs", 10, note=DECISIONS)


DECISIONS = "time of the plan / requests that it made (or runs, if there are more); the answers cost nothing"
