"""The routes of the HTTP API, by who uses them."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Path, Request
from fastapi.responses import FileResponse
from fastapi.security import HTTPBearer

from caf_service.access import Identity
from caf_service.gate import IDENTITY
from caf_service.service import Service
from caf_service.store.store import Store

T = TypeVar("T")

bearer = HTTPBearer(auto_error=False, description="A token of the service.")
"""For the description only: the gate has asked already."""


def the_service(request: Request) -> Service:
    """The service that is asked."""
    return cast(Service, request.app.state.service)


def the_identity(request: Request) -> Identity:
    """Who asks."""
    return cast(Identity, request.scope[IDENTITY])


Serving = Annotated[Service, Depends(the_service)]
Who = Annotated[Identity, Depends(the_identity)]
Id = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of a calibration.")]


def told(reply: Any, *statuses: int) -> dict[str, Any]:
    """How a route describes what it answers, for its decorator; it is not checked when it answers."""
    return {"response_model": None, "responses": {status: {"model": reply} for status in statuses or (200,)}}


def file_of(kind: str) -> dict[str, Any]:
    """The same of a route that answers with a file."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}}}
    return {"response_class": FileResponse, "responses": {200: {"content": content}}}


async def stored(service: Service, action: Callable[[Store], T]) -> T:
    """Execute an action in the thread of the database."""
    return await asyncio.wrap_future(service.thread.submit(action))
