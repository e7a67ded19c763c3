"""A new calibration: what was asked for is checked, and the plan makes the first parameters of it."""

import re
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import evolve, field, fields_dict, frozen

from caf_core.errors import ConfigurationError
from caf_service.config import ServiceConfig
from caf_service.delivery import allowed_folder
from caf_service.permitted import check_backend, check_inputs
from caf_service.plan import Plan, Request
from caf_service.plans import Catalogue, Place, route_of
from caf_service.results import Areas
from caf_service.settings import complete
from caf_service.snapshot import Snapshot, Stop
from caf_service.store.records import Attached, Setup
from caf_service.updating import PlanError, run_plan

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
BEGIN_TIMEOUT = 120.0
"""How long a plan may take to make the first parameters [s]."""


@frozen
class Wish:
    """What a user asks for.

    Args:
        plan: The plan's name.
        workers: Number of workers.
        settings: Its settings.
        quorum: The fraction of workers that must report; ``None`` for the plan's own.
        inputs: sample -> files.
        files: Files that come along: name -> content.
        start: Where to begin in the plan.
        stop: Where to stop.
        output_dir: Where the result is copied.
        backend: The backend of the workers.
        backend_args: Its arguments.
        name: What the user calls it.
        key: The same key again is the same calibration.
    """

    plan: str
    workers: int
    settings: Mapping[str, Any] = field(factory=dict)
    quorum: float | None = None
    inputs: Mapping[str, Sequence[str]] = field(factory=dict)
    files: Mapping[str, bytes] = field(factory=dict)
    start: Place = None
    stop: Place = None
    output_dir: str = ""
    backend: str = ""
    backend_args: Mapping[str, Any] = field(factory=dict)
    name: str = ""
    key: str = ""


@frozen
class Prepared:
    """A calibration that can be written down.

    Args:
        setup: What never changes.
        snapshot: Where it begins.
        parameters: Its first parameters.
        shares: What each worker processes.
        output: Where the result is copied.
        folder: The files that came along, under their numbers; to be moved to their place.
    """

    setup: Setup
    snapshot: Snapshot
    parameters: Mapping[str, Any]
    shares: Sequence[Mapping[str, Any]]
    output: str
    folder: Path


def prepare(wish: Wish, config: ServiceConfig, catalogue: Catalogue, areas: Areas, user: int) -> Prepared:
    """Check a wish, and have the plan begin; takes a second, for the plan is executed.

    Raises:
        ConfigurationError: If it cannot be done as written.
    """
    plan, reference = catalogue.find(wish.plan)
    wish = _arranged(wish, plan)
    settings = complete(wish.settings, plan.settings, f"the plan {plan.name!r}")
    route = route_of(plan, wish.start, wish.stop)
    samples = _samples(plan, route, wish.inputs)
    quorum = plan.quorum if wish.quorum is None else wish.quorum
    _check_numbers(wish, config, quorum)
    check_backend(wish.backend, wish.backend_args, wish.workers, config, catalogue.registry)
    check_inputs((file for files in samples.values() for file in files), config)
    output = str(output_folder(wish.output_dir, config, areas, user)) if wish.output_dir else ""
    folder = areas.staging()
    try:
        attached = _attach(wish.files, folder / "inputs")
        begun = _begin(wish, plan, reference, settings, samples, attached, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shares = begun["shares"]
    setup = Setup(
        name=wish.name,
        plan=wish.plan,
        version=plan.version,
        reference=reference,
        settings=settings,
        samples=samples,
        attached=attached,
        suffix=plan.suffix,
        stages=[(stage.name, [phase.name for phase in stage.phases]) for stage in plan.stages],
        phase_samples=[[phase.sample for phase in stage.phases] for stage in plan.stages],
        backend=wish.backend,
        backend_args=wish.backend_args,
        warnings=_warnings(samples, shares),
    )
    snapshot = Snapshot(route, wish.workers, quorum)
    return Prepared(setup, snapshot, begun["parameters"], shares, output, folder)


def _arranged(wish: Wish, plan: Plan) -> Wish:
    """A wish as the plan completes it."""
    if plan.arrange is None:
        return wish
    request = Request(**{name: getattr(wish, name) for name in fields_dict(Request)})
    try:
        arranged = plan.arrange(request)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever a plan's author did wrong, it is no fault of the service
        raise ConfigurationError(
            f"the plan {plan.name!r} cannot arrange the calibration: {error!r}"
        ) from error
    return evolve(wish, **{name: getattr(arranged, name) for name in fields_dict(Request)})


def output_folder(path: str, config: ServiceConfig, areas: Areas, user: int) -> Path:
    """The folder that a user names for a result.

    Raises:
        ConfigurationError: If it is not allowed.
    """
    return allowed_folder(path, areas.copies / str(user), config.output_roots)


def _samples(
    plan: Plan, route: Sequence[Stop], inputs: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[str]]:
    used = [plan.stages[one.stage].phases[one.phase].sample for one in route]
    missing = [name for name in plan.samples if name in used and not inputs.get(name)]
    superfluous = [name for name in inputs if name not in plan.samples]
    complaints = [f"missing: {', '.join(missing)}"] if missing else []
    complaints += [f"superfluous: {', '.join(superfluous)}"] if superfluous else []
    if complaints:
        raise ConfigurationError(
            f"the input samples of the plan {plan.name!r} cannot be used; {'; '.join(complaints)}. It knows: "
            f"{', '.join(plan.samples) or 'none'}."
        )
    return {name: list(files) for name, files in inputs.items()}


def _check_numbers(wish: Wish, config: ServiceConfig, quorum: float) -> None:
    if not 1 <= wish.workers <= config.limits.workers:
        raise ConfigurationError(
            f"a calibration has 1 to {config.limits.workers} workers, and not {wish.workers}."
        )
    if not 0.0 < quorum <= 1.0:
        raise ConfigurationError(
            f"the quorum is the fraction of workers that must report, above 0 and up to 1, not {quorum}."
        )


def _attach(files: Mapping[str, bytes], folder: Path) -> dict[str, Attached]:
    folder.mkdir()
    attached = {}
    for number, (name, content) in enumerate(files.items()):
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of a file; use up to 100 letters, digits, . _ -"
            )
        (folder / str(number)).write_bytes(content)
        attached[name] = Attached(number, len(content), sha256(content).hexdigest())
    return attached


def _begin(
    wish: Wish,
    plan: Plan,
    reference: str,
    settings: Mapping[str, Any],
    samples: Mapping[str, Sequence[str]],
    attached: Mapping[str, Attached],
    folder: Path,
) -> Mapping[str, Any]:
    scratch = folder / "scratch"
    scratch.mkdir()
    request = {
        "plan": wish.plan,
        "reference": reference,
        "settings": settings,
        "samples": samples,
        "workers": wish.workers,
        "inputs": {name: str(folder / "inputs" / str(one.number)) for name, one in attached.items()},
    }
    try:
        return run_plan("begin", scratch, request, BEGIN_TIMEOUT)
    except PlanError as error:
        raise ConfigurationError(f"the plan {plan.name!r} cannot begin: {error}") from error


def _warnings(samples: Mapping[str, Sequence[str]], shares: Sequence[Mapping[str, Any]]) -> list[str]:
    warnings = []
    for sample in samples:
        idle = sum(not share.get(sample) for share in shares)
        if idle:
            warnings.append(f"{idle} of {len(shares)} workers have nothing of the sample {sample!r}.")
    return warnings
