"""``Batch``: the base of backends for schedulers that are driven by commands.

A subclass says in dialogues what it asks and how answers are read; the base executes the commands, with time
limits, captured output and no shell, writes the files of a submission, and remembers what the site is like.
"""

import logging
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, TypeVar

from attrs import evolve

from caf_core.errors import BackendError, SubmissionError
from caf_core.jobs.backend import Backend, Capabilities, Report, Submission
from caf_core.jobs.batch.dialogue import NOT_FOUND, Command, Dialogue, converse
from caf_core.jobs.batch.lock import holding, is_free
from caf_core.jobs.batch.settings import COMMON, UNLIMITED, Setting, checked
from caf_core.jobs.findings import Finding
from caf_core.jobs.task import Resources
from caf_core.processes.command import CommandResult, execute

log = logging.getLogger("caf.jobs")

T = TypeVar("T")

COMMAND_TIMEOUT = 120.0
"""How long a scheduler's command may take unless ``command_timeout`` says otherwise [s]: longer than the
clients of schedulers try by themselves.
"""


class Batch(Backend):
    """The template for a scheduler that is driven by commands.

    A subclass sets ``settings`` and ``defaults`` and writes the dialogues; it does no I/O. Everything that a
    user or a site may choose stands in ``backend_args``: those named in ``COMMON``, which the base obeys, and
    those in ``settings``.

    Args:
        backend_args: The choices of this instance; they win over the site's configuration and the defaults,
            and those of a job win over them.
    """

    settings: ClassVar[Mapping[str, Setting]] = {}
    """The backend's own arguments, name -> what it means."""
    scheduler: ClassVar[str] = ""
    """The scheduler's name for people."""
    searches_apart: ClassVar[float | None] = None
    """How far two searches that prove that a submission is not there are apart [s]; ``command_timeout`` if
    ``None``, because a client that was killed may have left a request behind for so long."""

    def __init__(self, *, backend_args: Mapping[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)
        self.check_args(self.backend_args)
        self.directories: dict[str, Path] = {}
        self.witness: Callable[[CommandResult], None] | None = None
        self._site: Any = None

    # What a subclass writes

    @abstractmethod
    def submitting(self, submission: Submission) -> Dialogue[Sequence[str]]:
        """Hand a submission over with one command (``submits=True``).

        Returns:
            The scheduler's ids, one a task, in order.
        Raises:
            SubmissionError: ``refused(answer)`` if it is certain that the scheduler did not take it,
                ``doubtful(answer)`` if not.
        """

    @abstractmethod
    def polling(self, ids: Sequence[str]) -> Dialogue[Mapping[str, Report]]:
        """Ask about all ``ids`` (never empty) with one command; what is unknown is left out. A record that
        cannot be read spoils neither the others nor the poll: it is left out, or is ``UNKNOWN``.

        Raises:
            PollError: ``unanswered(answer)`` if the scheduler did not answer.
        """

    @abstractmethod
    def cancelling(self, ids: Sequence[str]) -> Dialogue[None]:
        """End tasks (never none); ended and unknown ones are no error.

        Raises:
            BackendError: If the scheduler did not answer.
        """

    @abstractmethod
    def finding(self, token: str) -> Dialogue[Mapping[int, str]]:
        """Search for a submission by its token.

        Raises:
            BackendError: If the scheduler did not answer.
        """

    def files(self, submission: Submission) -> Mapping[str, str]:  # noqa: ARG002 - for subclasses
        """The files that the submit command reads, name -> text; they are written into the submission's
        directory before it.
        """
        return {}

    def surveying(self) -> Dialogue[Any]:
        """Ask what the site is like: version, limits, units, what its commands can do. It is asked once.

        Raises:
            BackendError: If the scheduler did not answer; it is asked again later.
        """
        yield from ()
        return None

    def limits(self, site: Any) -> Capabilities:  # noqa: ARG002 - for subclasses
        """What the scheduler can do at a site; the user's choices are put on top of it.

        Args:
            site: What ``surveying`` returned; ``None`` if the scheduler did not answer.
        """
        return Capabilities()

    def releasing(self, ids: Sequence[str], resources: Resources) -> Dialogue[None]:
        """Let held tasks (never none) go on with other resources, if the limits say ``releases``.

        Raises:
            BackendError: If that was not possible.
        """
        yield from ()
        raise BackendError(f"{self.scheduler} cannot release {len(ids)} held tasks with {resources}.")

    def counting(self) -> Dialogue[int | None]:
        """How many tasks the user has in the system, whoever submitted them; ``None`` if it cannot be told.

        Raises:
            BackendError: If the scheduler did not answer.
        """
        yield from ()
        return None

    def is_answer(self, answer: CommandResult) -> bool:
        """Whether a command answered, perhaps by an exit code that says that there is nothing; ``caf doctor``
        tells of those that did not. No I/O.
        """
        return answer.ok

    def findings(self, site: Any) -> Sequence[Finding]:  # noqa: ARG002 - for subclasses
        """What ``caf doctor`` should tell about a site beyond what every backend is asked: a choice of the
        site that matters, a version with a known fault. No I/O: ``surveying`` asks.

        Args:
            site: What ``surveying`` returned.
        """
        return ()

    def described(self, site: Any) -> Mapping[str, str]:  # noqa: ARG002 - for subclasses
        """What ``caf doctor`` tells of a site as it was found: a fact in a user's words -> its value with its
        unit. Nothing: then the fields of the site are told by their own names. No I/O.

        Args:
            site: What ``surveying`` returned.
        """
        return {}

    # What the core calls

    def capabilities(self) -> Capabilities:
        """The site's limits, narrowed by ``backend_args``; the site is asked at the first call."""
        args = self.backend_args
        try:
            site = self.site
        except BackendError as error:
            log.warning("%s did not say what it can do, so defaults are used: %s", self.scheduler, error)
            site = None
        can = self.limits(site)
        narrowed: dict[str, Any] = {}
        if (limit := args.get("array_limit")) is not None:
            narrowed["array_limit"] = limit if can.array_limit is None else min(limit, can.array_limit)
        if (limit := args.get("global_job_limit")) is not None:
            narrowed["job_limit"] = None if limit == UNLIMITED else limit
        if args.get("jobs_per_check") is not None:
            narrowed["jobs_per_check"] = args["jobs_per_check"]
        for name in ("poll_interval", "grace", "check_interval", "submission_interval"):
            if args.get(name) is not None:
                narrowed[name] = timedelta(seconds=args[name])
        if can.find_again_after is not None:
            apart = self.command_timeout if self.searches_apart is None else self.searches_apart
            narrowed["find_again_after"] = timedelta(seconds=apart)
        return evolve(can, **narrowed)

    @property
    def command_timeout(self) -> float:
        """How long a command of the scheduler may take [s]."""
        return float(self.backend_args.get("command_timeout") or COMMAND_TIMEOUT)

    @property
    def site(self) -> Any:
        """What ``surveying`` found out; asked once, and again if the scheduler did not answer.

        Raises:
            BackendError: If the scheduler did not answer.
        """
        if self._site is None:
            self._site = self._converse(self.surveying())
        return self._site

    def adopt(self, token: str, directory: Path) -> None:
        """Take over a submission of an earlier process."""
        self.directories[token] = directory

    def start(self, submission: Submission) -> Sequence[str]:
        """Write the files, and hand the tasks over."""
        self.check_args(submission.backend_args)
        self.directories[submission.token] = submission.directory
        try:
            for name, text in self.files(submission).items():
                write_atomically(submission.directory / name, text)
        except OSError as error:
            raise SubmissionError(
                f"the files of a submission cannot be written to {submission.directory}: {error.strerror}; "
                "free some space, or choose another output directory"
            ) from error
        with holding(submission.directory) as lock:
            return self._submit(submission, lock)

    def _submit(self, submission: Submission, lock: int | None) -> Sequence[str]:
        submitted = False

        def execute(command: Command) -> CommandResult:
            nonlocal submitted
            submitted |= command.submits
            return self._execute(command, lock)

        try:
            return converse(self.submitting(submission), execute)
        except SubmissionError:
            raise
        except BackendError as error:
            if submitted:
                raise
            # Something was asked before, and not answered: the scheduler certainly has nothing.
            raise SubmissionError(str(error), transient=error.transient) from error

    def poll(self, ids: Sequence[str]) -> Mapping[str, Report]:
        """Ask once about all."""
        return self._converse(self.polling(ids)) if ids else {}

    def cancel(self, ids: Sequence[str]) -> None:
        """End tasks."""
        if ids:
            self._converse(self.cancelling(ids))

    def find(self, token: str) -> Mapping[int, str]:
        """Search, unless a submit command of an earlier process is still at work."""
        directory = self.directories.get(token)
        if directory is not None and not is_free(directory):
            raise BackendError(
                f"the submit command of {token} is still at work; it is waited for", transient=True
            )
        return self._converse(self.finding(token))

    def count(self) -> int | None:
        """How many tasks the user has in the system."""
        return self._converse(self.counting())

    def release(self, ids: Sequence[str], resources: Resources) -> None:
        """Let held tasks go on with other resources."""
        self._converse(self.releasing(ids, resources))

    def can_submit(self, tasks: int = 1) -> bool:
        """Whether so many further tasks fit under ``global_job_limit`` now, all of the user's counted.

        Raises:
            BackendError: If the scheduler did not answer.
        """
        limit = self.capabilities().job_limit
        if limit is None:
            return True
        number = self.count()
        return super().can_submit(tasks) if number is None else number + tasks <= limit

    # Help for subclasses

    def check_args(self, backend_args: Mapping[str, Any]) -> None:
        """Refuse arguments that nobody knows, or of a wrong type."""
        checked(backend_args, self.known_args(), self.scheduler)

    @classmethod
    def known_args(cls) -> Mapping[str, Setting]:
        """The common arguments, and those of the scheduler."""
        return {**COMMON, **cls.settings}

    def tool(self, name: str) -> str:
        """A command of the scheduler, where ``path_prefix`` says that it lies."""
        prefix = self.backend_args.get("path_prefix")
        return str(Path(prefix) / name) if prefix else name

    def _converse(self, dialogue: Dialogue[T]) -> T:
        return converse(dialogue, lambda command: self._execute(command, None))

    def _execute(self, command: Command, lock: int | None) -> CommandResult:
        timeout = command.timeout or self.command_timeout
        try:
            answer = execute(
                command.argv,
                timeout=timeout,
                stdin=command.stdin,
                cwd=command.cwd,
                env=_environment(command.env) if command.env else None,
                inherit=(lock,) if command.submits and lock is not None else (),
            )
        except OSError as error:
            missing = (
                f"{error.strerror}; is this a submit node of {self.scheduler}, or must path_prefix be set?"
            )
            answer = CommandResult(tuple(command.argv), NOT_FOUND, "", missing, 0.0)
        log.debug("%s: exit code %s after %.2f s", command.argv, answer.returncode, answer.seconds)
        if self.witness is not None:
            self.witness(answer)
        return answer


def write_atomically(path: Path, text: str) -> None:
    """Write a small file in one step."""
    scratch = path.with_name(f".{path.name}.new")
    # Names of folders may hold bytes that are no text; Python stands surrogates in for them.
    scratch.write_text(text, encoding="utf-8", errors="surrogateescape")
    scratch.replace(path)


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


def task_call(submission: Submission, position: str, identity: str) -> str:
    """The shell line that executes a task, for a scheduler's script.

    Args:
        submission: The submission.
        position: Shell text for the position in the manifest, such as ``$SLURM_ARRAY_TASK_ID``.
        identity: Shell text for the scheduler's id of the job, as ``poll`` knows it.
    """
    return f'exec /bin/sh {quote(str(submission.directory / "task.sh"))} "{position}" "{identity}"'
