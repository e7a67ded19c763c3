"""The process from which wardens are forked: what it has imported, every task finds there.

A zygote gets sockets from the resident process, one a warden, and forks twice for each: the warden becomes a
child of the resident, which alone collects exit statuses.
"""

# ruff: noqa: PTH208
# pathlib takes longer to import than all else here together, and os serves as well.

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Sequence

from caf_core.processes import subreaper
from caf_core.processes.serving import serve

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def start(module: str, preload: Sequence[str], path: Sequence[str]) -> tuple[int, socket.socket]:
    """Fork a zygote from this process.

    Args:
        module: Where the functions of the calls are; imported first.
        preload: Modules to import; what fails to import is left for the tasks to report.
        path: Folders for the front of ``sys.path``.
    Returns:
        Its process id, and the socket for ``order_warden``.
    """
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid:
        its.close()
        return pid, ours
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        _close_all_but(its.fileno())
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        subreaper.follow_parent()
        _import(module, preload, path)
        _wait_for_orders(its)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def order_warden(zygote: socket.socket) -> socket.socket:
    """Have a zygote fork a warden; return our end of the line to it.

    Raises:
        OSError: If the zygote is dead.
    """
    ours, its = socket.socketpair()
    try:
        socket.send_fds(zygote, [b"w"], [its.fileno()])
    except OSError:
        ours.close()
        raise
    finally:
        its.close()
    return ours


def enable_site() -> None:
    """Give a process that was started without site-packages what an ordinary interpreter has."""
    if sys.flags.no_site and not hasattr(sys, "_caf_site"):
        import site

        site.main()
        sys._caf_site = True  # type: ignore[attr-defined] # remembered where a fork inherits it


def _import(module: str, preload: Sequence[str], path: Sequence[str]) -> None:
    if preload or path:
        enable_site()
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # libraries read them when they are imported
    sys.path[:0] = path
    for name in (module, *preload):
        # A task that needs the module imports it again and shows the error where its user looks.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    if preload:
        gc.collect()
    gc.freeze()  # the collector would touch, and so copy, the pages that are shared with the tasks


def _wait_for_orders(orders: socket.socket) -> None:
    while True:
        data, fds, _, _ = socket.recv_fds(orders, 1, 1)
        if not data:
            return
        adopted, adopting = os.pipe()
        between = os.fork()
        if between == 0:
            if os.fork():
                os._exit(0)
            orders.close()
            os.close(adopting)
            # Until the process between is gone, its end would pass for the end of the resident.
            os.read(adopted, 1)
            os.close(adopted)
            serve(socket.socket(fileno=fds[0]))
        os.waitpid(between, 0)
        for fd in (adopting, adopted, fds[0]):
            os.close(fd)


def _close_all_but(keep: int) -> None:
    # Sockets of clients and other wardens: as long as a copy is open, nobody sees the other end close.
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd != keep:
            with contextlib.suppress(OSError):
                os.close(fd)
