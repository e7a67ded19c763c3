"""The routes of the HTTP API, by who uses them."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Path, Request
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


async def stored(service: Service, action: Callable[[Store], T]) -> T:
    """Execute an action in the thread of the database."""
    return await asyncio.wrap_future(service.thread.submit(action))
