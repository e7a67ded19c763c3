"""What a client asks of a resident process, and what it hears."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from caf_core.errors import CafError


class ResidentError(CafError):
    """The resident process cannot be started or reached.

    Args:
        message: What happened, in one sentence.
        host: The host of the resident process, if it is another one.
    """

    def __init__(self, message: str, *, host: str = "") -> None:
        self.host = host
        super().__init__(message)


@frozen(kw_only=True)
class CallRequest:
    """A function that a resident process shall execute.

    Args:
        key: Unique name; a key that the resident knows already is not executed again.
        group: Calls that belong together; groups take turns.
        function: ``package.module:function``, which every Python of this installation can import without
            site-packages.
        arguments: Its keyword arguments, plain JSON values.
        preload: Modules to import once, before the processes that execute such calls are forked.
        path: Folders for the front of ``sys.path``.
        limit: Its time limit [s], which the resident enforces where the supervisor does not.
    """

    key: str
    group: str
    function: str
    arguments: Mapping[str, Any] = field(factory=dict)
    preload: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    limit: float | None = None


class CallKind(StrEnum):
    """The state of a call."""

    QUEUED = "queued"
    EXECUTING = "executing"
    ENDED = "ended"
    LOST = "lost"
    CANCELLED = "cancelled"
    OVERDUE = "overdue"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (CallKind.QUEUED, CallKind.EXECUTING)


@frozen
class CallEvent:
    """The state of one call.

    Args:
        key: The call.
        kind: ``queued`` and ``executing``; ``ended``: the function returned or raised; ``lost``: the process
            that executed it died; ``cancelled``: it was ended before or while it executed; ``overdue``: its
            supervisor did not keep to its time limit and was killed.
        pid: The process that executes or executed it; 0 if none yet.
        status: Wait status of that process, if it died.
        value: What the function returned, also where it was cancelled and returned all the same.
        error: Why there is no value.
    """

    key: str
    kind: CallKind
    pid: int = 0
    status: int | None = None
    value: Any = None
    error: str = ""
