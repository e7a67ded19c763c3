"""Tasks on this machine, executed by a resident process that outlives the controller."""

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from caf_core.errors import BackendError, ConfigurationError, SubmissionError
from caf_core.jobs.backend import Backend, Capabilities, Notify, Report, Submission
from caf_core.jobs.batch.settings import Setting, checked
from caf_core.jobs.files import preload_of
from caf_core.jobs.residence import Residence, key_of, report_of
from caf_core.jobs.task import Call
from caf_core.processes.calls import CallRequest, ResidentError

log = logging.getLogger("caf.jobs")

EXECUTE = "caf_core.jobs.node:execute_task"
OF_ALL = "max_processes"
"""The argument that the backend has; it is not one of a job."""
_CAPABILITIES = Capabilities(
    array_limit=None,
    job_limit=None,
    poll_interval=None,
    grace=timedelta(0),  # the record is written on this machine before the ending is told
    find_again_after=None,
    needs_script=False,
)


class ResidentBackend(Backend):
    """Executes tasks on this machine; the core uses it for algorithms, and ``Local`` of caf-local is one.

    Args:
        max_processes: How many tasks are executed at the same time; one a
            processor that may be used, if left out.
        residence: The resident process to use, shared with other backends; it may also be set before the
            first submission. By default the backend has one of its own, which is not found again after a
            restart.
        backend_args: May hold ``max_processes`` too; jobs have no arguments for this backend.

    Raises:
        ConfigurationError: If ``backend_args`` holds anything else, or no process is left.
    """

    def __init__(
        self,
        max_processes: int | None = None,
        *,
        residence: Residence | None = None,
        backend_args: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(backend_args=backend_args)
        self._warned: set[str] = set()
        checked(self.backend_args, self.known_args(), self._name)
        self._counted = max_processes is not None or OF_ALL in self._chosen
        # It is no argument of a job, and those of the backend are merged into a job's.
        given = self.backend_args.pop(OF_ALL, None)
        wanted = given if max_processes is None else max_processes
        self._max_processes = _checked(usable_processors() if wanted is None else wanted)
        self._residence: Residence | None = None
        self._notify: Notify = _nobody
        self.residence = residence

    @classmethod
    def known_args(cls) -> Mapping[str, Setting]:
        """What a configuration file may set; jobs have no arguments for this backend."""
        return {OF_ALL: Setting((int,), "how many tasks are executed at the same time")}

    def configure(self, args: Mapping[str, Any], *, overrule: bool = False) -> None:
        """Take ``max_processes`` from outside."""
        checked(args, self.known_args(), self._name)
        super().configure({key: value for key, value in args.items() if key != OF_ALL}, overrule=overrule)
        number = args.get(OF_ALL)
        if number is not None and (overrule or not self._counted):
            self.max_processes = number

    def check_args(self, backend_args: Mapping[str, Any]) -> None:
        """Warn of arguments of a job that are for another backend: a script that is meant for a batch system
        may be tried here without a change.

        Raises:
            ConfigurationError: If it is what can be chosen for all tasks together only.
        """
        known = {key: one for key, one in self.known_args().items() if key != OF_ALL}
        if known:
            checked(backend_args, known, self._name)
        elif OF_ALL in backend_args:
            raise ConfigurationError(
                f"{OF_ALL} of {self._name} is for all tasks together; give it to the backend, such as "
                f"{type(self).__name__}({OF_ALL}=2), set it in [backends.{self._name}] of caf.toml, or give "
                f"--backend-arg {OF_ALL}=2."
            )
        for key in sorted(backend_args.keys() - known.keys() - self._warned):
            self._warned.add(key)
            log.warning(
                "%s has no backend argument %r; it is not used for tasks on this machine.", self._name, key
            )

    @property
    def _name(self) -> str:
        """Its name for people."""
        return type(self).__name__.lower()

    @property
    def max_processes(self) -> int:
        """How many tasks are executed at the same time; may be changed at any time, and what executes goes
        on.
        """
        return self._max_processes

    @max_processes.setter
    def max_processes(self, number: int) -> None:
        self._max_processes = _checked(number)
        if self._residence is not None:
            self._residence.slots = number

    @property
    def residence(self) -> Residence | None:
        """The resident process that is used; to be set before the first submission."""
        return self._residence

    @residence.setter
    def residence(self, residence: Residence | None) -> None:
        self._residence = residence
        if residence is not None:
            residence.slots = self._max_processes

    def capabilities(self) -> Capabilities:
        """It tells of every ending itself, takes any number of tasks, and knows for certain what it has."""
        return _CAPABILITIES

    def attach(self, notify: Notify) -> None:
        """Take the callback of the core."""
        self._notify = notify
        self._home().enter(self)

    def start(self, submission: Submission) -> Sequence[str]:
        """Hand the tasks to the resident process."""
        home = self._home()
        try:
            home.start()
        except ResidentError as error:
            raise SubmissionError(str(error)) from error
        token, directory = submission.token, str(submission.directory)
        ids = [key_of(token, position) for position in range(submission.size)]
        walltime = submission.resources.walltime
        calls = [
            CallRequest(
                key=identity,
                group=token,
                function=EXECUTE,
                arguments={
                    "directory": directory,
                    "position": position,
                    "scheduler_id": identity,
                    "in_process": True,
                },
                preload=submission.preload,
                path=submission.path,
                limit=None if walltime is None else walltime.total_seconds(),
            )
            for position, identity in enumerate(ids)
        ]
        try:
            home.submit(token, calls, submission.size, self._notify)
        except ResidentError as error:
            raise BackendError(str(error), transient=True) from error
        return ids

    def prepare(self, call: Call) -> None:
        """Have the resident process started, and what such calls need imported, before there are any."""
        # What is wrong with it is told when there is something to execute.
        with contextlib.suppress(ResidentError):
            self._home().start().prepare(EXECUTE, preload=preload_of(call), path=call.path)

    def poll(self, ids: Sequence[str]) -> Mapping[str, Report]:
        """The states of the tasks that the resident process knows; the core does not need to ask."""
        try:
            client = self._home().attach()
            states = {} if client is None else client.states()
        except ResidentError as error:
            raise BackendError(str(error), transient=True) from error
        wanted = set(ids)
        return {key: report_of(event) for key, event in states.items() if key in wanted}

    def cancel(self, ids: Sequence[str]) -> None:
        """End tasks with everything that they started."""
        try:
            self._home().cancel(ids)
        except ResidentError as error:
            raise BackendError(str(error), transient=True) from error

    def find(self, token: str) -> Mapping[int, str]:
        """The tasks that are queued or executing; of those that have ended the core is told at once."""
        try:
            known = self._home().find(token, self._notify)
        except ResidentError as error:
            raise BackendError(str(error), transient=True) from error
        ended = {position: report_of(event) for position, event in known.items() if event.kind.final}
        if ended:
            self._notify(token, ended)
        return {position: key_of(token, position) for position in known}

    def close(self) -> None:
        """Leave the resident process to its work, or end it if it has none."""
        if self._residence is not None:
            self._residence.leave(self)

    def _home(self) -> Residence:
        if self._residence is None:
            self.residence = Residence()
        assert self._residence is not None  # noqa: S101 - just made
        return self._residence


def usable_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _checked(number: int) -> int:
    if number < 1:
        raise ConfigurationError(f"max_processes is {number}; at least 1 process is needed.")
    return number


def _nobody(token: str, reports: Mapping[int, Report]) -> None:
    """Before the core has attached there is nobody to tell."""
