"""What the service answers, for its description: nobody waits while answers are checked against it.

The tests do that: they ask everything in every role, and compare what comes with what is described here.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

STATES = Literal["running", "updating", "finished", "failed", "killed"]
Role = Literal["user", "admin", "agent"]


class Reply(BaseModel):
    """What all have in common: they hold nothing else."""

    model_config = ConfigDict(extra="forbid")


class Health(Reply):
    """The service is there."""

    status: Literal["ok"]
    version: str


class Me(Reply):
    """Who asks."""

    name: str
    role: Role


class PhaseTold(Reply):
    """A phase of a plan."""

    name: str
    sample: str
    max_steps: int


class StageTold(Reply):
    """A stage of a plan."""

    name: str
    phases: list[PhaseTold]


class SettingTold(Reply):
    """A setting of a plan."""

    meaning: str
    required: bool
    default: Any


class PlanTold(Reply):
    """A plan, and what it wants to know."""

    name: str
    version: str
    samples: list[str]
    quorum: float
    stages: list[StageTold]
    settings: dict[str, SettingTold]


class UserTold(Reply):
    """Somebody; active if there is a token that is valid."""

    name: str
    role: Role
    active: bool


class UserMade(Reply):
    """A new user; the token is told once."""

    name: str
    role: Role
    token: str


class TokenMade(Reply):
    """One more token; it is told once."""

    token: str


class Revoked(Reply):
    """How many tokens of a user have ended."""

    name: str
    revoked: int


class Created(Reply):
    """A calibration was created, or was there already under the same key."""

    id: int
    warnings: list[str]


class Summary(Reply):
    """A calibration in a few values; times in seconds since the epoch."""

    id: int
    name: str
    owner: str
    plan: str
    version: str
    state: STATES
    stage: str
    phase: str
    step: int
    serial: int
    workers: int
    quorum: float
    needed: int
    reported: int
    failures: int
    resubmissions: int
    message: str
    created: float
    ended: float | None
    output_dir: str
    result: bool
    version_seen: str


class StepTold(Reply):
    """A step."""

    serial: int
    stage: str
    phase: str
    step: int
    began: float
    quorum_at: float | None
    ended: float | None
    used: int
    missing: list[int]
    late: int
    metrics: dict[str, float | None]
    converged: bool | None
    message: str


class WorkerTold(Reply):
    """A worker that was heard of."""

    worker: int
    state: str
    serial: int
    seen: float


class EventTold(Reply):
    """Something that happened."""

    time: float
    kind: str
    text: str


class Details(Summary):
    """Everything about a calibration."""

    settings: dict[str, Any]
    warnings: list[str]
    missing: list[int]
    dead: list[int]
    parameters: dict[str, Any]
    backend: str
    backend_args: dict[str, Any]
    steps: list[StepTold]
    crew: list[WorkerTold]
    events: list[EventTold]


class Cleaned(Reply):
    """A calibration was forgotten."""

    id: int
    cleaned: Literal[True]


class FileTold(Reply):
    """A file that can be fetched; its size in bytes."""

    name: str
    size: int
