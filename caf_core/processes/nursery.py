"""Where wardens come from: a zygote, the calls that wait for its wardens, and the line to each warden."""

import socket
from collections import deque

from caf_core.processes import zygote
from caf_core.processes.agenda import Call, Home
from caf_core.processes.protocol import Frames


class Nursery:
    """One zygote, the calls that wait for a warden of it, and the wardens that are being forked."""

    __slots__ = ("failures", "home", "line", "orders", "pid", "waiting")

    def __init__(self, home: Home) -> None:
        self.home = home
        self.pid = 0
        self.line: socket.socket | None = None
        self.waiting: deque[Call] = deque()
        self.orders: set[Line] = set()
        self.failures = 0

    def prepare(self) -> None:
        """Fork the zygote if there is none."""
        if self.line is None:
            module, preload, path = self.home
            # A module that kills the process that imports it shall kill the task and not every zygote.
            self.pid, self.line = zygote.start(module, preload if self.failures < 2 else (), path)

    def order(self) -> socket.socket:
        """Have a warden forked, from a new zygote if there is none."""
        for _ in range(2):
            self.prepare()
            assert self.line is not None  # noqa: S101 - tells the type checker what prepare did
            try:
                return zygote.order_warden(self.line)
            except OSError:
                self.close()
        raise OSError("the process that forks wardens dies at once")

    def close(self) -> None:
        """Let the zygote end."""
        if self.line is not None:
            self.line.close()
            self.line = None


class Line:
    """The resident's end of the line to one warden."""

    __slots__ = ("call", "connection", "deadline", "frames", "nursery", "pid")

    def __init__(self, connection: socket.socket, nursery: Nursery) -> None:
        self.connection = connection
        self.nursery = nursery
        self.frames = Frames()
        self.pid = 0
        self.call: Call | None = None
        self.deadline: float | None = None
