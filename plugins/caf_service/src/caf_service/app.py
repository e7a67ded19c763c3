"""The HTTP application: errors become sentences, and the routes are put together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from caf_core.errors import CafError
from caf_service.answers import FAULT, refusal
from caf_service.routes import agent, calibrations, people, worker
from caf_service.service import Service

log = logging.getLogger("caf.service")
VERSION = "0.1.0"


def create_app(service: Service) -> FastAPI:
    """The application of a service, to be put behind its gate."""

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
        # One spelling for every path; and nobody is sent elsewhere with a token.
        redirect_slashes=False,
        responses=dict.fromkeys(statuses, error),
    )
    app.state.service = service
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
    refused = refusal(error if isinstance(error, CafError) else CafError(str(error)))
    headers = {"Retry-After": f"{refused.after:.0f}"} if refused.after else None
    return _sentence(refused.status, str(refused), headers)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    told = [f"{'.'.join(map(str, each['loc'][1:] or each['loc']))}: {each['msg']}" for each in problems[:10]]
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
    return _sentence(500, FAULT)
