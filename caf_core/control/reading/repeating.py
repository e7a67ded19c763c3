"""The same task or execution once more, in a folder of its own (``caf debug``)."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.calibration.journal import Recorded
from caf_core.control.preloading import PLAN
from caf_core.control.reading.causes import Case
from caf_core.errors import ConfigurationError
from caf_core.jobs.files import submission_directory
from caf_core.jobs.node import CALL_FILE, call_of, with_setup
from caf_core.jobs.workspace import Workspace, environment

SHOWN = ("TERM", "DISPLAY", "COLUMNS", "LINES")
"""What a person at a terminal needs besides the environment of a task."""


@frozen
class Repetition:
    """What is to be executed.

    Args:
        argv: The command.
        directory: The folder that it works in; its inputs lie there.
        environment: All of its environment.
        python: Whether it is a Python call.
    """

    argv: tuple[str, ...]
    directory: Path
    environment: dict[str, str]
    python: bool


def prepare(case: Case, scratch: Path, *, debugger: bool = False) -> Repetition:
    """Lay the inputs of a task or execution out in a new folder; what was recorded stays untouched.

    Args:
        case: Which one.
        scratch: An existing folder; a subfolder is made in it.
        debugger: Whether a Python call ends in the debugger if it raises.
    Raises:
        ConfigurationError: If what it needs is no longer there, or a command should be debugged.
    """
    work, last = case.work, case.last
    line = case.line if work.execution is None else {**case.line, "call": _once(case.line, work.execution)}
    call = line["call"]
    if debugger and not call:
        raise ConfigurationError(
            f"{work.name} is a command ({' '.join(line['argv'])}), and --pdb debugs Python; leave --pdb out, "
            "and debug the command with its own means."
        )
    _check_inputs(line)
    spec = {**line, "attempt": last.number if last else 1, "cpus": 1}
    folder = scratch / (f"attempt-{last.number}" if last else "attempt-1")
    with Workspace(str(folder), spec) as space:  # without logs, which go to the terminal this time
        if call:
            space.write_json(CALL_FILE, call_of(spec))
    env = environment(spec, str(submission_directory(work.directory, "debug")))
    env |= {name: os.environ[name] for name in SHOWN if name in os.environ}
    module = "caf_core.cli.postmortem" if debugger else "caf_core.jobs.call"
    argv = (
        [sys.executable, "-P", "-m", module, CALL_FILE]
        if call
        else with_setup(line["setup_cmds"], line["argv"])
    )
    return Repetition(tuple(argv), folder, env, bool(call))


def _once(line: Mapping[str, Any], one: Recorded) -> dict[str, Any]:
    """The call of a plan's task, for one of its executions."""
    call = line["call"]
    arguments = {
        "algorithm": call["arguments"]["algorithm"],
        "key": one.key,
        "runs": [list(run) for run in one.runs],
        "iov": one.iov,
    }
    return {**call, "entry": f"{PLAN}:execute_once", "arguments": arguments}


def _check_inputs(line: Mapping[str, Any]) -> None:
    arguments = (line["call"] or {}).get("arguments", {})
    arguments = arguments.get("algorithm", arguments)
    needed = [arguments[name] for name in ("kit", "index") if name in arguments]
    needed += [url for url in arguments.get("chain", ()) if url.startswith("/")]
    needed += line["sandbox"]
    for name in needed:
        if not Path(name).exists():
            raise ConfigurationError(
                f"it cannot be executed again: {name}, which it needs, is no longer there (caf "
                "tidy may have removed it); start the calibration again with keep_collector_output='all', or "
                "from an earlier state."
            )
