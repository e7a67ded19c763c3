"""The text of the submit file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Submission
from caf_htcondor.follow import LOG
from caf_htcondor.request import Request, request

SUBMIT_FILE = "submit.sub"
"""Its name in the directory of a submission."""

KEPT = frozenset(
    {
        "queue",
        "log",
        "executable",
        "arguments",
        "initialdir",
        "transfer_executable",
        "max_materialize",
        "output",
    }
    | {"error", "log_xml", "job_batch_name", "jobbatchname", "+caftoken", "should_transfer_files"}
    | {"transfer_input_files", "transfer_output_files", "when_to_transfer_output"}
)
"""What caf itself must say; extra_lines may not."""

_NAME = re.compile(r"[^A-Za-z0-9 _.,:+=/-]")


@frozen
class Shape:
    """How a submission lies and travels.

    Args:
        initialdir: The directory of the submission under a name that HTCondor accepts; ``None`` if the
            current one will do.
        log: Where the event log is, seen from there.
        lines: What is needed for the transfer of files; without, the nodes see the directory.
        script: What the shell executes in the task's working directory, with its position and id.
        queue: The ``queue`` statement.
    """

    initialdir: str | None = None
    log: str = LOG
    lines: Sequence[str] = field(default=("should_transfer_files = NO",))
    script: str = "exec /bin/sh ./task.sh $(Process) $(Cluster).$(Process) >>scheduler.log 2>&1"
    queue: str = ""


def submit_file(submission: Submission, shape: Shape) -> str:
    """The submit file of a submission, whose other files lie in the current directory.

    Nothing that a user or a file system named stands in it, except what was meant for it: the arguments of
    the backend.

    Raises:
        ConfigurationError: If an argument cannot be used.
    """
    args = submission.backend_args
    needs = request(submission.resources, args)
    lines = [
        f"universe = {_one_line('universe', args.get('universe') or 'vanilla')}",
        "executable = /bin/sh",
        "transfer_executable = false",
        # No output of tasks goes this way: they write into their own folders.
        f"arguments = \"-c '{shape.script}'\"",
        "output = /dev/null",
        "error = /dev/null",
        f"log = {shape.log}",
        "notification = never",
        f"JobBatchName = {submission.token}",
        f'+CafToken = "{submission.token}"',
        f"description = {_NAME.sub('_', submission.name)[:80]}",
        *([f"initialdir = {shape.initialdir}"] if shape.initialdir else []),
        *shape.lines,
        *_requests(needs, args),
        *_choices(args),
        *extra_lines(args),
        shape.queue or f"queue {submission.size}",
    ]
    return "\n".join(lines) + "\n"


def _requests(needs: Request, args: Mapping[str, Any]) -> list[str]:
    lines = [f"request_cpus = {needs.cpus}", f"request_memory = {needs.memory_mb}"]
    if needs.disk_mb is not None:
        lines.append(f"request_disk = {needs.disk_mb} MB")
    attribute = str(args.get("runtime_attribute") or "").lstrip("+").removeprefix("MY.")
    if attribute and not attribute.isidentifier():
        raise ConfigurationError(
            f"runtime_attribute of HTCondor is {attribute!r}; give an attribute's name, such as MaxRuntime."
        )
    if needs.seconds is not None:
        # A limit of the execution is not kept where that began in the same second as the job (seen in 23.9);
        # one of the whole job would count the transfers too.
        which = "execute" if args.get("transfer") else "job"
        lines.append(f"allowed_{which}_duration = {needs.seconds}")
        lines += [f"+{attribute} = {needs.seconds}"] if attribute else []
    return lines


def _choices(args: Mapping[str, Any]) -> list[str]:
    getenv = args.get("getenv", False)
    lines = [f"getenv = {str(getenv).lower() if isinstance(getenv, bool) else _one_line('getenv', getenv)}"]
    for name in ("requirements", "accounting_group", "accounting_group_user", "priority"):
        if args.get(name) is not None:
            lines.append(f"{name} = {_one_line(name, args[name])}")
    if args.get("max_materialize"):
        lines.append(f"max_materialize = {args['max_materialize']}")
    return lines


def extra_lines(args: Mapping[str, Any]) -> list[str]:
    """The user's own lines.

    Raises:
        ConfigurationError: If one says what caf must say.
    """
    given = args.get("extra_lines") or ()
    lines = given.splitlines() if isinstance(given, str) else [str(line) for line in given]
    for line in lines:
        _one_line("extra_lines", line)
        word = re.split(r"[\s=]", line.strip(), maxsplit=1)[0].lower()
        if word in KEPT:
            raise ConfigurationError(
                f"extra_lines of HTCondor has the line {line!r}, but caf itself says {word!r}; leave it out."
            )
    return lines


def _one_line(name: str, value: object) -> str:
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ConfigurationError(f"{name} of HTCondor is {text!r}; it must be one line.")
    if text.rstrip().endswith("\\"):
        raise ConfigurationError(f"{name} of HTCondor ends with a backslash: {text!r}; write one line.")
    return text
