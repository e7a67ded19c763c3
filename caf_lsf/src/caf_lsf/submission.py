"""What bsub is given: its options, and the script on its standard input.

Everything that matters stands in options or in the script, and nothing in options that the open versions
misread in silence (``-oo``, ``-cwd``, ``-env``, ``-app``). LSF's own report, which it would send by mail,
goes nowhere; what the script prints goes to one file beside it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from shlex import quote, split
from string import ascii_letters, digits
from typing import Any

from caf_core.errors import SubmissionError
from caf_core.jobs.backend import Submission
from caf_core.jobs.batch.template import task_call
from caf_lsf.site import Site, amount

LOG = "scheduler.log"
SCRIPT = "lsf.sh"

_PLAIN = f"{ascii_letters}{digits}/._-".encode()

_ONLY_IBM = {"user_group": "-G", "app": "-app"}
_OPTIONS = {"queue": "-q", "project": "-P", **_ONLY_IBM}

_ELEMENT = """\
case ${LSB_JOBINDEX:-0} in
    0 | *[!0-9]*) echo "caf: LSF made no array of this job, so it does nothing"; exit 125 ;;
esac
"""


def job_name(submission: Submission) -> str:
    """The name that the job gets, with the indices of an array."""
    if submission.size == 1:
        return submission.token
    most = submission.backend_args.get("max_running")
    return f"{submission.token}[1-{submission.size}]" + (f"%{most}" if most else "")


def options(submission: Submission, site: Site) -> list[str]:
    """The options of bsub.

    Raises:
        SubmissionError: If what is asked for cannot be said to this site.
    """
    args = submission.backend_args
    words = ["-J", job_name(submission), "-o", "/dev/null"]
    for name, option in _OPTIONS.items():
        value = args.get(name)
        if not value:
            continue
        if name in _ONLY_IBM and not site.ibm:
            raise SubmissionError(
                f"{site.version or 'this LSF'} has no option {option}, and would misread it; "
                f"leave the backend argument {name!r} out, or use 'project'."
            )
        words += [option, str(value)]
    words += _resources(submission, site)
    extra = args.get("extra_args") or ()
    return words + (split(extra) if isinstance(extra, str) else [str(word) for word in extra])


def _resources(submission: Submission, site: Site) -> list[str]:
    args, asked = submission.backend_args, submission.resources
    words, requirements, usage = [], [], []
    minutes = max(_minutes(asked.walltime), args.get("run_limit") or 0)
    if minutes:
        words += ["-W", str(minutes)]
    cpus = max(asked.cpus, args.get("request_cpus") or 1)
    if cpus > 1:
        words += ["-n", str(cpus)]
        requirements.append("span[hosts=1]")
    memory = max(asked.memory_mb or 0, args.get("request_memory") or 0)
    if memory:
        reserve = _unit(args, site.reserve_unit)
        # A limit in a doubtful unit may kill what it should not; the reservation stands in any case.
        limit = args.get("memory_unit") or site.limit_unit
        if limit and args.get("memory_limit", True):
            words += ["-M", str(amount(memory, limit))]
        usage.append(f"mem={amount(memory / (cpus if site.per_task else 1), reserve)}")
    if asked.disk_mb:
        usage.append(f"tmp={amount(asked.disk_mb, site.disk_unit or 'MB')}")
    if usage:
        requirements.append(f"rusage[{':'.join(usage)}]")  # the open versions know no comma
    if extra := args.get("resource_requirement"):
        requirements.insert(0, str(extra))
    return [*words, "-R", " ".join(requirements)] if requirements else words


def _minutes(walltime: timedelta | None) -> int:
    """A time limit, rounded up [min]."""
    return 0 if walltime is None else max(1, -int(-walltime.total_seconds() // 60))


def _unit(args: Mapping[str, Any], found: str | None) -> str:
    unit = args.get("memory_unit") or found
    if unit is None:
        raise SubmissionError(
            "LSF did not tell in which unit it takes memory, for lsf.conf cannot be read; "
            "set the backend argument memory_unit to KB, MB or GB (LSF_UNIT_FOR_LIMITS of the site)."
        )
    return str(unit)


def script(submission: Submission) -> str:
    """The script; it executes the task at the position of the element."""
    number = "${LSB_JOBID%%[[]*}"
    if submission.size == 1:
        guard, position, identity = "", "0", number
    else:
        guard, position, identity = _ELEMENT, "$((LSB_JOBINDEX - 1))", number + "[${LSB_JOBINDEX}]"
    extra = submission.backend_args.get("extra_lines") or ()
    lines = ["#!/bin/sh", *(extra.splitlines() if isinstance(extra, str) else map(str, extra))]
    # LSF announces the end of the time by SIGUSR2, minutes before it kills: the task can still be recorded.
    lines.append("trap '' USR2")
    lines += _calling(submission, position, identity)
    return "\n".join(lines[:-1]) + f"\n{guard}{lines[-1]}\n"


def _calling(submission: Submission, position: str, identity: str) -> Sequence[str]:
    """The log and the call of the task."""
    directory = str(submission.directory)
    log = '{ : >>"$log"; } 2>/dev/null && exec >>"$log" 2>&1'
    if directory.isascii() and directory.isprintable():
        path = quote(str(submission.directory / LOG))
        return (f"log={path}", log, task_call(submission, position, identity))
    here = f"here=$(printf '%b.' '{_octal(submission.directory)}'); here=${{here%.}}"
    call = f'exec /bin/sh "$here/task.sh" "{position}" "{identity}"'
    return (here, f'log="$here/{LOG}"', log, call)


def _octal(path: Path) -> str:
    """A path in ASCII, for ``printf %b``: lines of its name must not look like directives, and not every part
    of LSF is clean for other bytes.
    """
    return "".join(
        chr(byte) if byte in _PLAIN else f"\\0{byte:03o}"
        for byte in str(path).encode("utf-8", "surrogateescape")
    )
