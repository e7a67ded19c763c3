"""What every request passes first: who is it, may it, how often, how large.

Nothing of its body is read before that is known.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from caf_service.access import Identity, Role
from caf_service.limits import Rates
from caf_service.service import Service
from caf_service.store.thread import DatabaseAwayError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PUBLIC = ("/health", "/openapi.json")
STREAMED = "/worker/results/"
WORK = "/worker/work"
PATIENCE = 25.0
"""How long a worker waits for work that does not say how long [s]."""

_WORK = re.compile(rb"(?:after=(\d{1,9}))?&?(?:wait=(\d{1,3}(?:\.\d{0,6})?))?")
_ROLES = {
    "worker": (Role.WORKER,),
    "agent": (Role.AGENT, Role.ADMIN),
    "users": (Role.ADMIN,),
    "me": (Role.USER, Role.AGENT, Role.ADMIN),
}
"""First part of a path -> who may go there; users and administrators may go everywhere else."""

IDENTITY = "caf.identity"
"""Where the rest finds who asks, in the ASGI scope."""


class _Refused(Exception):
    def __init__(self, status: int, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.status = status
        self.after = after


class Gate:
    """ASGI middleware in front of the application.

    Args:
        app: The application.
        service: The service.
        clock: Seconds that never go back.
    """

    def __init__(self, app: App, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        limits = service.config.limits
        self._app = app
        self._service = service
        self._limits = limits
        self._rates = Rates(limits.rate, limits.burst, clock)
        self._failures = Rates(limits.failures, max(1, round(10 * limits.failures)), clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if scope["path"] not in PUBLIC:
                scope[IDENTITY] = await self._identify(scope)
            if not (scope["method"] == "PUT" and scope["path"].startswith(STREAMED)):
                receive = await self._body(scope, receive)
        except _Refused as refused:
            await answer(send, refused.status, str(refused), refused.after)
            return
        except DatabaseAwayError as error:
            await answer(send, 503, str(error), 2.0)
            return
        if scope["method"] == "GET" and scope["path"] == WORK and await self._work(scope, send):
            return
        await self._app(scope, receive, send)

    async def _identify(self, scope: Scope) -> Identity:
        address = str((scope.get("client") or ("",))[0])
        if self._failures.empty(address):
            raise _Refused(429, "too many wrong tokens came from your address; wait a moment.", 1.0)
        token = _token(scope)
        accounts = self._service.accounts
        who = accounts.remembered(token)
        if who is None and token:
            future = self._service.thread.submit(lambda store: accounts.look_up(store, token))
            who = await asyncio.wrap_future(future)
        if who is None:
            self._failures.delay(address)
            raise _Refused(401, "this needs a valid token, in a header: Authorization: Bearer TOKEN.")
        if (wait := self._rates.delay(str(who.token))) > 0:
            raise _Refused(429, f"too many requests came with your token; wait {wait:.1f} s.", wait)
        first = scope["path"].split("/", 2)[1] if "/" in scope["path"] else ""
        if who.role not in _ROLES.get(first, (Role.USER, Role.ADMIN)):
            raise _Refused(403, f"a token of the role {who.role} is not good for this.")
        if who.role is Role.WORKER:
            self._service.desk.see(who.calibration, who.worker)
        return who

    async def _work(self, scope: Scope, send: Send) -> bool:
        """Answer a worker that asks for work without the whole application: a thousand may be woken at the
        same time, and all of them want to hear of the next step at once.

        Returns:
            Whether it was answered; anything unusual is left to the application.
        """
        asked = _WORK.fullmatch(scope["query_string"])
        who: Identity = scope[IDENTITY]
        if asked is None or self._service.conductor.live(who.calibration) is None:
            return False
        body = await self._service.next_work(who, int(asked[1] or 0), float(asked[2] or PATIENCE))
        if body is None:
            return False
        await _send(send, 200, body, [])
        return True

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the body, which is small, and check that it is JSON that any database can keep."""
        if "\x00" in scope["path"]:
            raise _Refused(404, "there is nothing here.")
        announced = _header(scope, b"content-length")
        if announced.isdecimal() and int(announced) > self._limits.body:
            raise _Refused(413, f"the request is larger than {self._limits.body} bytes.")
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            try:
                message = await asyncio.wait_for(receive(), self._limits.idle)
            except TimeoutError as error:
                raise _Refused(408, "the request did not come to an end.") from error
            if message["type"] == "http.disconnect":
                break
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limits.body:
                raise _Refused(413, f"the request is larger than {self._limits.body} bytes.")
            more = message.get("more_body", False)
        body = b"".join(parts)
        if body:
            _check(body)
        return _replayed(body, receive)


async def answer(send: Send, status: int, sentence: str, after: float = 0.0) -> None:
    """Send an error."""
    headers = []
    if after:
        headers.append((b"retry-after", str(max(1, round(after + 0.5))).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await _send(send, status, json.dumps({"error": sentence}).encode(), headers)


async def _send(send: Send, status: int, body: bytes, more: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _check(body: bytes) -> None:
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number)
        # Half a surrogate pair, which JSON can say, is no text; huge numbers become infinite.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise _Refused(422, "the request is no JSON of ordinary text and finite numbers.") from error
    if "\\u0000" in text:
        raise _Refused(422, "the request has a text with a NUL character, which no database keeps.")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _token(scope: Scope) -> str:
    kind, _, token = _header(scope, b"authorization").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""
