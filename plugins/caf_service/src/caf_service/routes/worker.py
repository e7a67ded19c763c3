"""What workers ask for and bring; a worker's token says which one it is."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse

from caf_service import reporting
from caf_service.access import Identity
from caf_service.bodies import Failure, Heartbeat
from caf_service.errors import NotFoundError
from caf_service.hot import PATIENCE
from caf_service.replies_crews import GoOn, Inputs, Noted, Over, Taken, Wait, WorkTold
from caf_service.routes import Serving, Who, bearer, file_of, stored, told
from caf_service.service import Service
from caf_service.uploads import take_in

router = APIRouter(prefix="/worker", dependencies=[Depends(bearer)])
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
    return {"status": await take_in(service, who, serial, sha256, request.receive)}


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
