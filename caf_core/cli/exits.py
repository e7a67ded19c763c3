"""What an exit code of ``caf`` means."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes; a script that is executed by ``caf run`` may end with one of its own."""

    OK = 0
    """Done."""
    FAILED = 1
    """It was carried out, and something came out badly: a calibration or task failed, files have no IoV,
    databases differ."""
    CONFIGURATION = 2
    """The command line, the script or its configuration is wrong; nothing was begun."""
    CHECKPOINT = 3
    """The output directory cannot be used: it is driven by another controller, or its checkpoint is missing
    or damaged."""
    OTHER = 4
    """Anything else: a backend, a plugin, a payload, a file system."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or SIGTERM; what was done is kept."""
