"""One process from its beginning to the first step: what is wanted is checked, the lease taken, the resident
process started.

What drives it then is imported while the resident process starts, which takes as long.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from caf_core.calibration.calibration import DEFAULTS, Calibration, CalibrationBase
from caf_core.control.backends import Backends
from caf_core.control.catalogue import Catalogue
from caf_core.control.lease import Lease
from caf_core.control.options import Options
from caf_core.control.outstanding import interruptible
from caf_core.control.places import PRIVATE
from caf_core.control.preloading import sample
from caf_core.control.report import Careful, Report
from caf_core.control.resolve import resolve
from caf_core.control.store import FILE_NAME
from caf_core.control.trial import try_out
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.iov import IoV
from caf_core.jobs.config.reading import Config
from caf_core.jobs.local import ResidentBackend, usable_processors
from caf_core.jobs.residence import Residence
from caf_core.jobs.task import Resources
from caf_core.plugins.registry import Registry


@frozen
class Wish:
    """What a CAF wants done.

    Args:
        calibrations: In the order in which they were added.
        output_dir: Where everything lies.
        backend: The backend of calibrations that name none.
        defaults: What holds where a calibration says nothing.
        requested: The interval that is wanted, if not all.
        config: What holds at this site.
        backend_args: Arguments for the default backend from the command line.
        resources: What the command line asks for, for all who say nothing.
        algorithm_backend: What it says of the backend of algorithms, likewise.
    """

    calibrations: tuple[CalibrationBase, ...]
    output_dir: Path
    backend: Any
    defaults: Mapping[str, Any]
    requested: IoV | None
    config: Config = field(factory=Config)
    backend_args: Mapping[str, str] = field(factory=dict)
    resources: Resources = field(factory=Resources)
    algorithm_backend: str | None = None


@frozen
class Setup:
    """All that is there when a process begins to be driven.

    Args:
        wish: What is wanted.
        options: What the command line adds to it.
        registry: The plugins.
        catalogue: The resolved calibrations.
        backends: Their backends.
        lease: The right to drive this output directory.
        residence: The resident process of this machine.
        executions: The backend of algorithm executions.
    """

    wish: Wish
    options: Options
    registry: Registry
    catalogue: Catalogue
    backends: Backends
    lease: Lease
    residence: Residence
    executions: ResidentBackend


def prepare(wish: Wish, registry: Registry) -> tuple[Catalogue, Backends]:
    """Resolve a wish.

    Raises:
        ConfigurationError: If anything cannot work as written.
    """
    if not wish.calibrations:
        raise ConfigurationError("this CAF has no calibrations; add one with caf.add_calibration(...).")
    defaults = _defaults(wish)
    backends = Backends(registry, defaults["backend"], wish.config, wish.backend_args)
    resolved = resolve(
        wish.calibrations,
        output_dir=wish.output_dir,
        registry=registry,
        backends=backends,
        defaults=defaults,
        requested=wish.requested,
        site=wish.config.make_resources(),
    )
    backends.check_overruled()
    backends.warn_of_tables()
    return Catalogue(resolved), backends


def _defaults(wish: Wish) -> dict[str, Any]:
    """What holds where a calibration says nothing: the site's configuration, then the script, then the
    command line.
    """
    config = wish.config
    found = {"retry": config.make_retry(), "backend": config.default_backend or DEFAULTS["backend"]}
    if config.algorithm_backend is not None:
        found["algorithm_backend"] = config.algorithm_backend.value
    found |= wish.defaults
    if wish.backend is not None:
        found["backend"] = wish.backend
    if wish.algorithm_backend is not None:
        found["algorithm_backend"] = wish.algorithm_backend
    resources = found.get("resources", Resources())
    if isinstance(resources, Resources):  # anything else is refused when calibrations are resolved
        found["resources"] = wish.resources.or_else(resources).or_else(config.make_resources())
    return found


def run(wish: Wish, options: Options) -> Report:
    """Drive a wish to its end, or to an interrupt.

    Raises:
        CafError: If it cannot be started, or the checkpoint cannot be written.
    """
    options = evolve(options, listener=Careful(options.listener))
    registry = Registry.load()
    catalogue, backends = prepare(wish, registry)
    private = make_private(wish.output_dir)
    lease = Lease(private, take_over=options.take_over)
    try:
        residence = Residence(private / "resident", take_over=options.take_over)
        residence.enter(wish)
        try:
            residence.claim()
            executions = _lodge(backends, residence, options.processes)
            setup = Setup(wish, options, registry, catalogue, backends, lease, residence, executions)
            if not (wish.output_dir / FILE_NAME).exists():
                _warm_up(setup)
            for one in catalogue.calibrations.values():
                try_out(one, registry)
            from caf_core.control.driving import drive  # takes a while, in which the resident process starts

            with interruptible(wish.output_dir):
                return drive(setup)
        finally:
            residence.leave(wish)
    finally:
        lease.release()


def _lodge(backends: Backends, residence: Residence, wanted: int | None) -> ResidentBackend:
    """Let the backends of this machine and the algorithms share one resident process."""
    local = [backend for backend in backends.instances.values() if isinstance(backend, ResidentBackend)]
    for resident in local:
        if resident.residence is None:
            resident.residence = residence
        if wanted is not None:
            resident.max_processes = wanted
    processes = max((resident.max_processes for resident in local), default=wanted or usable_processors())
    return ResidentBackend(processes, residence=residence)


def _warm_up(setup: Setup) -> None:
    """Have the first calibration's modules imported; where there is a checkpoint, nobody knows yet whether
    anything is left to do."""
    for one in setup.catalogue.calibrations.values():
        if isinstance(one.calibration, Calibration) and not one.calibration.dependencies:
            setup.executions.prepare(sample(setup.registry, one))
            return


def make_private(output_dir: Path) -> Path:
    """Make the output directory and its private folder.

    Raises:
        CheckpointError: If that cannot be done.
    """
    private = output_dir / PRIVATE
    try:
        private.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"the output directory {output_dir} cannot be made ({error.strerror}); choose another one with "
            f"caf.output_dir, or mend its permissions."
        ) from error
    if not os.access(output_dir, os.W_OK):
        raise CheckpointError(
            f"the output directory {output_dir} cannot be written; choose another one, or mend its "
            f"permissions."
        )
    return private
