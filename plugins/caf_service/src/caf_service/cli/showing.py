"""Calibrations of a service as text."""

from collections.abc import Mapping
from typing import Any

from caf_core.cli.base import duration, listed, shown
from caf_core.cli.tables import aligned
from caf_core.json_text import json_text

COLUMNS = ("id", "name", "plan", "state", "phase", "step", "reported", "failures", "since")
PLANS = ("name", "version", "stages", "samples", "quorum")
SETTINGS = ("setting", "default", "meaning")
EVENTS = 8
"""So many events are shown."""
LONGEST = 120
"""So much of a parameter is shown."""
STEPS = ("step", "phase", "used", "missing", "late", "took", "metrics", "")


def row(one: Mapping[str, Any], now: float) -> list[str]:
    """A calibration in a table."""
    return [
        str(one["id"]),
        one["name"] or "-",
        one["plan"],
        one["state"],
        f"{one['stage']}.{one['phase']}",
        str(one["step"]),
        f"{one['reported']}/{one['needed']} of {one['workers']}",
        str(one["failures"]),
        f"{duration(now - one['created'])} ago",
    ]


def text_of(status: Mapping[str, Any], now: float, last: int | None = None) -> str:
    """Everything about a calibration, for people.

    Args:
        status: What the service tells.
        now: The time [s since the epoch].
        last: Show only so many steps.
    """
    lines = aligned(COLUMNS, [row(status, now)])
    if status["message"]:
        lines.append(shown(status["message"]))
    for warning in status["warnings"]:
        lines.append(f"warning: {shown(warning)}")
    if status["ended"] is None:
        lines.append(f"not reported: {_workers(status['missing'])}; dead: {_workers(status['dead'])}")
    if status["resubmissions"]:
        lines.append(f"resubmissions: {status['resubmissions']}")
    steps = status["steps"] if last is None else status["steps"][-last:]
    if len(steps) < len(status["steps"]):
        lines.append(f"... {len(status['steps']) - len(steps)} earlier steps")
    if steps:
        lines += [
            "",
            *aligned(
                STEPS,
                [_step(step, status["ended"] or now, over=status["ended"] is not None) for step in steps],
            ),
        ]
    if not last:
        lines += [
            "",
            *(_cut(f"{shown(name)} = {shown(value)}") for name, value in status["parameters"].items()),
        ]
    # What began and what ended is said above.
    told = [
        one for one in status["events"] if one["text"] and one["kind"] not in ("created", "failed", "killed")
    ]
    lines += [""] if told else []
    for one in told[-EVENTS:]:
        lines.append(f"{duration(now - one['time'])} ago: {shown(one['kind'])}: {shown(one['text'])}")
    return "\n".join(lines).rstrip()


def plan_row(one: Mapping[str, Any]) -> list[str]:
    """A plan in a table."""
    stages = ", ".join(f"{stage['name']} ({len(stage['phases'])})" for stage in one["stages"])
    return [one["name"], one["version"], stages, ", ".join(one["samples"]) or "-", f"{one['quorum']:g}"]


def plan_text(one: Mapping[str, Any]) -> str:
    """Everything about a plan, for people."""
    phases = [
        [f"{stage['name']}.{phase['name']}", phase["sample"], str(phase["max_steps"])]
        for stage in one["stages"]
        for phase in stage["phases"]
    ]
    settings = [
        [name, "required" if each["required"] else json_text(each["default"]), shown(each["meaning"])]
        for name, each in one["settings"].items()
    ]
    lines = [
        shown(
            f"{one['name']}, version {one['version']}; samples: {', '.join(one['samples']) or 'none'}; "
            f"quorum {one['quorum']:g}"
        ),
        "",
        *aligned(("phase", "sample", "most steps"), phases),
    ]
    return "\n".join([*lines, *(["", *aligned(SETTINGS, settings)] if settings else [])])


def step_line(step: Mapping[str, Any]) -> str:
    """A step that has ended, in one line."""
    cells = zip(STEPS, _step(step, 0.0), strict=True)
    return shown("  ".join(f"{name} {cell}".strip() for name, cell in cells if cell not in ("", "-")))


def _step(step: Mapping[str, Any], now: float, *, over: bool = False) -> list[str]:
    took = duration((step["ended"] or now) - step["began"])
    # What was not finite is nothing in JSON.
    metrics = ", ".join(
        f"{name} {'nan' if value is None else format(value, '.4g')}"
        for name, value in step["metrics"].items()
    )
    unknown = "not ended" if over else "under way"
    how = {True: "converged", False: "goes on", None: unknown}[step["converged"]]
    return [
        str(step["serial"]),
        f"{step['stage']}.{step['phase']}.{step['step']}",
        str(step["used"]),
        _workers(step["missing"]),
        str(step["late"]),
        took,
        metrics or "-",
        "; ".join(filter(None, (how, shown(step["message"])))),
    ]


def _cut(line: str) -> str:
    """A parameter may be a table."""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _workers(numbers: list[int]) -> str:
    return listed([str(number) for number in numbers]) if numbers else "-"
