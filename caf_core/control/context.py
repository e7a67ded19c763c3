"""What the parts of the controller share."""

from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import field, frozen

from caf_core.calibration.execution import Doors, dotted
from caf_core.conditions.chain import Chain
from caf_core.control.store.store import CheckpointStore
from caf_core.jobs.service import JobService
from caf_core.plugins.plugin import Kind
from caf_core.plugins.registry import Registry


@frozen
class Workshop:
    """The tools of one controller.

    Args:
        output_dir: The CAF's output directory.
        store: The checkpoint.
        service: Carries jobs out.
        registry: The plugins.
        doors: How processes of their own open databases and read payloads.
        crash: Passes a named crash point.
        say: Tells the user a sentence.
        packed: The kits that this process has written.
    """

    output_dir: Path
    store: CheckpointStore
    service: JobService
    registry: Registry
    doors: Doors
    crash: Callable[[str], None]
    say: Callable[[str], None]
    packed: set[Path] = field(factory=set)

    def chain(self, urls: Iterable[str]) -> Chain:
        """Open a chain in this process."""
        return self.doors.chain(list(urls))


def doors_of(registry: Registry) -> Doors:
    """How other processes do what the plugins of this one do."""
    schemes = {name: dotted(registry.get(Kind.CONDITIONS, name)) for name in registry.names(Kind.CONDITIONS)}
    return Doors(tuple(dotted(type(codec)) for codec in registry.codecs()), schemes)
