"""What workers ask for and bring; a worker's token says which one it is."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from caf_service import reporting
from caf_service.access import Identity
from caf_service.bodies import Failure, Heartbeat
from caf_service.errors import NotFoundError
from caf_service.gate import PATIENCE
from caf_service.results import DamagedError, Upload
from caf_service.replies_crews import GoOn, Inputs, Noted, Over, Taken, Wait, WorkTold
from caf_service.routes import Serving, Who, bearer, file_of, stored, told
from caf_service.service import Service

router = APIRouter(prefix="/worker", dependencies=[Depends(bearer)])
_CHUNK = 1 << 20
"""So much of an upload is collected before it is written."""
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD = {"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}}

Serial = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of a step.")]


@router.get("/inputs", **told(Inputs))
async def inputs(service: Serving, who: Who) -> dict[str, Any]:
    """What a worker needs to know once."""
    return dict(await stored(service, lambda store: service.worker_inputs(store, who)))


@router.get("/files/{name}", **file_of("application/octet-stream"))
async def attached(service: Serving, who: Who, name: Annotated[str, Path(max_length=200)]) -> FileResponse:
    """A file that the calibration brought."""
    path = await stored(service, lambda store: reporting.attached(store, who, name, service.areas))
    return FileResponse(path, media_type="application/octet-stream")


@router.get("/work", **told(WorkTold | Wait | Over))
async def work(
    service: Serving,
    who: Who,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    wait: Annotated[float, Query(ge=0, le=3600)] = PATIENCE,
) -> Response:
    """What to do next: answered as soon as it is known, or when the waiting is over."""
    await stored(service, lambda store: service.live(store, who.calibration))
    body = await service.next_work(who, after, wait)
    if body is None:
        raise NotFoundError("your calibration was cleaned.")
    return Response(body, media_type="application/json")


@router.put("/results/{serial}", openapi_extra=_UPLOAD, **told(Taken))
async def report(
    service: Serving,
    who: Who,
    request: Request,
    serial: Serial,
    sha256: Annotated[str, Query(pattern="^[0-9a-fA-F]{64}$")],
) -> dict[str, Any]:
    """Bring the result of a step; the same again does no harm."""
    upload = service.areas.receive(service.config.limits.result)
    try:
        await _receive(service, request, upload)
        await asyncio.to_thread(upload.finish, sha256)
        status = await stored(service, lambda store: service.take(store, who, serial, upload))
    finally:
        upload.discard()
    return {"status": status}


async def _receive(service: Service, request: Request, upload: Upload) -> None:
    collected = bytearray()
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(service.config.limits.idle):
                part = await anext(stream, None)
            if part is None:
                break
            collected += part
            if len(collected) >= _CHUNK:
                data = bytes(collected)
                collected.clear()
                await asyncio.to_thread(upload.write, data)
    except (ClientDisconnect, TimeoutError) as error:
        raise DamagedError("the file did not come to its end; send it again.") from error
    upload.write(bytes(collected))


@router.post("/heartbeat", **told(GoOn | Over))
async def heartbeat(service: Serving, who: Who, body: Heartbeat) -> Response:
    """Say that you are there."""
    service.desk.see(who.calibration, who.worker, body.state, body.serial)
    live = service.conductor.live(who.calibration)
    if live is None:
        live = await stored(service, lambda store: service.live(store, who.calibration))
    ended = live.snapshot.state.ended
    return Response(live.work if ended else b'{"kind":"go_on"}', media_type="application/json")


@router.post("/failure", **told(Noted))
async def failure(service: Serving, who: Who, body: Failure) -> dict[str, Any]:
    """Say that you cannot go on."""
    if body.log:
        await asyncio.to_thread(_keep_log, service, who, body.log)
    await stored(
        service,
        lambda store: service.worker_failed(store, who, body.serial, body.message, excused=body.excused),
    )
    return {"status": "noted"}


def _keep_log(service: Service, who: Identity, text: str) -> None:
    path = service.areas.failure_log(who.calibration, who.worker)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
