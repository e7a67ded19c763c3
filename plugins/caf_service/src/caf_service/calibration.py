"""A plan as a calibration of a CAF, with dependencies and payloads like any other."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define, field

from caf_core.calibration.calibration import CalibrationBase
from caf_core.calibration.convergence import Convergence
from caf_core.calibration.files import write_json
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import CafError, ConfigurationError
from caf_core.iov import IoV
from caf_core.json_text import json_text
from caf_service.client import Client, Status, files_of, located
from caf_service.own_service import UnfinishedError, own_service
from caf_service.plan import Parameters, Plan
from caf_service.plans import load_plan
from caf_service.transport import RefusedError

log = logging.getLogger("caf.service")

MakePayloads = Callable[[Parameters, Path], Iterable[Payload]]
"""Makes constants of the last parameters and the folder of the result."""


@define(eq=False, kw_only=True, slots=False)
class ServiceCalibration(CalibrationBase):
    """A calibration that resident workers of a service carry out.

    Without a ``url`` a service and its agent are started in the process of the CAF, with their files in the
    calibration's folder. When the process is killed and the script started again, they go on.

    Args:
        plan: The name of a plugin's plan, or ``package.module:PLAN``.
        workers: How many workers it gets.
        inputs: Sample -> files.
        settings: The plan's settings, or a function that is given this calibration when it begins, so that it
            can look at what it depends on.
        files: Small files that come along: name -> path or content.
        quorum: The fraction of workers that must report before a step ends; the plan's if left out.
        start: Where to start, as ``{"stage": name, "phase": name}``.
        stop: Where to stop.
        backend: What executes the workers; with a service of its own also an instance.
        backend_args: Arguments for it.
        url: The address of a service elsewhere.
        token: The token for it.
        payloads: Makes its constants; all parameters become one payload of its name if left out.
    """

    plan: str
    workers: int = 1
    inputs: Mapping[str, Iterable[str | Path] | str | Path] = field(factory=dict)
    settings: Mapping[str, Any] | Callable[["ServiceCalibration"], Mapping[str, Any]] = field(factory=dict)
    files: Mapping[str, str | bytes | Path] = field(factory=dict)
    quorum: float | None = None
    start: Mapping[str, Any] | None = None
    stop: Mapping[str, Any] | None = None
    backend: Any = None
    backend_args: Mapping[str, Any] = field(factory=dict)
    url: str = ""
    token: str = ""
    payloads: MakePayloads | None = None

    def is_valid(self) -> bool:
        """Whether the plan is there (if it is carried out here), and somebody works."""
        try:
            if not self.url:
                self._load()
        except CafError as error:
            log.error("calibration %r: %s", self.name, error)
            return False
        return self.workers >= 1

    def run(self) -> None:
        """Have the plan carried out, and store its constants.

        Raises:
            UnfinishedError: If it failed or was killed.
            RefusedError: If the service does not take it.
        """
        if self.output_dir is None:
            raise ConfigurationError(f"calibration {self.name!r} is run by a CAF: caf.add_calibration(...).")
        with self._service() as client:
            number = self._create(client)
            status = client.status(number)
            last = _longest(client, status["plan"]) - 1
            for status in client.watch(number):
                self._tell(status, last)
            if status["state"] != "finished":
                raise UnfinishedError(
                    f"its plan {status['plan']!r} has {status['state']}: {status['message']}"
                )
            result = client.get_result(number, self.output_dir / "result")
        self._store(status, result)

    def _load(self) -> Plan:
        """The plan, where it is carried out here; raises if there is none."""
        return load_plan(self.plan, self.plan if ":" in self.plan else "")

    @contextmanager
    def _service(self) -> Iterator[Client]:
        """The service that is meant, started here if it is nowhere else."""
        if self.url:
            with Client(self.url, self.token) as client:
                yield client
            return
        assert self.output_dir is not None  # noqa: S101 - run() has looked
        plan = self._load()
        plans = {plan.name: self.plan} if ":" in self.plan else {}
        with own_service(self.output_dir / "service", plans, self.backend) as client:
            yield client

    def _create(self, client: Client) -> int:
        """Begin, or go on with what an earlier process began."""
        assert self.output_dir is not None  # noqa: S101 - run() has looked
        wish = self._wish()
        version = "" if self.url else self._load().version
        everything = json_text([wish, version], sort_keys=True)
        print_of = sha256(everything.encode()).hexdigest()[:24]
        file = self.output_dir / "calibration.json"
        attempt = 0
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        if known.get("url") != self.url:
            known = {}
        if known:
            same = known["print"] == print_of
            attempt = known["attempt"] + (not (same and _usable(client, known["id"])))
            if not same:
                _end(client, known["id"])
        wish["key"] = f"{print_of}-{attempt}"
        made = client.create_calibration(**wish)
        for warning in made.warnings:
            log.warning("calibration %r: %s", self.name, warning)
        write_json(file, {"id": made.id, "print": print_of, "attempt": attempt, "url": self.url})
        return made.id

    def _wish(self) -> dict[str, Any]:
        settings = self.settings(self) if callable(self.settings) else self.settings
        return {
            "plan": self.plan if self.url else self._load().name,
            "workers": self.workers,
            "settings": dict(settings),
            "inputs": {
                sample: [located(file) for file in files_of(files)] for sample, files in self.inputs.items()
            },
            "files": dict(self.files),
            "quorum": self.quorum,
            "start": self.start,
            "stop": self.stop,
            "backend": self.backend if self.url else None,
            "backend_args": dict(self.backend_args),
            "name": self.name,
        }

    def _tell(self, status: Status, last: int) -> None:
        """Keep what is known of its steps where people look for it."""
        assert self.output_dir is not None  # noqa: S101 - run() has looked
        write_json(self.output_dir / "steps.json", {"id": status["id"], "steps": status["steps"]})
        self.report_iteration(max(len(status["steps"]) - 1, 0), last)

    def _store(self, status: Status, result: Path) -> None:
        """Leave the constants in a database, where dependents and the CAF find them."""
        assert self.output_dir is not None  # noqa: S101 - run() has looked
        # Those of the status are the ones that the last step began with.
        parameters = json.loads((result / "parameters.json").read_text(encoding="utf-8"))
        made = (
            [Payload(self.name, dict(parameters))]
            if self.payloads is None
            else self.payloads(parameters, result)
        )
        iov = self.iov or IoV.always()
        origin = Provenance(
            calibration=self.name,
            iteration=max(len(status["steps"]) - 1, 0),
            algorithm=f"{status['plan']} {status['version']}",
            inputs={sample: files_of(files) for sample, files in self.inputs.items()},
            parameters=dict(status["settings"]),
            convergence=convergence_of(status),
            missing=_missing(status),
        )
        folder = self.output_database_dir or self.output_dir / "outputdb"
        payloads = [
            one if one.iov is not None else Payload(one.name, one.content, iov, one.codec) for one in made
        ]
        LocalDatabase(folder).write([(one, origin) for one in payloads])
        self.output_database_dir = folder


def _longest(client: Client, plan: str) -> int:
    """How many steps a plan may take at the most."""
    (found,) = (one for one in client.plans() if one["name"] == plan)
    return sum(phase["max_steps"] for stage in found["stages"] for phase in stage["phases"])


def _usable(client: Client, calibration: int) -> bool:
    """Whether a calibration of an earlier process goes on or has a result."""
    try:
        return str(client.status(calibration)["state"]) not in ("failed", "killed")
    except RefusedError:
        return False


def _end(client: Client, calibration: int) -> None:
    """End what an earlier process began in another way: nobody waits for its result any more."""
    with suppress(RefusedError):
        client.kill(calibration)


def convergence_of(status: Status) -> Convergence:
    """Whether every phase has converged; one may be allowed to go on without."""
    last = {(step["stage"], step["phase"]): step["converged"] for step in status["steps"]}
    return Convergence.CONVERGED if all(last.values()) else Convergence.MAX_ITERATIONS


def _missing(status: Status) -> tuple[str, ...]:
    """The workers whose results the last steps did without."""
    last = status["steps"][-1:] if status["steps"] else []
    return tuple(f"worker {worker}" for step in last for worker in step["missing"])
