"""The lock of a submission, held by its submit command: an orphaned one is told from one that has ended."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "submit.lock"


@contextmanager
def holding(directory: Path) -> Iterator[int | None]:
    """Hold the lock of a submission; ``None`` on a file system without locks.

    The descriptor is meant to be inherited by the submit command. The lock is free when the body has ended
    without an error, whatever the command left behind; after an error, only when both the command and this
    process have let go.
    """
    descriptor = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield descriptor  # a command of an earlier attempt holds it; the claim on the node decides
        except OSError:
            yield None
        else:
            yield descriptor
            # What the command forked off may still hold a copy of the descriptor, and says nothing any more.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def is_free(directory: Path) -> bool:
    """Whether no submit command is at work for a submission, as far as can be told."""
    try:
        descriptor = os.open(directory / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return True
