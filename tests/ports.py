"""Ports of services that have to be found again where they were."""

import os
import random
import socket
from contextlib import suppress

FIRST, END = 22_000, 32_000
"""Below the ports that the kernel gives to whoever names none, and above those of the real schedulers."""
SHARES = 16
"""So many processes of the tests have ports of their own."""

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that nobody is given while its service is away.

    A port of the kernel's choice would be anybody's as soon as it is let go of.
    """
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
    ports = [port for port in range(FIRST + share, END, SHARES) if port not in _given]
    for port in random.sample(ports, len(ports)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise OSError(f"no port from {FIRST} to {END - 1} is free")
