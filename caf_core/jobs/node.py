"""What happens on the node: one task of a submission is claimed, prepared, executed and recorded.

This file and the others that ``caf_core.jobs.pack`` names travel to batch nodes in ``node.pyz``: they use
nothing but the standard library of Python 3.9 or later. ``execute_task`` must be given a process of its own.
"""

# ruff: noqa: PTH100, PTH104, PTH119
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import errno
import os
import sys
import time

from caf_core.jobs import claims, workspace
from caf_core.processes import warden
from caf_core.processes.lean import dump_json, load_json, signal

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

SCHEMA = 1
CALL_FILE = "call.json"
"""How a call reaches another Python: on a command line everybody would read a database's password."""

INDEX_WIDTH = 21
"""Length of a line of ``manifest.idx``: twenty digits and a newline."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def execute_task(
    directory: str,
    position: int,
    scheduler_id: str = "",
    in_process: bool = False,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Execute one task of a submission, unless somebody else has claimed it.

    Args:
        directory: The submission's directory.
        position: The task's position in the manifest, from 0.
        scheduler_id: The scheduler's id of this job; a claim with the same id is taken up again.
        in_process: Whether a Python call is made in a fork of this process (in the resident's wardens, where
            what it needs is imported already) and not in a new interpreter.
        spec: The task's line, if it does not come from the manifest in the directory.
    Returns:
        The exit record, which has been written to ``records/POSITION.json``; or, if there was nothing to do,
        ``{"schema", "position", "skipped"}`` with the reason.
    Raises:
        OSError: If the manifest cannot be read, or the record not written.
    """
    if spec is None:
        spec = read_spec(directory, position)
    attempt = f"{spec['output_dir']}/attempt-{spec['attempt']}"
    claim, reason = claims.claim(directory, position, scheduler_id, attempt)
    if claim is None:
        return {"schema": SCHEMA, "position": position, "skipped": reason}
    record = {
        "schema": SCHEMA,
        "token": spec["token"],
        "position": position,
        "task": spec["task"],
        "attempt": spec["attempt"],
        "scheduler_id": scheduler_id,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "started": time.time(),
        "ended": 0.0,
        "exit_code": None,
        "signal": None,
        "failure": None,
        "message": "",
        "peak_memory_mb": 0.0,
        "cpu_seconds": 0.0,
        "outputs": [],
        "leftovers": 0,
        "folder": os.path.basename(claim.folder),
    }
    try:
        with workspace.Workspace(claim.folder, spec) as space:
            _carry_out(record, spec, space, directory, in_process)
    except OSError as error:
        record["failure"] = "disk" if error.errno in _FULL else "submission"
        record["message"] = f"the task could not be prepared: {error}"
    record["ended"] = time.time()
    if not claims.holds(directory, position, claim):
        return {"schema": SCHEMA, "position": position, "skipped": "it was begun again meanwhile, or is over"}
    write_record(directory, position, record)
    return record


def read_spec(directory: str, position: int) -> dict[str, Any]:
    """The line of the manifest for one task; only this line is read."""
    offsets = _read(f"{directory}/manifest.idx", position * INDEX_WIDTH, 2 * INDEX_WIDTH).split()
    if not offsets:
        raise IndexError(f"there is no task at position {position} of {directory}")
    begin = int(offsets[0])
    size = int(offsets[1]) - begin if len(offsets) > 1 else None
    spec: dict[str, Any] = load_json(_read(f"{directory}/manifest.jsonl", begin, size))
    return spec


def _read(path: str, offset: int, size: int | None) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, os.fstat(fd).st_size - offset if size is None else size, offset)
    finally:
        os.close(fd)


def write_record(directory: str, position: int, record: Mapping[str, Any]) -> None:
    """Write an exit record so that it is there as a whole or not at all."""
    new = f"{directory}/records/.{position}.{os.getpid()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        workspace.write_all(fd, dump_json(record).encode())
    finally:
        os.close(fd)
    os.rename(new, f"{directory}/records/{position}.json")


def _carry_out(
    record: dict[str, Any], spec: dict[str, Any], space: workspace.Workspace, directory: str, in_process: bool
) -> None:
    memory = workspace.out_of_memory_count()
    env = workspace.environment(spec, directory)
    call = spec.get("call")
    if call:
        call = call_of(spec)
    limits: dict[str, Any] = {"cwd": space.path, "env": env, "stdout": space.stdout, "stderr": space.stderr}
    limits["walltime"] = spec.get("walltime_s")
    limits["grace"] = spec.get("grace_s") or warden.GRACE
    if call and in_process:
        ended = warden.execute_python(_calling(call), **limits)
    else:
        if call:
            space.write_json(CALL_FILE, call)
        ended = warden.execute_command(_command(spec), **limits)
    record["exit_code"] = ended.exit_code
    record["signal"] = ended.signal
    record["peak_memory_mb"] = round(ended.peak_memory_mb, 3)
    record["cpu_seconds"] = round(ended.cpu_seconds, 6)
    record["leftovers"] = ended.leftovers
    killed = ended.signal == signal.SIGKILL or ended.exit_code == 128 + signal.SIGKILL
    if ended.ended_by or ended.exit_code != 0:
        exhausted = killed and workspace.out_of_memory_count() > memory
        record["failure"], record["message"] = _failure(ended, exhausted, space.path, spec)
    else:
        record["outputs"], record["message"] = space.collect(spec["output_patterns"])
        record["failure"] = "bad_output" if record["message"] else None


def _how(ended: warden.Ended) -> str:
    """How a task ended; a shell tells a signal that ended its command as 128 and the signal."""
    how = f"killed by signal {ended.signal}" if ended.signal else f"exit code {ended.exit_code}"
    number = ended.signal or (ended.exit_code or 0) - 128
    if number <= 0:
        return how
    from signal import Signals

    try:
        name = Signals(number).name
    except ValueError:
        return how
    meanings = {
        "SIGXFSZ": ": a file reached the limit of its size",
        "SIGXCPU": ": the limit of processor time",
    }
    return f"{how} ({name}{meanings.get(name, '')})"


def _failure(ended: warden.Ended, exhausted: bool, path: str, spec: dict[str, Any]) -> tuple[str, str]:
    how = _how(ended)
    if ended.ended_by == "cancelled":
        return "cancelled", "cancelled"
    if ended.ended_by == "orphaned":
        return "node_lost", "ended because the process that watched over it died"
    if ended.ended_by == "walltime":
        return "walltime", f"ended after its time limit of {spec.get('walltime_s')} s"
    if exhausted:
        return "out_of_memory", f"{how}; the kernel killed a process for lack of memory meanwhile"
    if workspace.is_full(path):
        return "disk", f"{how}; the file system of {path} is full"
    return "exit_code", ended.message or how


def call_of(spec: dict[str, Any]) -> dict[str, Any]:
    """The Python call of a task, with its input files among its arguments."""
    call: dict[str, Any] = spec["call"]
    if not spec.get("input_files"):
        return call
    return {**call, "arguments": {**(call.get("arguments") or {}), "input_files": spec["input_files"]}}


def _command(spec: dict[str, Any]) -> Sequence[str]:
    argv: list[str] = list(spec["argv"])
    if spec.get("call"):
        python = spec.get("python") or sys.executable
        argv = [python, "-P", "-m", "caf_core.jobs.call", "--remove", CALL_FILE]
    return with_setup(spec.get("setup_cmds") or (), argv)


def with_setup(setup_cmds: Sequence[str], argv: list[str]) -> list[str]:
    """The command with its setup lines before it, in one shell.

    The command's words are the shell's positional parameters and never part of its text. They are put aside
    while the setup lines are executed, because a script that is sourced there would take them for its own.
    """
    if not setup_cmds:
        return argv
    numbers = range(1, len(argv) + 1)
    lines = [f"caf_{n}=${{{n}}}" for n in numbers]
    lines += ["set --", *setup_cmds, "set -- " + " ".join(f'"$caf_{n}"' for n in numbers), 'exec "$@"']
    return ["/bin/sh", "-c", "\n".join(lines), "caf", *argv]


def _calling(call: dict[str, Any]) -> Callable[[], None]:
    def function() -> None:
        from caf_core.jobs.call import execute_call
        from caf_core.processes.zygote import enable_site

        enable_site()
        # Ours is a program that children which multiprocessing starts would execute once more.
        sys.modules["__main__"] = type(sys)("__main__")
        execute_call(call)

    return function


def main(arguments: Sequence[str]) -> None:
    """Execute the task ``[--detached] DIRECTORY POSITION [ID]``, leave a record, and exit."""
    execute = execute_task
    if arguments[0] == "--detached":
        from caf_core.jobs.detached import execute_detached as execute  # type: ignore[assignment]  # as needed

        arguments = arguments[1:]
    directory, position = os.path.abspath(arguments[0]), int(arguments[1])
    record = execute(directory, position, arguments[2] if len(arguments) > 2 else "")
    if "skipped" in record:
        print(f"caf: task {position} of {directory}: {record['skipped']}", file=sys.stderr)  # noqa: T201 - the log of the scheduler
    # A scheduler that ended the task shall not take it for one that succeeded.
    code = 128 + signal.SIGTERM if record.get("failure") == "cancelled" else 0
    sys.stderr.flush()
    os._exit(code)  # there is nothing to free, and that takes as long as a small task
