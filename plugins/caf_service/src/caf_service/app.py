"""The HTTP application: errors become sentences, and the routes are put together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from caf_core.errors import CafError
from caf_service.errors import ForbiddenError, NotFoundError, NotNowError
from caf_service.gate import Gate
from caf_service.results import DamagedError, TooLargeError
from caf_service.routes import agent, calibrations, people, worker
from caf_service.service import Service
from caf_service.store.thread import DatabaseAwayError

log = logging.getLogger("caf.service")
VERSION = "0.1.0"

_STATUS: dict[type[CafError], int] = {
    DamagedError: 400,
    ForbiddenError: 403,
    NotFoundError: 404,
    NotNowError: 409,
    TooLargeError: 413,
    DatabaseAwayError: 503,
}
"""Error -> its status; any other of caf means that something cannot be done as written: 422."""


def create_app(service: Service) -> FastAPI:
    """The application of a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.hub.open()
        yield

    error = {"description": "An error, in one sentence.", "content": {"application/json": {"schema": _ERROR}}}
    statuses = (400, 401, 403, 404, 408, 409, 413, 422, 429, 503)
    app = FastAPI(
        title="caf-service",
        version=VERSION,
        description="Iterative calibrations with resident workers.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=dict.fromkeys(statuses, error),
    )
    app.state.service = service
    app.add_middleware(Gate, service=service)
    for routes in (people, calibrations, worker, agent):
        app.include_router(routes.router)
    app.add_exception_handler(CafError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    return app


_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def _sentence(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)


def _refused(_: Request, error: Exception) -> JSONResponse:
    status = next((number for kind, number in _STATUS.items() if isinstance(error, kind)), 422)
    return _sentence(status, str(error), {"Retry-After": "2"} if status == 503 else None)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    told = [f"{'.'.join(str(one) for one in each['loc'][1:])}: {each['msg']}" for each in problems[:10]]
    return _sentence(422, f"the request cannot be used; {'; '.join(told)}.")


def _http(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 400
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    said = {
        404: "there is nothing here; see /openapi.json.",
        405: "this cannot be done here; see /openapi.json.",
    }
    return _sentence(status, said.get(status, "the request cannot be used."), headers)


def _fault(request: Request, _: Exception) -> JSONResponse:
    # The server writes the traceback into its log; nobody outside sees it.
    log.error("a fault of caf-service in %s %s", request.method, request.url.path)
    return _sentence(500, "a fault of caf-service, which is in its log.")
