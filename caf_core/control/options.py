"""What the command line adds to a script's own settings."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from attrs import field, frozen

from caf_core.calibration.states import State
from caf_core.control.report import Listener, Report, Silence
from caf_core.jobs.task import Resources


@frozen
class Override:
    """A start that the user chose: ``caf run --from STATE --iteration N``."""

    state: State
    iteration: int | None = None


@frozen
class Options:
    """Settings that overrule those of the script.

    Args:
        output_dir: In place of ``CAF.output_dir``.
        backend: In place of ``CAF.backend``.
        algorithm_backend: In place of that of ``CAF.calibration_defaults``.
        backend_args: Arguments for the default backend, as text; they win over those that it was made with.
        resources: What tasks need where neither their collection nor their calibration says so.
        processes: In place of ``max_processes`` of backends on this machine.
        check_only: Try everything but the submission.
        override: Where calibrations start.
        take_over: Whether a controller on another host is declared dead.
        listener: Is told what happens.
        reports: Gets the report of every ``CAF.run`` of the script.
    """

    output_dir: Path | None = None
    backend: str | None = None
    algorithm_backend: str | None = None
    backend_args: Mapping[str, str] = field(factory=dict)
    resources: Resources = field(factory=Resources)
    processes: int | None = None
    check_only: bool = False
    override: Override | None = None
    take_over: bool = False
    listener: Listener = field(factory=Silence)
    reports: list[Report] = field(factory=list)


_current: ContextVar[Options | None] = ContextVar("caf_options", default=None)


def current() -> Options:
    """The options that hold now."""
    return _current.get() or Options()


@contextmanager
def using(options: Options) -> Iterator[Options]:
    """Let options hold for the scripts that are executed inside."""
    token = _current.set(options)
    try:
        yield options
    finally:
        _current.reset(token)
