"""Functions that calls of the tests execute in wardens; found through ``CallRequest.path``."""

import os
import time
from pathlib import Path

IMPORTED = time.monotonic()


def wait_for(fifo: str, text: str = "on") -> str:
    """Say that it executes, and wait for a line."""
    Path(f"{fifo}.out").write_text(f"{text}\n")
    with Path(f"{fifo}.in").open() as stream:
        return stream.readline().strip()


def fail() -> None:
    raise LookupError('it\'s "quoted"')


def imported() -> float:
    return IMPORTED


def leave_child() -> int:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        while True:
            time.sleep(100)
    return pid


def surroundings() -> list[object]:
    """Session and group, and whether there is a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        terminal = "no terminal"
    else:
        terminal = "a terminal"
    return [os.getsid(0), os.getpgrp(), terminal]
