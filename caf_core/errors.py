"""Every exception of caf, in one tree.

A message names the thing, the alternatives and the remedy in one sentence; the fields carry the same facts
for programs.
"""

from collections.abc import Iterable, Sequence


class CafError(Exception):
    """The base of all errors that caf raises on purpose."""


class ConfigurationError(CafError, ValueError):
    """What the user asked for cannot be done as written."""


class InvalidIoVError(ConfigurationError):
    """An interval of validity that cannot exist."""


class DependencyCycleError(ConfigurationError):
    """Calibrations that wait for one another.

    Args:
        cycle: The names along the cycle; the first is repeated at the end.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(
            f"calibrations depend on one another in a cycle: {' -> '.join(cycle)}; remove one depends_on."
        )


class PluginError(CafError):
    """Something is wrong with a plugin."""


class UnknownPluginError(PluginError, ConfigurationError):
    """A name that no installed plugin registered.

    Args:
        kind: What was asked for: ``backend``, ``splitter``, ``strategy``, ``runner``, ...
        name: The name as the user wrote it.
        available: The names that exist.
        hint: One further sentence, such as which distribution brings the name.
    """

    def __init__(self, kind: str, name: str, available: Iterable[str], hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.available = tuple(sorted(available))
        known = ", ".join(self.available) or "none"
        super().__init__(
            f"there is no {kind} called {name!r}; available: {known}." + (f" {hint}" if hint else "")
        )


class DuplicatePluginError(PluginError):
    """Two distributions register the same name."""


class PluginLoadError(PluginError):
    """A plugin that could not be imported or registered was asked for."""


class BackendError(CafError):
    """A backend could not do what it was asked.

    Args:
        message: What happened, in one sentence.
        transient: Whether trying again later may help.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        self.transient = transient
        super().__init__(message)


class SubmissionError(BackendError):
    """A backend refused a submission, or did not answer.

    Args:
        message: What happened, in one sentence.
        command: The command that was executed, if there was one.
        returncode: Its exit code.
        output: What it printed.
        transient: Whether trying again later may help.
        credentials: Whether a credential has expired or is missing, so that it pauses and does not fail.
        full: Whether there is no room for more jobs of the user now: it pauses until there is.
    """

    def __init__(
        self,
        message: str,
        *,
        command: Sequence[str] = (),
        returncode: int | None = None,
        output: str = "",
        transient: bool = False,
        credentials: bool = False,
        full: bool = False,
    ) -> None:
        self.full = full
        self.credentials = credentials
        self.command = tuple(command)
        self.returncode = returncode
        self.output = output
        super().__init__(message, transient=transient)


class PollError(BackendError):
    """A backend did not tell the states of its jobs; this says nothing about the jobs."""


class PayloadError(CafError):
    """A payload that cannot be stored, found or read."""


class AlgorithmError(CafError):
    """An algorithm broke its contract.

    Args:
        message: What happened, in one sentence.
        calibration: The name of the calibration.
        iteration: Its iteration, from 0.
        iov: The interval for which the algorithm was executed, as text.
    """

    def __init__(
        self, message: str, *, calibration: str = "", iteration: int | None = None, iov: str = ""
    ) -> None:
        self.calibration = calibration
        self.iteration = iteration
        self.iov = iov
        super().__init__(message)


class CheckpointError(CafError):
    """The checkpoint of an output directory cannot be used."""
