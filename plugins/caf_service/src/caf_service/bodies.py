"""The bodies of requests."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_SHORT = 200
_MOST = 2**31 - 1

Number = Annotated[int, Field(ge=0, le=_MOST, strict=True)]


class Body(BaseModel):
    """What all have in common: names that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


class Content(Body):
    """A file that comes along: as text, or in base64."""

    text: str | None = None
    base64: str | None = None


class Place(Body):
    """A place in a plan; names, or indices from 0."""

    stage: str | Number | None = None
    phase: str | Number | None = None


class NewCalibration(Body):
    """A calibration that is to be created."""

    plan: str = Field(max_length=_SHORT)
    workers: Number
    settings: dict[str, Any] = {}
    quorum: Annotated[float, Field(strict=True)] | None = None
    inputs: dict[str, list[str]] = {}
    files: dict[str, Content] = {}
    start: Place | None = None
    stop: Place | None = None
    output_dir: str = Field("", max_length=4000)
    backend: str = Field("", max_length=_SHORT)
    backend_args: dict[str, Any] = {}
    name: str = Field("", max_length=_SHORT)
    key: str = Field("", max_length=64)


class Output(Body):
    """Where a result is to be copied."""

    path: str = Field(min_length=1, max_length=4000)


class NewUser(Body):
    """A user who is to be made."""

    name: str = Field(max_length=_SHORT)
    role: str = Field("user", max_length=_SHORT)


class Heartbeat(Body):
    """A sign of life."""

    state: str = Field("", max_length=40)
    serial: Number = 0


class Failure(Body):
    """Why a worker cannot go on."""

    serial: Number = 0
    message: str = Field(max_length=2000)
    log: str = Field("", max_length=1 << 16)
    excused: bool = False


class Workers(Body):
    """Some workers."""

    workers: list[Number] = Field(max_length=100_000)


class TokensFor(Workers):
    """Workers that need tokens."""

    revoke: bool = True


class Deaths(Body):
    """Workers that have ended, and why."""

    workers: dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], str] = Field(max_length=100_000)
    excused: list[Number] = Field([], max_length=100_000)


class Note(Body):
    """What an agent wants to find again."""

    job: str = Field(max_length=1 << 16)


class Complaint(Body):
    """Why workers cannot be submitted."""

    message: str = Field(max_length=2000)


class Nothing(Body):
    """No more than that."""
