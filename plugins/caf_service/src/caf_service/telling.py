"""What people are told about a calibration, as plain JSON values."""

import json
from collections.abc import Mapping
from typing import Any

from caf_service.conductor import Live
from caf_service.desk import Seen
from caf_service.plan import Plan
from caf_service.settings import REQUIRED
from caf_service.snapshot import Snapshot, State
from caf_service.store.records import Facts, Step
from caf_service.store.store import Store

EVENTS = 200
"""So many events are told."""


def summary(facts: Facts, snapshot: Snapshot, version: str) -> dict[str, Any]:
    """A calibration in a few values."""
    position = snapshot.position
    stage, phases = facts.setup.stages[position.stage]
    return {
        "id": facts.id,
        "name": facts.setup.name,
        "owner": facts.owner_name,
        "plan": facts.setup.plan,
        "version": facts.setup.version,
        "state": str(snapshot.state),
        "stage": stage,
        "phase": phases[position.phase],
        "step": position.step,
        "serial": position.serial,
        "workers": snapshot.workers,
        "quorum": snapshot.quorum,
        "needed": snapshot.needed,
        "reported": len(snapshot.reported),
        "failures": snapshot.failures,
        "resubmissions": snapshot.resubmissions,
        "message": snapshot.message if snapshot.state.ended else snapshot.message or _waits(facts),
        "created": facts.created,
        "ended": facts.ended,
        "output_dir": facts.output,
        "result": snapshot.state is State.FINISHED,
        "version_seen": version,
    }


def _waits(facts: Facts) -> str:
    """Why its workers are not submitted yet, if the agent has noted that."""
    try:
        noted = json.loads(facts.job) if facts.job else {}
    except ValueError:
        return ""
    return str(noted.get("waits", "")) if isinstance(noted, dict) else ""


def details(store: Store, facts: Facts, live: Live, seen: Mapping[int, Seen]) -> dict[str, Any]:
    """Everything about a calibration."""
    snapshot = live.snapshot
    late = store.late(facts.id)
    return {
        **summary(facts, snapshot, live.version),
        "settings": facts.setup.settings,
        "warnings": list(facts.setup.warnings),
        "missing": [one for one in range(snapshot.workers) if one not in snapshot.reported],
        "dead": sorted(snapshot.dead),
        "parameters": live.parameters,
        "backend": facts.setup.backend,
        "backend_args": facts.setup.backend_args,
        "steps": [_step(facts, one, late.get(one.serial, 0)) for one in store.steps(facts.id)],
        "crew": [
            {"worker": worker, "state": one.state, "serial": one.serial, "seen": one.time}
            for worker, one in sorted(seen.items())
        ],
        "events": [
            {"time": one.time, "kind": one.kind, "text": one.text} for one in store.events(facts.id, EVENTS)
        ],
    }


def plan_told(name: str, plan: Plan) -> dict[str, Any]:
    """What a plan wants to know."""
    return {
        "name": name,
        "version": plan.version,
        "samples": list(plan.samples),
        "quorum": plan.quorum,
        "stages": [
            {
                "name": stage.name,
                "phases": [
                    {"name": one.name, "sample": one.sample, "max_steps": one.max_steps}
                    for one in stage.phases
                ],
            }
            for stage in plan.stages
        ],
        "settings": {
            key: {
                "meaning": one.meaning,
                "required": one.default is REQUIRED,
                "default": None if one.default is REQUIRED else one.default,
            }
            for key, one in plan.settings.items()
        },
    }


def _step(facts: Facts, step: Step, late: int) -> dict[str, Any]:
    stage, phases = facts.setup.stages[step.stage]
    return {
        "serial": step.serial,
        "stage": stage,
        "phase": phases[step.phase],
        "step": step.step,
        "began": step.began,
        "quorum_at": step.quorum_at,
        "ended": step.ended,
        "used": len(step.used),
        "missing": list(step.missing),
        "late": late,
        "metrics": step.metrics,
        "converged": step.converged,
        "message": step.message,
    }
