"""Telling observers what happens, without ever waiting for them.

Each observing plugin has its own queue and its own thread, so a slow one delays neither the controller nor
another observer. The queue is bounded; what does not fit is counted, and said once.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from caf_core.plugins.loading import BREAKS

if TYPE_CHECKING:
    from caf_core.calibration.algorithm import Metric
    from caf_core.calibration.plans import Result
    from caf_core.jobs.service import JobUpdate
    from caf_core.plugins.plugin import Plugin
    from caf_core.plugins.registry import Registry

logger = logging.getLogger(__name__)

CAPACITY = 100_000
"""Task changes and other events that may wait for one observer."""


class Observers:
    """Hands events to the observing plugins; every method but ``close`` returns at once.

    Without an observing plugin nothing is kept and no thread is started.

    Args:
        registry: Names the plugins that observe.
        capacity: How many task changes may wait for one plugin. Further ones are dropped; the rare other
            events are kept up to twice as many.
    """

    def __init__(self, registry: "Registry", *, capacity: int = CAPACITY) -> None:
        self._outlets = [_Outlet(registry, plugin, capacity) for plugin in registry.observers]

    @property
    def dropped(self) -> int:
        """Events and task changes that did not fit, over all observers."""
        return sum(outlet.dropped for outlet in self._outlets)

    def state_changed(self, calibration: str, iteration: int, old: str, new: str, time: float) -> None:
        """A calibration moved; see the hook ``caf_calibration_state_changed``."""
        self._post(
            "caf_calibration_state_changed",
            {"calibration": calibration, "iteration": iteration, "old": old, "new": new, "time": time},
        )

    def jobs_changed(self, changes: "Sequence[JobUpdate]") -> None:
        """Tasks changed; see the hook ``caf_jobs_changed``. What waits goes to the plugin in one call."""
        if changes and self._outlets:
            weight = sum(max(1, len(update.changes)) for update in changes)
            self._post("caf_jobs_changed", {"changes": tuple(changes)}, weight)

    def iteration_finished(
        self, calibration: str, iteration: int, result: "Result", metrics: "Mapping[str, Metric]"
    ) -> None:
        """An iteration ended; see the hook ``caf_iteration_finished``."""
        self._post(
            "caf_iteration_finished",
            {"calibration": calibration, "iteration": iteration, "result": result, "metrics": metrics},
        )

    def process_finished(self, success: bool, calibrations: Mapping[str, str]) -> None:
        """Everything ended; see the hook ``caf_process_finished``."""
        self._post("caf_process_finished", {"success": success, "calibrations": calibrations})

    def close(self, timeout: float = 5.0) -> bool:
        """Let the observers see what still waits for them; nothing may be posted afterwards.

        Args:
            timeout: How long to wait for all of them together [s].
        Returns:
            Whether all of them saw everything; those that did not are named in the log.
        """
        deadline = time.monotonic() + timeout
        for outlet in self._outlets:
            outlet.end()
        seen = [outlet.join(max(0.0, deadline - time.monotonic())) for outlet in self._outlets]
        return all(seen)

    def _post(self, hook: str, arguments: Mapping[str, Any], weight: int = 1) -> None:
        for outlet in self._outlets:
            outlet.post(_Event(hook, arguments, weight))


@frozen
class _Event:
    hook: str
    arguments: Mapping[str, Any] = field(factory=dict)
    weight: int = 1


class _Outlet:
    """The queue and the thread of one observing plugin."""

    def __init__(self, registry: "Registry", plugin: "Plugin", capacity: int) -> None:
        self.dropped = 0
        self._registry = registry
        self._plugin = plugin
        self._capacity = capacity
        self._waiting: deque[_Event] = deque()
        self._weight = 0
        self._ended = False
        self._wake = threading.Condition()
        self._failed: set[str] = set()
        # A daemon, because an observer that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._execute, name=f"caf observer {self._name}", daemon=True)
        self._thread.start()

    @property
    def _name(self) -> str:
        return self._plugin.source.label

    def post(self, event: _Event) -> None:
        """Put an event into the queue, or count it as dropped."""
        if event.hook not in self._plugin.hooks:
            return
        limit = self._capacity if event.hook == "caf_jobs_changed" else 2 * self._capacity
        with self._wake:
            # One batch larger than the whole queue still goes into an empty one.
            if self._waiting and self._weight + event.weight > limit:
                first = not self.dropped
                self.dropped += event.weight
            else:
                first = False
                self._waiting.append(event)
                self._weight += event.weight
                self._wake.notify()
        if first:
            logger.warning("the observer %s is too slow; what finds no room is dropped", self._name)

    def end(self) -> None:
        """Let the thread end after what waits now."""
        with self._wake:
            self._ended = True
            self._wake.notify()

    def join(self, timeout: float) -> bool:
        """Wait for the thread; whether it saw everything that was not dropped."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning("the observer %s did not finish in time; it is left alone", self._name)
        if self.dropped:
            logger.warning("%d events for the observer %s were dropped", self.dropped, self._name)
        return not self._thread.is_alive()

    def _execute(self) -> None:
        while (event := self._take()) is not None:
            try:
                self._registry.call(self._plugin, event.hook, **event.arguments)
            except BREAKS:
                # Every failure would be one line a task; the first of a kind tells all.
                if event.hook not in self._failed:
                    logger.exception("the observer %s failed in %s", self._name, event.hook)
                self._failed.add(event.hook)

    def _take(self) -> _Event | None:
        """The next event; job changes that follow one another become one. ``None`` at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                return None
            batch = [self._waiting.popleft()]
            while self._waiting and self._waiting[0].hook == batch[0].hook == "caf_jobs_changed":
                batch.append(self._waiting.popleft())
            self._weight -= sum(event.weight for event in batch)
        if len(batch) == 1:
            return batch[0]
        changes = tuple(change for event in batch for change in event.arguments["changes"])
        return _Event(batch[0].hook, {"changes": changes})
