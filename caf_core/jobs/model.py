"""Jobs as a user writes them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from caf_core import former
from caf_core.errors import ConfigurationError
from caf_core.home import given_path
from caf_core.jobs.input_names import check_not_blank, input_name, is_uri
from caf_core.jobs.ledger import TaskChange, TaskState
from caf_core.jobs.names import check_folder_name
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.splitters import MaxFilesSplitter, MaxSubjobsSplitter, SubjobSplitter, distinct
from caf_core.jobs.task import Resources, TaskSpec
from caf_core.jobs.texts import texts, words
from caf_core.strict import strict

if TYPE_CHECKING:
    from caf_core.jobs.submit import Session

log = logging.getLogger("caf.jobs")

ORDER = tuple(TaskState)
"""The states from the lowest to the highest; a job is in the lowest state of its subjobs."""


def _files(values: object) -> list[str]:
    files = texts(values)
    for file in files:
        check_not_blank(file)
    return files


def _folder(path: str | Path | None) -> Path | None:
    return None if path is None else given_path(path)


def _check_name(_job: Any, _field: Any, name: Any) -> None:
    check_folder_name(name, "a job")


@strict("a job", former.JOB)
@define(eq=False, slots=False)
class Job:
    """What shall be executed: one command, or one command a subjob.

    A task works in ``working_dir/attempt-1`` (``-2`` if it is tried again), where its ``stdout``, ``stderr``
    and files are found. Files that match ``output_patterns`` are its outputs; if ``output_dir`` is given,
    those of the successful attempt are put there.

    Args:
        name: Its name; also that of its folder.
        cmd: The command.
        args: The command's arguments; a subjob may have its own in their place.
        input_files: Paths and URIs; a task finds its own with ``get_input_data``.
        working_dir: Where it works; a folder with the job's name in the current one by default. Subjobs work
            in numbered folders in it.
        output_dir: Where outputs are put; subjobs use numbered folders in it.
        output_patterns: Globs of the outputs; one that matches nothing makes the task fail.
        setup_cmds: Shell lines before the command, in the same shell.
        input_sandbox_files: Files that are copied into the working directory first.
        backend_args: Arguments for the backend, such as a queue; they win over the backend's own.
        env: Variables for the command.
        splitter: Cuts the job into subjobs when it is submitted.
        resources: What each task needs.
        retry: What failures get.
    """

    name: str = field(validator=_check_name)
    cmd: list[str] = field(factory=list, converter=words)
    args: list[str] = field(factory=list, converter=words)
    input_files: list[str] = field(factory=list, converter=_files)
    working_dir: Path | None = field(default=None, converter=_folder)
    output_dir: Path | None = field(default=None, converter=_folder)
    output_patterns: list[str] = field(factory=list, converter=texts)
    setup_cmds: list[str] = field(factory=list, converter=texts)
    input_sandbox_files: list[str] = field(factory=list, converter=texts)
    backend_args: dict[str, Any] = field(factory=dict)
    env: dict[str, str] = field(factory=dict)
    splitter: SubjobSplitter | None = None
    resources: Resources = field(factory=Resources)
    retry: RetryPolicy = field(factory=RetryPolicy)
    subjobs: "dict[int, SubJob]" = field(factory=dict, init=False, repr=False)
    result: TaskChange | None = field(default=None, init=False, repr=False)
    attempt_dir: Path | None = field(default=None, init=False, repr=False)
    key: str = field(default="", init=False, repr=False)
    _state: TaskState = field(default=TaskState.INIT, init=False, repr=False)
    _session: "Session | None" = field(default=None, init=False, repr=False)

    # Splitting

    @property
    def max_files_per_subjob(self) -> int | None:
        """The largest number of input files in a subjob; setting it chooses ``MaxFilesSplitter``."""
        return self.splitter.max_files_per_subjob if isinstance(self.splitter, MaxFilesSplitter) else None

    @max_files_per_subjob.setter
    def max_files_per_subjob(self, number: int) -> None:
        self.splitter = MaxFilesSplitter(number)

    @property
    def max_subjobs(self) -> int | None:
        """The largest number of subjobs; setting it chooses ``MaxSubjobsSplitter``."""
        return self.splitter.max_subjobs if isinstance(self.splitter, MaxSubjobsSplitter) else None

    @max_subjobs.setter
    def max_subjobs(self, number: int) -> None:
        self.splitter = MaxSubjobsSplitter(number)

    def make_subjob(
        self, id: int, *, input_files: Iterable[str] | None = None, args: Iterable[object] | None = None
    ) -> "SubJob":
        """A subjob of this job that does not belong to it yet; what is not given is taken from the job."""
        return SubJob(
            self,
            id,
            None if input_files is None else _files(input_files),
            None if args is None else words(args),
        )

    def create_subjob(
        self, id: int, *, input_files: Iterable[str] | None = None, args: Iterable[object] | None = None
    ) -> "SubJob":
        """Add a subjob; what is not given is taken from the job.

        Raises:
            ConfigurationError: If there is one with this id.
        """
        if id in self.subjobs:
            raise ConfigurationError(f"the job {self.name!r} has a subjob {id} already.")
        subjob = self.subjobs[id] = self.make_subjob(id, input_files=input_files, args=args)
        return subjob

    def split(self) -> None:
        """Let the splitter make the subjobs anew; without a splitter, those that were made by hand stay.

        Raises:
            ConfigurationError: If it makes none.
        """
        if self.splitter is not None:
            self.subjobs.clear()
            self.splitter.create_subjobs(self)
            if not self.subjobs:
                raise ConfigurationError(
                    f"{self.splitter!r} makes no subjob of {self.name!r}, which has {len(self.input_files)} "
                    "input files."
                )

    def check_input_data_files(self) -> None:
        """Take out input files that are given twice, and local ones that do not exist, each with a
        warning.
        """
        present = []
        for file in distinct(self.input_files):
            if is_uri(file) or Path(input_name(file)).exists():
                present.append(file)
            else:
                log.warning("the input file %s of %r does not exist and is left out", file, self.name)
        self.input_files = present

    # Its state

    @property
    def status(self) -> TaskState:
        """The state, as known at the last update: the lowest of the subjobs' in init < submitted < running <
        failed < completed.
        """
        if not self.subjobs:
            return self._state
        return min((subjob.status for subjob in self.subjobs.values()), key=ORDER.index)

    def update_status(self) -> TaskState:
        """Take in what has happened; returns at once with the state."""
        if self._session is not None:
            self._session.pump()
        return self.status

    def ready(self) -> bool:
        """Whether the job, with all its subjobs, has ended; returns at once."""
        if self._session is None:
            return False
        self._session.pump()
        return self._session.ended(self.key)

    def cancel(self) -> None:
        """End what executes, and do not begin what waits."""
        self._submitted().cancel(self.key)

    def retry_failed(self) -> None:
        """Submit what failed again."""
        self._submitted().retry_failed(self.key)

    def attach(self, key: str, session: "Session") -> None:
        """The job was submitted under a key."""
        self.key, self._session = key, session

    def set_status(self, status: TaskState) -> None:
        """Note the state of a job without subjobs."""
        self._state = status

    def _submitted(self) -> "Session":
        if self._session is None:
            raise ConfigurationError(
                f"the job {self.name!r} was not submitted; call backend.submit(job) first."
            )
        return self._session

    # As tasks

    @property
    def full_command(self) -> list[str]:
        """The command with its arguments."""
        return [*self.cmd, *self.args]

    def tasks(self) -> "list[Job | SubJob]":
        """What a backend executes: the subjobs in the order of their ids, or the job itself."""
        return [self.subjobs[id] for id in sorted(self.subjobs)] if self.subjobs else [self]

    def spec(self) -> TaskSpec:
        """This job as one task."""
        return _spec(self, self)

    # As a file

    def dump_to_json(self, path: str | Path) -> None:
        """Write the job with its subjobs to a file; a splitter is not kept, only what it made.

        Raises:
            ConfigurationError: If something in it is not JSON.
        """
        from caf_core.jobs.document import write_job

        write_job(self, given_path(path))

    @classmethod
    def from_json(cls, path: str | Path) -> "Job":
        """Read a job back, ready to be submitted.

        Raises:
            ConfigurationError: If the file is not a job, or of a newer version.
        """
        from caf_core.jobs.document import read_job

        return read_job(given_path(path))


class SubJob:
    """One part of a job; whatever is not its own it has from the job.

    Args:
        job: The job.
        id: Its number in the job.
        input_files: Its input files; the job's if ``None``.
        args: Its arguments; the job's if ``None``.
    """

    __slots__ = ("attempt_dir", "id", "job", "own_args", "own_input_files", "result", "status")

    def __init__(
        self, job: Job, id: int, input_files: Sequence[str] | None = None, args: Sequence[str] | None = None
    ) -> None:
        self.job = job
        self.id = id
        self.own_input_files = None if input_files is None else list(input_files)
        self.own_args = None if args is None else list(args)
        self.status = TaskState.INIT
        self.result: TaskChange | None = None
        self.attempt_dir: Path | None = None

    def __repr__(self) -> str:
        return f"SubJob({self.name!r}, status={self.status.value!r})"

    def __getattr__(self, name: str) -> Any:
        # Only for what is not found here. Names of Python's own protocols must not wander to the job.
        if name.startswith("_") or name == "job":
            raise AttributeError(name)
        return getattr(self.job, name)

    @property
    def name(self) -> str:
        """The job's name with the id."""
        return f"{self.job.name}_{self.id}"

    @property
    def args(self) -> list[str]:
        """The arguments."""
        return list(self.job.args if self.own_args is None else self.own_args)

    @args.setter
    def args(self, args: Iterable[object]) -> None:
        self.own_args = words(args)

    @property
    def input_files(self) -> list[str]:
        """The input files."""
        return list(self.job.input_files if self.own_input_files is None else self.own_input_files)

    @input_files.setter
    def input_files(self, files: Iterable[object]) -> None:
        self.own_input_files = _files(files)

    @property
    def working_dir(self) -> Path | None:
        """The numbered folder in the job's ``working_dir``."""
        return None if self.job.working_dir is None else self.job.working_dir / str(self.id)

    @property
    def output_dir(self) -> Path | None:
        """The numbered folder in the job's ``output_dir``."""
        return None if self.job.output_dir is None else self.job.output_dir / str(self.id)

    @property
    def full_command(self) -> list[str]:
        """The command with its arguments."""
        return [*self.job.cmd, *self.args]

    def update_status(self) -> TaskState:
        """Take in what has happened; returns at once with the state."""
        self.job.update_status()
        return self.status

    def ready(self) -> bool:
        """Whether it has ended; returns at once."""
        return self.job.ready() or self.status is TaskState.COMPLETED

    def set_status(self, status: TaskState) -> None:
        """Note the state."""
        self.status = status

    def spec(self) -> TaskSpec:
        """This subjob as one task."""
        return _spec(self, self.job)


def _spec(task: Job | SubJob, job: Job) -> TaskSpec:
    if task.working_dir is None:
        raise ConfigurationError(f"the job {job.name!r} has no working_dir.")
    return TaskSpec(
        output_dir=task.working_dir,
        argv=tuple(task.full_command),
        input_files=tuple(dict.fromkeys(map(input_name, task.input_files))),
        setup_cmds=tuple(job.setup_cmds),
        sandbox=tuple(given_path(file).absolute() for file in job.input_sandbox_files),
        env=_environment(job.env),
        output_patterns=tuple(job.output_patterns),
    )


def _environment(env: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in env.items()}
