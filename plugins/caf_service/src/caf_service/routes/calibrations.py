"""Calibrations, for the people whose they are."""

import asyncio
import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse, JSONResponse

from caf_core.errors import ConfigurationError
from caf_service import hub as topics
from caf_service.bodies import Content, NewCalibration, Nothing, Output
from caf_service.creating import Wish
from caf_service.errors import NotFoundError, NotNowError
from caf_service.replies import Cleaned, Created, Details, FileTold, Summary
from caf_service.routes import Id, Serving, Who, bearer, file_of, stored, told
from caf_service.snapshot import State

SETTLE = 0.2
"""So long is waited for more changes before a view is told [s]: while a thousand workers report, there is one
every millisecond.
"""

router = APIRouter(prefix="/calibrations", dependencies=[Depends(bearer)])


@router.post("", status_code=201, **told(Created, 200, 201))
async def create(service: Serving, who: Who, body: NewCalibration, response: Response) -> dict[str, Any]:
    """Create a calibration."""
    given = body.model_dump(exclude={"files", "start", "stop"})
    files = {name: _content(name, one) for name, one in body.files.items()}
    start, stop = (one.model_dump() if one else None for one in (body.start, body.stop))
    wish = Wish(**given, files=files, start=start, stop=stop)
    number, warnings, new = await asyncio.to_thread(service.create, who, wish)
    response.status_code = 201 if new else 200
    return {"id": number, "warnings": warnings}


@router.get("", **told(list[Summary]))
async def listing(service: Serving, who: Who, state: State | None = None) -> list[dict[str, Any]]:
    """Your calibrations; everybody's for an administrator."""
    return await stored(service, lambda store: service.listing(store, who, [state] if state else []))


@router.get("/{number}", **told(Details))
async def show(
    service: Serving,
    who: Who,
    number: Id,
    seen: Annotated[str, Query(max_length=64)] = "",
    wait: Annotated[float, Query(ge=0, le=3600)] = 0.0,
) -> JSONResponse:
    """Everything about a calibration; with ``seen`` and ``wait``, as soon as something has changed."""
    if seen and wait:
        await stored(service, lambda store: (service.mine(store, who, number), service.live(store, number)))
        patience = min(wait, service.config.limits.wait)

        def changed() -> bool:
            live = service.conductor.live(number)
            return live is None or live.version != seen

        if await service.hub.wait((topics.VIEW, number), patience, changed):
            await asyncio.sleep(SETTLE)
    return JSONResponse(await stored(service, lambda store: service.details(store, who, number)))


@router.post("/{number}/kill", **told(Summary))
async def kill(service: Serving, who: Who, number: Id, _: Nothing | None = None) -> dict[str, Any]:
    """End a calibration."""
    return await stored(service, lambda store: service.kill(store, who, number))


@router.post("/{number}/clean", **told(Cleaned))
async def clean(service: Serving, who: Who, number: Id, _: Nothing | None = None) -> dict[str, Any]:
    """Forget an ended calibration, with all its files."""
    await stored(service, lambda store: service.clean(store, who, number))
    return {"id": number, "cleaned": True}


@router.post("/{number}/output", **told(Summary))
async def output(service: Serving, who: Who, number: Id, body: Output) -> dict[str, Any]:
    """Have the result copied to another folder."""
    return await stored(service, lambda store: service.change_output(store, who, number, body.path))


@router.get("/{number}/result", **file_of("application/zip"))
async def result(service: Serving, who: Who, number: Id) -> FileResponse:
    """The result, in one file."""
    told = await stored(service, lambda store: service.summary(store, who, number))
    path = service.areas.result_zip(number)
    if not told["result"] or not path.exists():
        said = f"calibration {number} is {told['state']}" + (
            f": {told['message']}" if told["message"] else ""
        )
        raise NotNowError(f"there is no result; {said}.")
    return FileResponse(path, media_type="application/zip", filename=f"calibration-{number}.zip")


@router.get("/{number}/files", **told(list[FileTold]))
async def files(service: Serving, who: Who, number: Id) -> list[dict[str, Any]]:
    """The files of the result, and what the steps have left so far."""
    await stored(service, lambda store: service.mine(store, who, number))
    found = await asyncio.to_thread(service.areas.listing, number)
    return [{"name": name, "size": path.stat().st_size} for name, path in found.items() if path.exists()]


@router.get("/{number}/files/{name:path}", **file_of("application/octet-stream"))
async def one_file(
    service: Serving, who: Who, number: Id, name: Annotated[str, Path(max_length=1000)]
) -> FileResponse:
    """One of these files."""
    await stored(service, lambda store: service.mine(store, who, number))
    found = await asyncio.to_thread(service.areas.listing, number)
    if name not in found or not found[name].exists():
        raise NotFoundError(f"calibration {number} has no file of that name.")
    # Nothing that a plan writes is to be executed by a browser.
    headers = {"X-Content-Type-Options": "nosniff"}
    return FileResponse(found[name], media_type="application/octet-stream", headers=headers)


def _content(name: str, one: Content) -> bytes:
    if (one.text is None) == (one.base64 is None):
        raise ConfigurationError(f"the file {name!r} needs either text or base64.")
    if one.text is not None:
        return one.text.encode()
    try:
        return base64.b64decode(one.base64 or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"the file {name!r} is no base64.") from error
