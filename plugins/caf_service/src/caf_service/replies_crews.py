"""What the service answers to workers and agents, for its description; see ``replies``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from caf_service.replies import STATES, Reply


class SliceTold(Reply):
    """A part of a file, by events; to its end without a count."""

    file: str
    first: int
    count: int | None


class Brought(Reply):
    """A file that a calibration brought; its size in bytes."""

    name: str
    sha256: str
    size: int


class Inputs(Reply):
    """What a worker needs to know once; heartbeat in seconds; below the roots, users have input files."""

    calibration: int
    worker: int
    workers: int
    plan: str
    version: str
    reference: str
    settings: dict[str, Any]
    share: dict[str, list[SliceTold]]
    files: list[Brought]
    suffix: str
    heartbeat: float
    roots: list[str]


class WorkTold(Reply):
    """A step that is to be done."""

    kind: Literal["work"]
    serial: int
    step: int
    stage: str
    phase: str
    stage_index: int
    phase_index: int
    sample: str
    parameters: dict[str, Any]


class Wait(Reply):
    """There is nothing to do yet; ask again."""

    kind: Literal["wait"]


class GoOn(Reply):
    """The calibration goes on."""

    kind: Literal["go_on"]


class Over(Reply):
    """The calibration is over."""

    kind: Literal["end"]
    reason: Literal["finished", "failed", "killed"]
    message: str


class Taken(Reply):
    """A result: counted; known already; or late, which is recorded and not used."""

    status: Literal["counted", "known", "late"]


class Noted(Reply):
    """A failure was written down."""

    status: Literal["noted"]


class Done(Reply):
    """It was done."""

    status: Literal["ok"]


class Count(Reply):
    """How many changes there were."""

    count: int


class Tokens(Reply):
    """worker -> its token; they are told once."""

    tokens: dict[str, str]


class SeenTold(Reply):
    """The last sign of life of a worker."""

    time: float
    state: str
    serial: int


class CrewTold(BaseModel):
    """The workers of a calibration; see ``caf_service.desk.Crew``."""

    model_config = ConfigDict(extra="allow")

    calibration: int
    name: str
    owner: str
    plan: str
    version: str
    state: STATES
    message: str
    workers: int
    needed: int
    serial: int
    backend: str
    backend_args: dict[str, Any]
    job: str
    dead: dict[str, float]
    resubmit: list[int]
    reported: list[int]
    seen: dict[str, SeenTold]
    since: float
    failures: int
