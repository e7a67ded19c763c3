"""What the store gives and takes: plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, field, frozen


@frozen
class User:
    """Somebody who may use the service.

    Args:
        id: Its number.
        name: Its name.
        role: ``user``, ``admin`` or ``agent``.
        active: Whether it has a token that is valid.
    """

    id: int
    name: str
    role: str
    active: bool = True


@frozen
class Token:
    """A token: of a user, or of a worker of a calibration.

    Args:
        id: Its number, which is part of the token's text.
        digest: The SHA-256 of its secret.
        user: The user, if it is a user's.
        calibration: The calibration, if it is a worker's.
        worker: The worker's number.
    """

    id: int
    digest: str
    user: User | None = None
    calibration: int = 0
    worker: int = -1


@frozen
class Attached:
    """A file that a calibration brought.

    Args:
        number: Its number, which names it on disk.
        size: Its size [bytes].
        sha256: Its checksum.
    """

    number: int
    size: int
    sha256: str


@frozen
class Setup:
    """What never changes in a calibration.

    Args:
        name: What its owner calls it.
        plan: The plan's name.
        version: The plan's version.
        reference: ``package.module:PLAN``, or nothing if a plugin registered the plan.
        settings: The settings, defaults filled in.
        samples: sample -> files.
        attached: Files that it brought: name -> facts.
        suffix: Suffix of the files that workers report.
        stages: Name of every stage of the plan, and of its phases.
        phase_samples: Sample of every phase, by stage.
        backend: The backend of the workers; nothing for the agent's default.
        backend_args: Its arguments.
        warnings: What was said at its creation.
    """

    name: str
    plan: str
    version: str
    reference: str
    settings: Mapping[str, Any]
    samples: Mapping[str, Sequence[str]]
    attached: Mapping[str, Attached] = field(factory=dict)
    suffix: str = ".json"
    stages: Sequence[tuple[str, Sequence[str]]] = ()
    phase_samples: Sequence[Sequence[str]] = ()
    backend: str = ""
    backend_args: Mapping[str, Any] = field(factory=dict)
    warnings: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Setup":
        """The other way."""
        attached = {name: Attached(**one) for name, one in values["attached"].items()}
        stages = tuple((stage, tuple(phases)) for stage, phases in values["stages"])
        return cls(**{**values, "attached": attached, "stages": stages})


@frozen
class Facts:
    """A calibration beside its snapshot.

    Args:
        id: Its number.
        owner: The number of its owner.
        owner_name: The owner's name.
        setup: What never changes.
        output: Where its result is copied; nothing for nowhere.
        job: What the agent wrote down.
        dismissed: Whether its workers are gone for good.
        created: When it was created [s since the epoch].
        ended: When it ended.
    """

    id: int
    owner: int
    owner_name: str
    setup: Setup
    output: str
    job: str
    dismissed: bool
    created: float
    ended: float | None


@frozen
class Step:
    """A step as it was written down."""

    serial: int
    at: int
    stage: int
    phase: int
    step: int
    parameters: Mapping[str, Any]
    used: tuple[int, ...]
    missing: tuple[int, ...]
    began: float
    quorum_at: float | None
    ended: float | None
    metrics: Mapping[str, float]
    converged: bool | None
    message: str


@frozen
class Result:
    """A result as it was written down; the file of one that was late is not kept."""

    worker: int
    sha256: str
    size: int
    late: bool


@frozen
class Event:
    """Something that happened to a calibration, for people."""

    time: float
    kind: str
    text: str
