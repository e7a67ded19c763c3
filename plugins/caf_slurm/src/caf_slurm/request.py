"""How a submission is put to ``sbatch``: its options and its script."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import ceil
from pathlib import Path
from shlex import quote
from typing import Any

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Submission
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import task_call
from caf_slurm import clusters

SCRIPT = "slurm.sh"
LOG = "scheduler.log"
COMMENT_LIMIT = 200

SETTINGS: Mapping[str, Setting] = {
    "partition": Setting((str,), "partition, or several with commas (--partition)"),
    "queue": Setting((str,), "another word for partition"),
    "account": Setting((str,), "account that pays (--account)"),
    "qos": Setting((str,), "quality of service (--qos)"),
    "time": Setting((int, float, str), "time limit in minutes, or as D-HH:MM:SS (--time)"),
    "walltime": Setting((int, float, str), "another word for time"),
    "memory": Setting((int, str), "memory in MB, or with a unit as in '4G' (--mem)"),
    "request_memory": Setting((int, str), "another word for memory"),
    "cpus": Setting((int,), "cpus of a task (--cpus-per-task)"),
    "disk": Setting((int, str), "local disk in MB, or with a unit (--tmp)"),
    "constraint": Setting((str,), "features that the node must have (--constraint)"),
    "reservation": Setting((str,), "reservation (--reservation)"),
    "nice": Setting((int,), "how far to step back behind other jobs (--nice)"),
    "exclude": Setting((str,), "nodes to keep away from (--exclude)"),
    "gres": Setting((str,), "generic resources such as 'gpu:1' (--gres)"),
    "licenses": Setting((str,), "licences (--licenses)"),
    "array_throttle": Setting((int,), "how many tasks of an array may execute at once (--array=...%N)"),
    "requeue": Setting((bool,), "whether Slurm may start a task again after its node failed"),
    "export": Setting((str,), "which variables the job gets from here (--export); tasks see few of them"),
    "mail_user": Setting((str,), "whom Slurm writes to (--mail-user)"),
    "mail_type": Setting((str,), "on which occasions Slurm writes (--mail-type)"),
    "extra_args": Setting((list, tuple), "further options of sbatch, a list of words"),
    "extra_lines": Setting((list, tuple), "further lines of the job's script, such as '#SBATCH ...'"),
}
"""The arguments of the backend, with what they mean."""

FOR_USERS = frozenset(
    {"partition", "queue", "account", "qos", "constraint", "reservation", "nice", "gres", "licenses"}
)
"""Those that neither have anything executed nor any file read; see ``Backend.user_args``."""

ALIASES = {"queue": "partition", "walltime": "time", "request_memory": "memory"}
DEFAULTS: Mapping[str, Any] = {"requeue": True, "export": "ALL"}

_PLAIN = (
    *("partition", "account", "qos", "constraint", "reservation", "nice", "exclude", "gres", "licenses"),
    *("export", "mail_user", "mail_type"),
)
"""Arguments that are an option of the same name."""

_UNITS = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


def options(submission: Submission, args: Mapping[str, Any], *, disk: bool = True) -> list[str]:
    """The options of ``sbatch``.

    Args:
        submission: The submission.
        args: Its arguments, as ``merged`` gives them.
        disk: Whether the site knows how large its local disks are; if not, only an argument asks for some.
    """
    words = ["--parsable", f"--job-name={submission.token}", f"--comment={_comment(submission.name)}"]
    if submission.size > 1:
        throttle = args.get("array_throttle")
        limit = f"%{throttle}" if throttle else ""
        words.append(f"--array=0-{submission.size - 1}{limit}")
    folder, log = (submission.directory, LOG) if is_tame(submission.directory) else (Path("/"), "/dev/null")
    words += [f"--chdir={folder}", f"--output={folder / log}", "--open-mode=append"]
    words.append("--requeue" if args.get("requeue") else "--no-requeue")
    words += [f"--{name.replace('_', '-')}={args[name]}" for name in _PLAIN if args.get(name) is not None]
    words += _resources(submission, args, disk)
    words += [str(word) for word in args.get("extra_args") or ()]
    return words


def script(submission: Submission) -> str:
    """The script of a submission."""
    lines = ["#!/bin/sh", *(str(line) for line in submission.backend_args.get("extra_lines") or ())]
    if not is_tame(submission.directory):
        lines.append(f"exec >>{quote(str(submission.directory / LOG))} 2>&1")
    if submission.size > 1:
        index = "$SLURM_ARRAY_TASK_ID"
        lines.append(task_call(submission, index, f"${{SLURM_ARRAY_JOB_ID}}_{index}"))
    else:
        lines.append(task_call(submission, "0", "$SLURM_JOB_ID"))
    return "\n".join(lines) + "\n"


def is_tame(directory: Path) -> bool:
    """Whether Slurm takes a folder as it is.

    In the path of an output file it replaces ``%j`` and the like, even where the working directory brings it
    in and whatever backslashes stand there; and a newline would spoil its records of the job.
    """
    return re.fullmatch(r"/[\w/.,:;@+=~#^() -]*", str(directory)) is not None


def validate(backend_args: Mapping[str, Any]) -> None:
    """Look at the values of arguments.

    Raises:
        ConfigurationError: If one makes no sense.
    """
    if found := clusters.unfollowed(backend_args):
        raise ConfigurationError(
            f"{found} makes a job of another cluster, or several jobs; leave it out. {clusters.REMEDY}."
        )
    for given, value in backend_args.items():
        name = ALIASES.get(given, given)
        if value is None:
            continue
        if name in ("memory", "disk"):
            megabytes(value, given)
        elif name == "time":
            minutes(value)
        elif name in ("cpus", "array_throttle") and value < 1:
            raise ConfigurationError(f"backend argument {given!r} of Slurm is {value}; give 1 or more.")


def merged(job: Mapping[str, Any], instance: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a job, under their first names.

    Args:
        job: All of them, those of the instance included.
        instance: Those of the instance; where a job gives the same under another name, the job's win.
    Raises:
        ConfigurationError: If two names of one argument were given different values.
    """
    own = {ALIASES.get(name, name) for name, value in job.items() if instance.get(name) != value}
    args: dict[str, Any] = {}
    for given, value in job.items():
        name = ALIASES.get(given, given)
        if value is None or (name in own and instance.get(given) == value):
            continue
        if args.setdefault(name, value) != value:
            raise ConfigurationError(
                f"the backend argument {name!r} of Slurm was given two values, {args[name]!r} and {value!r}, "
                "under its two names; leave one out."
            )
    return args


def _resources(submission: Submission, args: Mapping[str, Any], has_disk: bool) -> Iterator[str]:
    """What a task needs: the larger one of what the job says and of what its arguments say, because a further
    attempt may ask for more.
    """
    need = submission.resources
    cpus = args.get("cpus", need.cpus)
    if cpus != 1:
        yield f"--cpus-per-task={cpus}"
    memory = _larger(need.memory_mb, megabytes(args["memory"], "memory") if "memory" in args else None)
    if memory is not None:
        yield f"--mem={ceil(memory)}M"
    time = _larger(_minutes_of(need.walltime), minutes(args["time"]) if "time" in args else None)
    if time is not None:
        yield f"--time={ceil(time)}"
    disk = _larger(
        need.disk_mb if has_disk else None, megabytes(args["disk"], "disk") if "disk" in args else None
    )
    if disk is not None:
        yield f"--tmp={ceil(disk)}M"


def _larger(one: float | None, other: float | None) -> float | None:
    given = [value for value in (one, other) if value is not None]
    return max(given, default=None)


def _minutes_of(walltime: timedelta | None) -> float | None:
    """Slurm counts whole minutes, and takes 0 for no limit at all."""
    return None if walltime is None else max(1.0, walltime.total_seconds() / 60)


def megabytes(value: int | str, name: str) -> float:
    """An amount in Slurm's words as a number [MB].

    Raises:
        ConfigurationError: If it is not one.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)I?B?", str(value).strip().upper(), re.ASCII)
    if match is None:
        raise ConfigurationError(
            f"backend argument {name!r} of Slurm is {value!r}; give a number of MB, or one with a unit: '4G'."
        )
    return float(match[1]) * _UNITS[match[2] or "M"]


def minutes(value: float | str) -> float:
    """A time in Slurm's words as a number [min].

    Raises:
        ConfigurationError: If it is not one.
    """
    text = str(value).strip()
    number = r"[0-9]+"
    if re.fullmatch(rf"{number}(\.{number})?", text, re.ASCII):
        return max(1.0, float(text))
    match = re.fullmatch(rf"(?:({number})-)?({number})(?::({number}))?(?::({number}))?", text, re.ASCII)
    if match is None:
        raise ConfigurationError(
            f"backend argument 'time' of Slurm is {value!r}; give minutes, or '2:00:00', or '1-12:00:00'."
        )
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    if days is not None:
        hours, mins, secs = first or 0, second or 0, third or 0
    elif third is not None:
        hours, mins, secs = first or 0, second or 0, third
    else:
        hours, mins, secs = 0, first or 0, second or 0
    return max(1.0, (days or 0) * 1440 + hours * 60 + mins + secs / 60)


def _comment(name: str) -> str:
    """The name for people, in one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:COMMENT_LIMIT]
