"""What can go wrong in a calorimeter calibration."""

from caf_core.errors import CafError, ConfigurationError


class PandoraError(CafError):
    """The base of this plugin's errors that are not the user's settings."""


class SteeringError(PandoraError, ConfigurationError):
    """An XML file that cannot be read, or lacks what is needed."""


class ResultFileError(PandoraError):
    """A file of a worker that cannot be used.

    Args:
        path: The file.
        problem: What is wrong with it.
    """

    def __init__(self, path: object, problem: str) -> None:
        self.path = str(path)
        super().__init__(f"{path} {problem}")


class TooFewEventsError(PandoraError):
    """A selection, fit or histogram that is left without events.

    Args:
        what: What needs them.
        entries: How many there are.
        needed: How many there must be.
        remedy: What to do about it.
    """

    def __init__(self, what: str, entries: int, needed: int, remedy: str = "") -> None:
        self.what, self.entries, self.needed = what, entries, needed
        remedy = remedy or "take more events, or look whether the starting constants are far from the truth"
        super().__init__(f"{what} has {entries} entries and needs at least {needed}; {remedy}.")
