"""The life of a warden in the resident process: take a call, execute it, leave nothing behind, report.

A call arrives as ``{"function": "module:function", "arguments": {...}}``. The answer is one byte and a JSON
value: ``V`` and what the function returned, or ``E`` and a sentence. The first message is ``H`` and the
    process id.
"""

# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import importlib
import json
import os
import socket
import sys

from caf_core.processes import subreaper
from caf_core.processes.protocol import Channel, dumps

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from typing import NoReturn


def serve(connection: socket.socket) -> NoReturn:
    """Execute calls until the resident process closes the connection."""
    code = 1
    try:
        subreaper.become_subreaper()
        subreaper.follow_parent()
        # A forked task must not keep the line to the resident open.
        os.register_at_fork(after_in_child=connection.close)
        channel = Channel(connection)
        channel.send(b"H" + dumps(os.getpid()))
        while (body := channel.receive()) is not None:
            answer = _execute(body)
            subreaper.kill_descendants(subreaper.Ended())
            channel.send(answer)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the resident is gone; what was to be said stands in the records
    finally:
        sys.stderr.flush()
        os._exit(code)


def _execute(body: bytes) -> bytes:
    message = json.loads(body)
    try:
        module, _, name = message["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        return b"V" + dumps(function(**message["arguments"]))
    except BaseException as error:  # whatever it is, it ends the call and not the warden
        return b"E" + dumps(f"{type(error).__name__}: {error}")
