"""What a plan's author wrote is executed here, in a process of its own.

``python -m caf_service.updating FOLDER`` reads ``request.json`` in the folder and leaves ``answer.json``.
The service is not hurt by what happens.
"""

import json
import math
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict

from caf_core.errors import CafError, ConfigurationError
from caf_core.json_text import exact_json, json_text
from caf_core.plugins.lookup import import_named
from caf_core.processes.command import execute
from caf_core.processes.subreaper import follow_parent
from caf_service.plan import Plan, Position, Results, Update
from caf_service.plans import accuracy_of, default_shares, load_plan
from caf_service.texts import plain

REQUEST = "request.json"
ANSWER = "answer.json"
LOG = "log.txt"
CANNOT = 1


class PlanError(CafError):
    """What the author of a plan wrote did not do what it should."""


def run_plan(
    action: str,
    folder: Path,
    request: Mapping[str, Any],
    timeout: float,
    started: Callable[["subprocess.Popen[bytes]"], object] = lambda _: None,
) -> Mapping[str, Any]:
    """Execute a function of a plan in a process of its own.

    Args:
        action: ``begin``, ``update`` or ``finish``.
        folder: An empty folder for it to work in.
        request: What it is given.
        timeout: How long it may take [s].
        started: Told the process.
    Returns:
        What it answered.
    Raises:
        PlanError: If it did not; in one sentence.
    """
    asked = {"action": action, "service": os.getpid(), **request}
    (folder / REQUEST).write_text(exact_json(asked))
    path = os.pathsep.join(one for one in sys.path if one)
    command = [sys.executable, "-m", "caf_service.updating", str(folder)]
    done = execute(
        command, timeout=timeout, cwd=folder, env={**os.environ, "PYTHONPATH": path}, started=started
    )
    if done.stdout or done.stderr:
        (folder / LOG).write_text(done.stdout + done.stderr)
    name = f"the function {action} of the plan {request['plan']!r}"
    if done.returncode is None:
        raise PlanError(f"{name} took longer than {timeout:g} s.")
    if done.returncode < 0:
        raise PlanError(f"{name} was ended by signal {-done.returncode}.")
    try:
        answer: Mapping[str, Any] = json.loads((folder / ANSWER).read_bytes())
    except (OSError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise PlanError(f"{name} left no answer: {last[:500]}") from error
    if "error" in answer:
        raise PlanError(f"{name} failed: {answer['error']}")
    return answer


def main(arguments: list[str]) -> int:
    """Answer the request in a folder."""
    # A service that was started with nohup ignores this, and whom it starts would too.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    follow_parent()
    folder = Path(arguments[0])
    request = json.loads((folder / REQUEST).read_text())
    if os.getppid() != request["service"]:
        # It died while this process began; the next one uses the same folder.
        return CANNOT
    try:
        plan = load_plan(request["plan"], request["reference"])
        answer = _ACTIONS[request["action"]](plan, request)
        # As it is sent to people and workers: a half of a character is found out here.
        text = exact_json(answer, ensure_ascii=False, default=_plain).encode()
    except Exception as error:
        traceback.print_exc()
        said = " ".join(str(error).split())[:1000]
        kind = "" if isinstance(error, CafError) else type(error).__name__
        text = json_text({"error": ": ".join(one for one in (kind, said) if one)}).encode()
    partial = folder / f".{ANSWER}"
    partial.write_bytes(text)
    partial.replace(folder / ANSWER)
    return 0


def _begin(plan: Plan, request: Mapping[str, Any]) -> Mapping[str, Any]:
    settings, files, workers = request["settings"], request["samples"], request["workers"]
    share = named(plan.share) if plan.share else None
    shares = share(files, settings, workers) if share else default_shares(files, workers)
    if len(shares) != workers:
        raise ConfigurationError(f"it shares the input out to {len(shares)} workers, and not to {workers}.")
    parameters = named(plan.begin)(settings, _paths(request["inputs"]))
    return {
        "parameters": _parameters(parameters),
        "shares": [
            {sample: [asdict(part) for part in parts] for sample, parts in one.items()} for one in shares
        ],
    }


def _update(plan: Plan, request: Mapping[str, Any]) -> Mapping[str, Any]:
    position = Position(**request["position"])
    phase = plan.stages[position.stage].phases[position.phase]
    results = Results(
        position=position,
        files=_numbered(request["files"]),
        earlier={name: _numbered(files) for name, files in request["earlier"].items()},
        settings=request["settings"],
        accuracy=accuracy_of(phase, request["settings"]),
        directory=Path(request["directory"]),
        inputs=_paths(request["inputs"]),
    )
    update = named(phase.update)(results, request["parameters"])
    if not isinstance(update, Update):
        raise ConfigurationError(f"it answered with a {type(update).__name__}, and no caf_service.Update.")
    metrics = {str(name): float(value) for name, value in update.metrics.items()}
    return {
        "parameters": _parameters(update.parameters),
        "metrics": {name: value if math.isfinite(value) else None for name, value in metrics.items()},
        "converged": bool(update.converged),
        "message": plain(update.message),
    }


def _finish(plan: Plan, request: Mapping[str, Any]) -> Mapping[str, Any]:
    if plan.finish:
        folder = Path(request["directory"])
        named(plan.finish)(request["parameters"], request["settings"], _paths(request["inputs"]), folder)
    return {}


def named(function: str | Callable[..., Any]) -> Any:
    """A function of a plan, which may be given by ``package.module:function``."""
    return import_named(function) if isinstance(function, str) else function


_ACTIONS: Mapping[str, Callable[[Plan, Mapping[str, Any]], Mapping[str, Any]]] = {
    "begin": _begin,
    "update": _update,
    "finish": _finish,
}


def _parameters(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"it gave parameters that are a {type(value).__name__}, and no mapping.")
    return value


def _paths(values: Mapping[str, str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in values.items()}


def _numbered(values: Mapping[str, str]) -> dict[int, Path]:
    return {worker: Path(values[str(worker)]) for worker in sorted(map(int, values))}


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, and paths."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is no plain JSON value")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
