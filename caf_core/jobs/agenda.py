"""What is to be done when: one deadline for each name."""

from heapq import heappop, heappush

NEVER = float("inf")


class Agenda:
    """Deadlines by name; setting a new one replaces the old one."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._current: dict[str, float] = {}

    def set(self, name: str, at: float) -> None:
        """Something of this name is to be done at a time; ``NEVER`` takes it off."""
        if self._current.get(name, NEVER) == at:
            return
        if at == NEVER:
            del self._current[name]
        else:
            self._current[name] = at
            heappush(self._heap, (at, name))

    def next(self) -> float:
        """The earliest deadline."""
        heap = self._heap
        while heap and self._current.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def take(self, now: float) -> str | None:
        """The name whose time has come the longest ago; it is off the agenda then."""
        if self.next() > now:
            return None
        name = heappop(self._heap)[1]
        del self._current[name]
        return name
