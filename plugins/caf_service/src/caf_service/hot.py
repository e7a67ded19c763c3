"""The two requests that a thousand workers make at the same moment: they ask for work, and they report.

They are answered without the framework, which takes several times as long. What is written as workers write
it is answered here; anything unusual is left to the routes of the same names, which describe both and tell
what is wrong.
"""

import re

from caf_service.access import Identity
from caf_service.answers import Receive, Scope, Send, answer
from caf_service.service import Service
from caf_service.uploads import take_in

PATIENCE = 25.0
"""How long a worker waits for work that does not say how long [s]."""

WORK = "/worker/work"
RESULTS = "/worker/results/"

_WORK = re.compile(rb"(?:after=(\d{1,9}))?&?(?:wait=(\d{1,3}(?:\.\d{0,6})?))?")
_SERIAL = re.compile(re.escape(RESULTS) + r"([1-9]\d{0,8})", re.ASCII)
_SHA256 = re.compile(rb"sha256=([0-9a-f]{64})")


async def serve(service: Service, who: Identity, scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer one of the two.

    Returns:
        Whether it was answered.
    Raises:
        CafError: Why a report is refused.
    """
    if scope["method"] == "GET" and scope["path"] == WORK:
        return await _work(service, who, scope, send)
    if scope["method"] == "PUT" and (serial := _SERIAL.fullmatch(scope["path"])):
        digest = _SHA256.fullmatch(scope["query_string"])
        if digest:
            status = await take_in(service, who, int(serial[1]), digest[1].decode(), receive)
            await answer(send, 200, b'{"status":"%s"}' % status.encode())
            return True
    return False


async def _work(service: Service, who: Identity, scope: Scope, send: Send) -> bool:
    asked = _WORK.fullmatch(scope["query_string"])
    if asked is None or service.conductor.live(who.calibration) is None:
        return False
    body = await service.next_work(who, int(asked[1] or 0), float(asked[2] or PATIENCE))
    if body is None:
        return False
    await answer(send, 200, body)
    return True
