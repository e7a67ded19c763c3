"""Real processes, and a check that none of them, and no file descriptor, is left over."""

import contextlib
import json
import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from caf_core.processes import subreaper, tree
from caf_core.processes.calls import CallEvent, CallRequest
from caf_core.processes.client import ResidentClient
from caf_core.testing.bench import wait_until

PATIENCE = 120.0


def await_death(pid: int, timeout: float = PATIENCE) -> bool:
    """Wait until a process has ended; whether it did."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)


@pytest.fixture
def dies() -> Callable[..., bool]:
    return await_death


def living() -> set[int]:
    return {pid for pid in tree.descendants(os.getpid()) if tree.start_time(pid) is not None}


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Orphans become our children, so none can hide; at the end there must be none, and no new open file."""
    subreaper.prctl(subreaper.SET_CHILD_SUBREAPER, 1)
    processes, files = living(), open_files()
    yield
    for pid in living() - processes:
        assert await_death(pid), f"left over: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
    for pid in tree.children(os.getpid()):
        if pid not in processes:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
    wait_until(lambda: open_files() == files, PATIENCE, "all that was opened is closed")


class Fifo:
    """Where a task tells that it got somewhere, and where it can be told to go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def read(self, timeout: float = PATIENCE) -> str:
        """One message of a task; a failure if none comes."""
        assert select.select([self._fd], [], [], timeout)[0], f"nothing came through {self.path.name}"
        return os.read(self._fd, 4096).decode().strip()

    def is_told(self) -> bool:
        """Whether there is something to read."""
        return bool(select.select([self._fd], [], [], 0)[0])

    def words(self, count: int) -> list[str]:
        """As many words as that, of one task or several."""
        found: list[str] = []
        while len(found) < count:
            found += self.read().split()
        return found

    def write(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Callable[[str], Fifo]]:
    made: list[Fifo] = []

    def make(name: str) -> Fifo:
        made.append(Fifo(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.close()


class House:
    """A resident process, a client of it, and what was heard."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.options = {"slots": 2, "idle_timeout": 60.0} | options
        self.events: dict[str, CallEvent] = {}
        self.lost = threading.Event()
        self._changed = threading.Condition()
        self._submissions = 0
        self.client = self.start()

    def start(self) -> ResidentClient:
        self.lost.clear()
        self.client = ResidentClient.start(self.folder / "resident", **self.options)
        self.client.listen(self._hear, self.lost.set)
        return self.client

    def _hear(self, events: list[CallEvent]) -> None:
        with self._changed:
            self.events.update({event.key: event for event in events})
            self._changed.notify_all()

    def wait(self, *keys: str, kinds: tuple[str, ...] = ("ended", "lost", "cancelled")) -> list[CallEvent]:
        """Wait until the calls are in one of these states."""

        def there() -> bool:
            return all(key in self.events and self.events[key].kind in kinds for key in keys)

        with self._changed:
            assert self._changed.wait_for(there, PATIENCE), f"not {kinds}: {keys}, heard {self.events}"
            return [self.events[key] for key in keys]

    def call(self, key: str, function: str, group: str = "g", **arguments: Any) -> None:
        self.client.submit([CallRequest(key=key, group=group, function=function, arguments=arguments)])

    def submission(self, *specs: dict[str, Any]) -> Path:
        """Write the directory of a submission."""
        self._submissions += 1
        directory = self.folder / f"submission{self._submissions}"
        for name in ("claims", "records"):
            (directory / name).mkdir(parents=True)
        defaults = {"attempt": 0, "token": "t1", "cpus": 1, "call": None, "argv": [], "input_files": []}
        defaults |= {"setup_cmds": [], "sandbox": [], "json_files": {}, "env": {}, "output_patterns": []}
        offset = 0
        with (
            (directory / "manifest.jsonl").open("wb") as lines,
            (directory / "manifest.idx").open("wb") as idx,
        ):
            for task, spec in enumerate(specs):
                output = {"task": task, "output_dir": str(directory / "out" / str(task))}
                line = json.dumps(defaults | output | spec).encode() + b"\n"
                idx.write(b"%020d\n" % offset)
                offset += lines.write(line)
        return directory

    def submit(self, *specs: dict[str, Any], preload: tuple[str, ...] = (), **arguments: Any) -> list[str]:
        """Have tasks executed; their keys."""
        directory = self.submission(*specs)
        keys = [f"{directory.name}.{position}" for position in range(len(specs))]
        self.client.submit(
            [
                CallRequest(
                    key=key,
                    group=directory.name,
                    function="caf_core.jobs.node:execute_task",
                    arguments={"directory": str(directory), "position": position, "in_process": True}
                    | arguments,
                    preload=preload,
                )
                for position, key in enumerate(keys)
            ]
        )
        return keys

    def execute(self, *, preload: tuple[str, ...] = (), **spec: Any) -> tuple[dict[str, Any], Path]:
        """Execute one task; its record and the attempt's folder."""
        (key,) = self.submit(spec, preload=preload)
        (event,) = self.wait(key)
        assert event.kind == "ended" and not event.error, event
        directory = self.folder / key.rpartition(".")[0]
        record = json.loads((directory / "records" / "0.json").read_text())
        assert record == event.value
        return record, Path(spec.get("output_dir", directory / "out" / "0")) / "attempt-0"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.client.shutdown(kill=True)
    assert (tmp_path / "resident" / "resident.log").read_text() == ""
