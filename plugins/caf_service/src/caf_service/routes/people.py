"""Users, for administrators; and who and what one is."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from caf_core.errors import CafError
from caf_service.access import Identity
from caf_service.bodies import NewUser, Nothing
from caf_service.errors import NotFoundError
from caf_service.replies import Health, Me, PlanTold, Revoked, TokenMade, UserMade, UserTold
from caf_service.routes import Serving, Who, bearer, told
from caf_service.service import Service
from caf_service.telling import plan_told

router = APIRouter()
private = APIRouter(dependencies=[Depends(bearer)])
Name = Annotated[str, Path(max_length=200)]


@router.get("/health", **told(Health))
async def health() -> dict[str, Any]:
    """Whether the service is there."""
    return {"status": "ok", "version": "0.1.0"}


@private.get("/me", **told(Me))
async def me(who: Who) -> dict[str, Any]:
    """Who you are."""
    return {"name": who.name, "role": str(who.role)}


@private.get("/plans", **told(list[PlanTold]))
async def plans(service: Serving) -> list[dict[str, Any]]:
    """The plans, and what they want to know; one that cannot be imported is left out."""
    return await asyncio.to_thread(_plans, service)


def _plans(service: Service) -> list[dict[str, Any]]:
    told = []
    for name in service.catalogue.names():
        try:
            told.append(plan_told(name, service.catalogue.find(name)[0]))
        except CafError:
            continue
    return told


@private.get("/users", **told(list[UserTold]))
async def users(service: Serving) -> list[dict[str, Any]]:
    """Everybody."""
    everybody = await asyncio.to_thread(service.accounts.users)
    return [{"name": one.name, "role": one.role, "active": one.active} for one in everybody]


@private.post("/users", status_code=201, **told(UserMade, 201))
async def add_user(service: Serving, body: NewUser) -> dict[str, Any]:
    """Make a user; the token is told once."""
    token = await asyncio.to_thread(service.accounts.add, body.name, body.role)
    return {"name": body.name, "role": body.role, "token": token}


@private.post("/users/{name}/tokens", status_code=201, **told(TokenMade, 201))
async def add_token(service: Serving, name: Name, _: Nothing | None = None) -> dict[str, Any]:
    """Make one more token for a user; it is told once."""
    await _known(service, name)
    return {"token": await asyncio.to_thread(service.accounts.token, name)}


@private.post("/users/{name}/revoke", **told(Revoked))
async def revoke(service: Serving, name: Name, _: Nothing | None = None) -> dict[str, Any]:
    """End all tokens of a user."""
    await _known(service, name)
    return {"name": name, "revoked": await asyncio.to_thread(service.accounts.revoke, name)}


async def _known(service: Service, name: str) -> None:
    if name not in {one.name for one in await asyncio.to_thread(service.accounts.users)}:
        raise NotFoundError("there is no user of that name.")


router.include_router(private)
__all__ = ["Identity", "router"]
