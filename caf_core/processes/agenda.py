"""What a resident process was given to do and what became of it: calls in groups, which take turns.

Taking turns keeps a group of one call from waiting behind a group of ten thousand. Nothing here does I/O.
"""

from collections import deque
from collections.abc import Iterable, Sequence

Home = tuple[str, tuple[str, ...], tuple[str, ...]]
"""The zygote that a call needs: the function's module, preloaded modules, additions to ``sys.path``."""


def home_of(function: str, preload: Iterable[str], path: Iterable[str]) -> Home:
    """The zygote that a function needs."""
    return function.partition(":")[0], tuple(preload), tuple(path)


class Call:
    """One call and its state: ``queued``, ``executing``, or its end: ``ended``, ``lost``, ``cancelled``,
    ``overdue``."""

    __slots__ = (
        "arguments",
        "cancelled",
        "error",
        "function",
        "group",
        "home",
        "key",
        "limit",
        "overdue",
        "pid",
        "state",
        "status",
        "value",
    )

    def __init__(
        self, key: str, group: str, function: str, arguments: str, home: Home, limit: float | None = None
    ) -> None:
        self.key = key
        self.group = group
        self.function = function
        self.arguments = arguments
        self.home = home
        self.state = "queued"
        self.limit = limit
        self.cancelled = False
        self.overdue = False
        self.pid = 0
        self.status: int | None = None
        self.value = "null"
        self.error = ""

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in ("queued", "executing")

    def end(self, state: str, *, value: str = "null", error: str = "", status: int | None = None) -> None:
        """Write down how it ended; ``value`` is JSON."""
        self.state = state
        self.value = value
        self.error = error
        self.status = status
        self.arguments = ""


class Agenda:
    """All calls that are known, until their group is forgotten."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Call]] = {}
        self._waiting: dict[str, deque[Call]] = {}
        self._where: dict[str, str] = {}

    def add(self, calls: Iterable[Call]) -> None:
        """Queue calls; a key that is known already is left as it is."""
        for call in calls:
            if call.key not in self._where:
                self._where[call.key] = call.group
                self._groups.setdefault(call.group, {})[call.key] = call
                self._waiting.setdefault(call.group, deque()).append(call)

    def put_back(self, call: Call) -> None:
        """Queue a call again, before all others of its group."""
        call.state = "queued"
        self._waiting.setdefault(call.group, deque()).appendleft(call)

    def take(self) -> Call | None:
        """The next queued call, of the group whose turn it is."""
        while self._waiting:
            group, calls = next(iter(self._waiting.items()))
            del self._waiting[group]
            while calls:
                call = calls.popleft()
                if call.state == "queued":
                    if calls:
                        self._waiting[group] = calls  # at the end: the others come first now
                    return call
        return None

    def find(self, key: str) -> Call | None:
        """The call with this key."""
        group = self._where.get(key)
        return self._groups[group][key] if group is not None else None

    def of(self, group: str | None) -> Sequence[Call]:
        """The calls of one group, or of all, in the order they came."""
        if group is not None:
            return list(self._groups.get(group, {}).values())
        return [call for calls in self._groups.values() for call in calls.values()]

    def forget(self, group: str) -> None:
        """Drop what has ended of a group."""
        calls = self._groups.get(group, {})
        for key in [key for key, call in calls.items() if call.final]:
            del calls[key]
            del self._where[key]
        if not calls:
            self._groups.pop(group, None)

    def queued(self) -> bool:
        """Whether anything waits to be executed."""
        return any(call.state == "queued" for calls in self._waiting.values() for call in calls)
