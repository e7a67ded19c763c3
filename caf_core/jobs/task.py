"""What a backend executes: one task, as it stands in a manifest."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from attrs import field, frozen

from caf_core.errors import ConfigurationError


@frozen
class Resources:
    """What a task needs from its machine, in units that no scheduler chooses; ``None`` leaves it to the
    site.

    Raises:
        ConfigurationError: If a value cannot be.
    """

    cpus: int = 1
    memory_mb: int | None = None
    walltime: timedelta | None = None
    disk_mb: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("cpus", "memory_mb", "disk_mb"):
            number: Any = getattr(self, name)  # as a user wrote it
            whole = isinstance(number, int) and not isinstance(number, bool) and number >= 1
            if not whole and (number is not None or name == "cpus"):
                raise ConfigurationError(f"{name} is {number!r}; it is a whole number of at least 1.")
        time: Any = self.walltime
        if time is not None and not (isinstance(time, timedelta) and time > timedelta(0)):
            raise ConfigurationError(
                f"walltime is {time!r}; it is a time such as datetime.timedelta(hours=2)."
            )

    def or_else(self, other: "Resources") -> "Resources":
        """These, and what they leave open from others; one processor says nothing."""
        return Resources(
            cpus=other.cpus if self.cpus == 1 else self.cpus,
            memory_mb=other.memory_mb if self.memory_mb is None else self.memory_mb,
            walltime=other.walltime if self.walltime is None else self.walltime,
            disk_mb=other.disk_mb if self.disk_mb is None else self.disk_mb,
        )


@frozen
class Call:
    """A Python function that a task executes in place of a command.

    Args:
        entry: ``package.module:function``; it is called with ``arguments`` as keywords.
        arguments: Plain JSON values.
        preload: Modules that a resident process may import once for many such tasks.
        path: Folders to put in front of ``sys.path`` before ``entry`` is imported.
    """

    entry: str
    arguments: Mapping[str, Any] = field(factory=dict)
    preload: tuple[str, ...] = ()
    path: tuple[str, ...] = ()


@frozen
class TaskSpec:
    """One task: either a command (``argv``) or a Python ``call``.

    Args:
        output_dir: The task's own folder; an attempt works in ``output_dir/attempt-N``.
        argv: The command; its arguments are appended already.
        call: The Python function in place of a command.
        input_files: Paths and URIs, handed to a command in ``input_files.json``, and to a call, if there are
            any, as its argument ``input_files``.
        setup_cmds: Shell lines that are executed before the command, in the same shell.
        sandbox: Files that are copied into the working directory before the command starts.
        json_files: Further small files for the working directory: name -> JSON value.
        env: Variables added to the clean environment.
        output_patterns: Globs, relative to the attempt's folder, of what counts as output; a pattern that
            matches nothing makes the task fail with ``bad_output``.
        fingerprint: What the task's result depends on; equal fingerprints make an old result usable.
    """

    output_dir: Path
    argv: tuple[str, ...] = ()
    call: Call | None = None
    input_files: tuple[str, ...] = ()
    setup_cmds: tuple[str, ...] = ()
    sandbox: tuple[Path, ...] = ()
    json_files: Mapping[str, Any] = field(factory=dict)
    env: Mapping[str, str] = field(factory=dict)
    output_patterns: tuple[str, ...] = ()
    fingerprint: str = ""
