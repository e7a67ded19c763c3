"""Who is killed: the controller, its group, the resident process, a supervisor, a task, or everything."""

import os
import random
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from caf_core.processes import registration, tree

Pick = Callable[[int, Path, random.Random], list[int]]
"""Given the controller, the output directory and chance, the processes to kill; none if there is none now."""


def resident_of(output: Path) -> int:
    """The resident process of an output directory, 0 if none lives."""
    entry = registration.read(str(output / ".caf" / "resident"))
    return int(entry["pid"]) if entry and registration.is_alive(entry) else 0


def _controller(controller: int, _: Path, __: random.Random) -> list[int]:
    return [controller]


def _group(controller: int, _: Path, __: random.Random) -> list[int]:
    return [pid for pid in [controller, *tree.descendants(controller)] if _group_of(pid) == controller]


def _resident(_: int, output: Path, __: random.Random) -> list[int]:
    return [pid] if (pid := resident_of(output)) else []


def _supervisor(_: int, output: Path, chance: random.Random) -> list[int]:
    resident = resident_of(output)
    children = tree.children(resident) if resident else []
    return [chance.choice(children)] if children else []


def _task(_: int, output: Path, chance: random.Random) -> list[int]:
    resident = resident_of(output)
    below = [one for child in tree.children(resident) for one in tree.children(child)] if resident else []
    tasks = [pid for pid in below if _group_of(pid) == pid]
    return [chance.choice(tasks)] if tasks else []


def _everything(controller: int, output: Path, _: random.Random) -> list[int]:
    resident = resident_of(output)
    found = [controller, *tree.descendants(controller)]
    return [*found, *([resident, *tree.descendants(resident)] if resident else [])]


KINDS: dict[str, Pick] = {
    "controller": _controller,
    "its group": _group,
    "resident": _resident,
    "supervisor": _supervisor,
    "task": _task,
    "everything": _everything,
}

MAY_REPEAT = {"resident": 2, "supervisor": 1, "task": 1, "everything": 2}
"""How many tasks may be executing, and so be executed again, when such a kill strikes; other kinds: none."""


def _group_of(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def kill(pids: list[int]) -> None:
    """Kill processes, one right after the other."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def clear(process: "subprocess.Popen[str]", output: Path) -> None:
    """Leave nothing of a round."""
    resident = resident_of(output)
    members = [process.pid, resident] if resident else [process.pid]
    kill([one for member in members for one in [*tree.descendants(member), member]])
    process.communicate()
