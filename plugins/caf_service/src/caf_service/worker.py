"""``caf worker``: stays on its node for a whole calibration, and does one step of it after the other.

It has one thread. While it waits, a request waits in the service; while a step is done in a child process it
waits for the child. It survives a service that is away, and ends when the calibration has ended, when its
token is revoked, or at its time limit.
"""

import argparse
import logging
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from caf_core.errors import CafError
from caf_service.child import Child
from caf_service.endings import EXCUSED, End, Ending
from caf_service.errand import Errand, digest
from caf_service.heeding import Heed
from caf_service.patience import AbandonedError, Patience
from caf_service.stepping import perform, result_of, tail_of, warm
from caf_service.transport import Address, RefusedError, ServiceError, Transport, UnreachableError

log = logging.getLogger("caf.worker")

MESSAGE = 2000
"""So much of a message is told."""
UPLOADS = 5
"""How often a result is sent that arrives damaged."""
ALARM = 30.0
"""So long after its time limit a step is ended by the kernel, if the worker does not do it [s]."""
QUICKEST = 1.0
"""A service that tells a worker to wait, and does not let it wait, is asked no oftener than this [s]."""


@frozen
class Terms:
    """What a worker keeps to.

    Args:
        time_limit: How long it may stay [s]; ``None`` for as long as it takes.
        patience: For how long the service may be away [s].
        wait: How long one request for work may wait in the service [s].
    """

    time_limit: float | None = None
    patience: float = 2700.0
    wait: float = 25.0


@define
class Worker:
    """One resident worker.

    Args:
        transport: The way to the service.
        directory: Where it works.
        terms: What it keeps to.
        clock: Tells the time [s].
        sleep: Waits for so many seconds of that time.
        heed: Hears of signals that ask it to end.
    """

    transport: Transport
    directory: Path
    terms: Terms = field(factory=Terms)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    heed: Heed = field(factory=Heed)
    _until: float = field(init=False)
    _patience: Patience = field(init=False)
    _child: Child | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        limit = self.terms.time_limit
        self._until = float("inf") if limit is None else self.clock() + limit
        self._patience = Patience(self.terms.patience, pause=self._pause, clock=self.clock)

    def run(self) -> Ending:
        """Work until there is a reason to end; everything that it started has ended then."""
        serial = 0
        try:
            with self.heed.waiting():
                errand = Errand.fetch(self.transport, self._patience, self.directory / "inputs")
            warm(errand.plan.work or errand.plan.command)
            while True:
                told = self._work_after(serial, min(self.terms.wait, errand.heartbeat))
                if told["kind"] == "end":
                    raise End(Ending.OVER, f"the calibration is {told['reason']}")
                serial = told["serial"]
                self._step(errand, told)
        except End as end:
            log.info("worker ends: %s", end)
            if end.ending in (Ending.FAILED, Ending.TIME_LIMIT, Ending.SIGNALLED):
                self._complain(serial, str(end), end.ending)
            return end.ending
        except AbandonedError as error:
            log.error("worker ends: %s", error)
            return Ending.ABANDONED
        except RefusedError as error:
            log.error("worker ends: %s", error)
            if error.status == 401:
                return Ending.REVOKED
            self._complain(serial, f"the service refused a request ({error.status}): {error}")
            return Ending.FAILED
        except (CafError, OSError) as error:
            log.error("worker ends: %s", error)
            self._complain(serial, str(error))
            return Ending.FAILED
        finally:
            if self._child is not None:
                self._child.end()

    def _work_after(self, serial: int, patience: float) -> Any:
        """What comes after a step; waits for it in the service, where this is a sign of life too."""
        while True:
            self._check_time()
            began = self.clock()
            wait = max(1.0, min(patience, self._until - began))
            told = self._ask(lambda: self.transport.get("/worker/work", after=serial, wait=wait))  # noqa: B023 - asked at once
            if told["kind"] != "wait":
                return told
            quick = QUICKEST - (self.clock() - began)
            if quick > 0:
                self._pause(quick)

    def _step(self, errand: Errand, told: Any) -> None:
        """Do a step and report its result."""
        home = self.directory / "steps" / str(told["serial"])
        shutil.rmtree(home, ignore_errors=True)
        (home / "work").mkdir(parents=True)
        work = errand.work(told, home / "work")
        answer = home / "answer.json"
        function = partial(perform, errand.plan.work, errand.plan.command, work, answer)
        # A little later than this process would end it, which says why.
        limit = self._until - self.clock() + ALARM
        self._child = Child(function, work.directory, home / "log", limit)
        state = f"{told['stage']}.{told['phase']}"
        while not self._wait(self._child, errand.heartbeat):
            self._check_time()
            self._live(state, told["serial"])
        code, self._child = self._child.poll(), None
        if code != 0:
            how = f"exit code {code}" if code is not None and code > 0 else f"signal {-(code or 0)}"
            # Of an error in Python that is the error itself.
            last = tail_of(home / "log").strip().rpartition("\n")[2][:500]
            words = f"step {told['serial']} ({state}) ended with {how}"
            raise End(Ending.FAILED, f"{words}: {last}" if last else words)
        self._report(told["serial"], result_of(answer, work))
        shutil.rmtree(home, ignore_errors=True)

    def _wait(self, child: Child, seconds: float) -> bool:
        with self.heed.waiting():
            return child.wait(min(seconds, max(0.0, self._until - self.clock())))

    def _ask(self, request: Callable[[], Any]) -> Any:
        with self.heed.waiting():
            return self._patience.ask(request)

    def _live(self, state: str, serial: int) -> None:
        """Give a sign of life; a service that is away now will ask for no reason."""
        try:
            with self.heed.waiting():
                told = self.transport.post("/worker/heartbeat", {"state": state[:40], "serial": serial})
        except UnreachableError:
            return
        except RefusedError as error:
            if error.passing:
                return
            raise
        if told["kind"] == "end":
            raise End(Ending.OVER, f"the calibration is {told['reason']}")

    def _report(self, serial: int, result: Path) -> None:
        """Send a result; the service says whether it counts."""
        checksum = digest(result)
        for attempt in range(UPLOADS):
            try:
                told = self._ask(
                    lambda: self.transport.put_file(f"/worker/results/{serial}", result, sha256=checksum)
                )
            except RefusedError as error:
                if error.status == 409:
                    # Its database was restored from a backup: it wants an earlier step again.
                    log.warning("the result of step %s is not wanted: %s", serial, error)
                    return
                if error.status != 400 or attempt == UPLOADS - 1:
                    raise
                log.warning("the result of step %s is sent again: %s", serial, error)
                self._pause(1.0 + attempt)
            else:
                log.info("the result of step %s: %s", serial, told["status"])
                return

    def _complain(self, serial: int, message: str, ending: Ending = Ending.FAILED) -> None:
        """Tell the service of a failure, if it can be told; the agent finds out by itself otherwise."""
        tail = tail_of(self.directory / "steps" / str(serial) / "log")
        sys.stderr.write(f"{message}\n{tail}")
        try:
            content = {
                "serial": serial,
                "message": message[:MESSAGE],
                "log": tail,
                "excused": ending in EXCUSED,
            }
            # Who ends it from outside does not wait for long.
            Patience(30.0 if ending is Ending.FAILED else 2.0).ask(
                lambda: self.transport.post("/worker/failure", content)
            )
        except ServiceError as error:
            log.warning("the service was not told of the failure: %s", error)

    def _check_time(self) -> None:
        if self.clock() >= self._until:
            limit = f"the worker's time limit of {self.terms.time_limit:g} s is reached"
            raise End(Ending.TIME_LIMIT, limit)

    def _pause(self, seconds: float) -> None:
        self._check_time()
        self.sleep(min(seconds, max(0.0, self._until - self.clock())))
        self.heed.check()


def address_of(url: str, url_file: Path | None, token_file: Path, certificate: Path | None) -> Address:
    """Where the service is; files are read anew each time, because a service may move."""
    try:
        where = url if url_file is None else url_file.read_text(encoding="utf-8").strip()
        return Address(where, token_file.read_text(encoding="utf-8").strip(), certificate)
    except OSError as error:
        raise UnreachableError(f"{error.filename} cannot be read ({error.strerror})") from error


def main(arguments: Sequence[str] | None = None, *, make: Callable[..., Worker] = Worker) -> int:
    """Be a worker in the current directory.

    Args:
        arguments: The command line.
        make: Makes the worker.
    """
    parser = argparse.ArgumentParser(
        prog="caf worker", description="Work for a calibration of a caf service."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", default="", help="address of the service")
    where.add_argument("--url-file", type=Path, help="file with the address, read whenever it connects")
    parser.add_argument("--token-file", type=Path, required=True, help="file with the worker's token")
    parser.add_argument("--certificate", type=Path, help="certificates that are trusted (TLS)")
    parser.add_argument("--time-limit", type=float, help="end after so many seconds")
    patience = "how long the service may be away [s]"
    parser.add_argument("--patience", type=float, default=Terms().patience, help=patience)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    address = partial(
        address_of, options.url, options.url_file, options.token_file.absolute(), options.certificate
    )
    transport = Transport(address)
    terms = Terms(options.time_limit, options.patience)
    worker = make(transport, Path.cwd(), terms)
    signal.signal(signal.SIGTERM, worker.heed.hear)
    return int(worker.run())


if __name__ == "__main__":
    sys.exit(main())
