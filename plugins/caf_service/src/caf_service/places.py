"""How many workers a machine has room for."""

import os
from pathlib import Path

from caf_core.jobs.local import usable_processors

PER_PROCESSOR = 8
"""Workers mostly wait for one another, so there may be more of them than processors."""
LEAST = 4
WORKER = 256 << 20
"""What a worker is thought to need where nothing else is known [bytes]."""
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def local_places() -> int:
    """How many workers may be executed on this machine at a time: by its processors, and by its memory."""
    return max(LEAST, min(PER_PROCESSOR * usable_processors(), _memory() // WORKER))


def _memory() -> int:
    """The memory that this process and others of its group may use [bytes]."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = _CGROUP.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return memory
    return min(memory, int(limit)) if limit.isdecimal() else memory
