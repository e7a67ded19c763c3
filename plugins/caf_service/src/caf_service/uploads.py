"""Results on their way in: from the connection to the disk, into the database, and only then an answer."""

import asyncio
from concurrent.futures import Future

from caf_service.access import Identity
from caf_service.answers import Receive
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
    loop, idle = asyncio.get_running_loop(), service.config.limits.idle
    collected = bytearray()
    more = True
    try:
        async with asyncio.timeout(idle) as limit:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise DamagedError("the file did not come to its end; send it again.")
                collected += message.get("body", b"")
                more = message.get("more_body", False)
                if len(collected) >= _CHUNK:
                    data = bytes(collected)
                    collected.clear()
                    limit.reschedule(None)  # a slow disk is not the worker's fault
                    await asyncio.to_thread(upload.write, data)
                limit.reschedule(loop.time() + idle)
    except TimeoutError as error:
        raise DamagedError("the file did not come to its end; send it again.") from error
    return bytes(collected)
