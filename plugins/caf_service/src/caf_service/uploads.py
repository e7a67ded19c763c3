"""Results on their way in: from the connection to the disk, into the database, and only then an answer."""

import asyncio
from concurrent.futures import Future

from caf_service.access import Identity
from caf_service.answers import Receive
from caf_service.content import Pace
from caf_service.results import DamagedError, Upload
from caf_service.service import Service

_CHUNK = 1 << 17
"""So much of an upload is in memory before it is written [bytes]; a thousand may be on their way."""


async def take_in(service: Service, who: Identity, serial: int, sha256: str, receive: Receive) -> str:
    """Take the body of a request in, as what a worker reports in a step.

    Returns:
        ``counted``, ``known`` or ``late``; it is safe on disk and in the database.
    Raises:
        DamagedError: If it is truncated or altered.
        TooLargeError: If it is larger than the limit.
        NotNowError: If the step is still to come.
    """
    upload = service.areas.receive(service.config.limits.result)
    try:
        rest = await _written(service, upload, receive)

        def kept() -> "Future[str]":
            upload.finish(sha256, rest)
            return service.thread.submit(lambda store: service.take(store, who, serial, upload))

        return await asyncio.wrap_future(await asyncio.to_thread(kept))
    finally:
        upload.discard()


async def _written(service: Service, upload: Upload, receive: Receive) -> bytes:
    """Write all but the last part, which is small; returns that."""
    limits = service.config.limits
    collected = bytearray()
    pace = Pace(limits.idle, limits.slowest)
    more = True
    while more:
        try:
            message = await pace.wait(receive())
        except TimeoutError as error:
            raise DamagedError("the file did not come to its end in time; send it again.") from error
        if message["type"] == "http.disconnect":
            raise DamagedError("the file did not come to its end; send it again.")
        pace.came(len(message.get("body", b"")))
        collected += message.get("body", b"")
        more = message.get("more_body", False)
        if len(collected) >= _CHUNK:
            data = bytes(collected)
            collected.clear()
            await asyncio.to_thread(upload.write, data)  # a slow disk is not the worker's fault
    return bytes(collected)
