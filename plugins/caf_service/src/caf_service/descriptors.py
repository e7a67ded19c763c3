"""How many connections a process may hold."""

import logging
import resource

log = logging.getLogger("caf.service")

WANTED = 65_536
"""More open files than that are of no use, and some programs go through all that they may have."""

RESERVED = 128
"""Open files that no connection may take: the database, logs, results on their way to the disk, pipes."""

FEW = 1_000
"""With fewer connections than that, people are told."""


def room_for_connections() -> int:
    """Let this process open as many files as it may, and count what that leaves for connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    room = max(1, (WANTED if soft == resource.RLIM_INFINITY else soft) - RESERVED)
    if room < FEW:
        log.warning(
            "this process may open %d files, which leaves %d for connections, one a worker; for more, raise "
            "the hard limit (ulimit -Hn) before the service is started.",
            soft,
            room,
        )
    return room
