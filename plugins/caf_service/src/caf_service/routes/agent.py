"""The desk for an agent in another process."""

import asyncio
from typing import Annotated, Any

from attrs import asdict
from fastapi import APIRouter, Depends, Query

from caf_service import hub as topics
from caf_service.bodies import Complaint, Deaths, Note, Nothing, TokensFor, Workers
from caf_service.replies_crews import Count, CrewTold, Done, Tokens
from caf_service.routes import Id, Serving, bearer, told

router = APIRouter(prefix="/agent", dependencies=[Depends(bearer)])
_OK = {"status": "ok"}


@router.get("/crews", **told(list[CrewTold]))
async def crews(service: Serving) -> list[dict[str, Any]]:
    """All calibrations whose workers may be there."""
    return [asdict(one) for one in await asyncio.to_thread(service.desk.crews)]


@router.get("/changes", **told(Count))
async def changes(
    service: Serving,
    seen: Annotated[int, Query(ge=0, le=2**53)] = 0,
    wait: Annotated[float, Query(ge=0, le=3600)] = 25.0,
) -> dict[str, Any]:
    """How many changes there were; with the last answer in ``seen``, as soon as there are more."""
    desk = service.desk
    patience = min(wait, service.config.limits.wait)
    await service.hub.wait(topics.AGENT, patience, lambda: desk.count != seen)
    return {"count": desk.count}


@router.post("/{number}/tokens", **told(Tokens))
async def tokens(service: Serving, number: Id, body: TokensFor) -> dict[str, Any]:
    """Make tokens for workers; they are told once."""
    made = await asyncio.to_thread(service.desk.tokens, number, body.workers, revoke=body.revoke)
    return {"tokens": {str(worker): token for worker, token in made.items()}}


@router.post("/{number}/note", **told(Done))
async def note(service: Serving, number: Id, body: Note) -> dict[str, str]:
    """Have something written down."""
    await asyncio.to_thread(service.desk.note, number, body.job)
    return _OK


@router.post("/{number}/died", **told(Done))
async def died(service: Serving, number: Id, body: Deaths) -> dict[str, str]:
    """Workers have ended before their time."""
    workers = {int(worker): reason for worker, reason in body.workers.items()}
    await asyncio.to_thread(service.desk.died, number, workers, excused=body.excused)
    return _OK


@router.post("/{number}/resubmitted", **told(Done))
async def resubmitted(service: Serving, number: Id, body: Workers) -> dict[str, str]:
    """Workers were submitted again."""
    await asyncio.to_thread(service.desk.resubmitted, number, body.workers)
    return _OK


@router.post("/{number}/broken", **told(Done))
async def broken(service: Serving, number: Id, body: Complaint) -> dict[str, str]:
    """Workers cannot be submitted at all."""
    await asyncio.to_thread(service.desk.broken, number, body.message)
    return _OK


@router.post("/{number}/dismissed", **told(Done))
async def dismissed(service: Serving, number: Id, _: Nothing | None = None) -> dict[str, str]:
    """The workers of an ended calibration are gone."""
    await asyncio.to_thread(service.desk.dismissed, number)
    return _OK
