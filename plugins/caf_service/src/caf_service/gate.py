"""What every request passes first: who is it, may it, how often, how large.

Nothing of its body is read before that is known.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from caf_core.errors import CafError
from caf_service import hot
from caf_service.access import Identity, Role
from caf_service.answers import FAULT, App, Message, Receive, Refused, Scope, Send, refusal, refuse
from caf_service.content import AT_ONCE, Pace, check_json, most_of
from caf_service.limits import Rates
from caf_service.service import Service
from caf_service.tokens import parse

log = logging.getLogger("caf.service")

PUBLIC = ("/health", "/openapi.json")
_ROLES = {
    "calibrations": (Role.USER, Role.ADMIN),
    "plans": (Role.USER, Role.ADMIN),
    "worker": (Role.WORKER,),
    "agent": (Role.AGENT, Role.ADMIN),
    "users": (Role.ADMIN,),
    "me": (Role.USER, Role.AGENT, Role.ADMIN),
}
"""First part of a path -> who may go there; there is nothing else."""

CROWDED = 5.0
"""When to come again if there are too many connections [s]."""

IDENTITY = "caf.identity"
"""Where the rest finds who asks, in the ASGI scope."""


class Gate:
    """In front of the application.

    Args:
        app: The application.
        service: The service.
        crowded: Whether there are more connections than can be served.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        app: App,
        service: Service,
        crowded: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = service.config.limits
        self._app = app
        self._crowded = crowded
        self._service = service
        self._limits = limits
        self._rates = Rates(limits.rate, limits.burst, clock)
        self._failures = Rates(limits.failures, max(1, round(10 * limits.failures)), clock)
        self._doubtful = asyncio.Semaphore(1)
        self._heavy = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            passed = await self._pass(scope, receive, send)
        except Refused as refused:
            await refuse(send, refused)
        except CafError as error:
            await refuse(send, refusal(error))
        except Exception:
            log.exception("a fault of caf-service in %s %s", scope["method"], scope["path"])
            await refuse(send, Refused(500, FAULT))
        else:
            if passed is not None:
                await self._app(scope, passed, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Find out who asks and whether that may be.

        Returns:
            Where the application reads the body; ``None`` if the request was answered already.
        """
        if self._crowded():
            raise Refused(503, "too many connections; try again in a moment.", CROWDED, close=True)
        if scope["path"] not in PUBLIC:
            who = scope[IDENTITY] = await self._identify(scope)
            if who.role is Role.WORKER and await hot.serve(self._service, who, scope, receive, send):
                return None
        if scope["method"] == "PUT" and scope["path"].startswith(hot.RESULTS):
            return receive
        return await self._body(scope, receive)

    async def _identify(self, scope: Scope) -> Identity:
        address = str((scope.get("client") or ("",))[0])
        who = await self._known(_token(scope), address)
        if who is None:
            if self._failures.delay(address) > 0:
                raise Refused(429, "too many wrong tokens came from your address; wait a moment.", 1.0)
            raise Refused(
                401,
                "this needs a valid token: in CAF_SERVICE_TOKEN for commands, in a header "
                "(Authorization: Bearer TOKEN) over HTTP; an administrator gives you one.",
            )
        if (wait := self._rates.delay(str(who.token))) > 0:
            raise Refused(429, f"too many requests came with your token; wait {wait:.1f} s.", wait)
        # What is compared here is what is routed: "/users\n" must not be taken for "/users" later.
        first = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
        roles = _ROLES.get(first, (Role.USER, Role.ADMIN))
        if who.role not in roles:
            raise Refused(403, f"a token of the role {who.role} is not good for this.")
        if first not in _ROLES or not scope["path"].isprintable():
            raise Refused(404, "there is nothing here; see /openapi.json.")
        if who.role is Role.WORKER:
            self._service.desk.see(who.calibration, who.worker)
        return who

    async def _known(self, token: str, address: str) -> Identity | None:
        """Who has a token; a valid one is never refused for what others do at the same address."""
        accounts = self._service.accounts
        who = accounts.remembered(token)
        if who is not None or parse(token) is None:
            return who

        def looked_up() -> Awaitable[Identity | None]:
            return asyncio.wrap_future(
                self._service.thread.submit(lambda store: accounts.look_up(store, token))
            )

        if not self._failures.empty(address):
            return await looked_up()
        # Those who guess come one after the other, so that the database has time for everybody else.
        async with self._doubtful:
            return await looked_up()

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the body, and check that it is JSON that is fit for any database."""
        most = most_of(scope["method"], scope["path"], self._limits.body)
        announced = _header(scope, b"content-length")
        if announced.isdecimal() and int(announced) > most:
            raise Refused(413, _too_large(most))
        body = bytearray()
        pace = Pace(self._limits.idle, self._limits.slowest)
        more = True
        while more:
            try:
                message = await pace.wait(receive())
            except TimeoutError as error:
                raise Refused(408, "the request did not come to an end in time.") from error
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            if len(body) > most:
                raise Refused(413, _too_large(most))
            pace.came(len(message.get("body", b"")))
            more = message.get("more_body", False)
        if len(body) > AT_ONCE:
            async with self._heavy:
                await asyncio.to_thread(check_json, bytes(body), self._limits.values)
        elif body:
            check_json(bytes(body), self._limits.values)
        return _replayed(bytes(body), receive)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _too_large(most: int) -> str:
    return f"the request is larger than {most} bytes." if most else "this takes no body."


def _token(scope: Scope) -> str:
    kind, _, token = _header(scope, b"authorization").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""
