"""Reading the metadata of many files in several processes."""

import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from caf_core.jobs.inbox import Inbox
from caf_core.processes.calls import CallEvent, CallKind, CallRequest
from caf_core.processes.client import ResidentClient

_WORKER = "caf_core.cli.iov_worker:iovs"
_LARGEST = 20
"""Files a call: enough that the call itself costs nothing, few enough for a bar that moves."""


def map_parallel(
    names: Sequence[str], processes: int, advance: Callable[[int], None], experiment: int | None
) -> list[list[str]]:
    """As ``caf_core.calibration.filemap.by_metadata``, in several processes.

    A file that kills its reader costs only itself: the others of its call are read again one by one.

    Args:
        names: The files.
        processes: How many processes.
        advance: Told how many files are done.
        experiment: The experiment of files that do not tell it.
    Returns:
        IoV and complaint of each file; one of them is empty.
    """
    size = max(1, min(_LARGEST, len(names) // (4 * processes)))
    found: dict[str, list[str]] = {}
    events: Inbox[list[CallEvent]] = Inbox()
    with tempfile.TemporaryDirectory(prefix="caf-filemap-") as folder:
        client = ResidentClient.start(Path(folder), slots=processes)
        try:
            client.listen(events.put, lambda: events.put([]))
            numbers = count()
            calls = _submit(
                client, numbers, [names[i : i + size] for i in range(0, len(names), size)], experiment
            )
            while calls:
                batch = events.get()
                if not batch:
                    complaint = ["", "the process that reads files died; try again with -j 1"]
                    found.update({name: complaint for part in calls.values() for name in part})
                    break
                for event in batch:
                    if event.key not in calls or not event.kind.final:
                        continue
                    part = calls.pop(event.key)
                    if event.kind is CallKind.ENDED and event.value is not None:
                        found.update(zip(part, event.value, strict=True))
                    elif len(part) > 1:
                        calls |= _submit(client, numbers, [[name] for name in part], experiment)
                        continue
                    else:
                        found[part[0]] = ["", event.error or "the process that read it died"]
                    advance(len(part))
        finally:
            client.shutdown(kill=True)
            client.close()
    return [found[name] for name in names]


def _submit(
    client: ResidentClient,
    numbers: "count[int]",
    parts: Sequence[Sequence[str]],
    experiment: int | None,
) -> dict[str, Sequence[str]]:
    calls = {str(number): part for number, part in zip(numbers, parts, strict=False)}
    client.submit(
        [
            CallRequest(
                key=key,
                group="files",
                function=_WORKER,
                arguments={"names": list(part), "experiment": experiment},
            )
            for key, part in calls.items()
        ]
    )
    return calls
