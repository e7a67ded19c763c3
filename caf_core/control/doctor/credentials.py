"""How long the user's credentials live: Kerberos tickets, X.509 proxies, bearer tokens."""

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from caf_core.control.doctor.facts import Credential
from caf_core.processes.command import execute

_TIMEOUT = 10.0
_TIMES = ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%b %d %H:%M:%S %Y")
"""How ``klist`` writes times in the C locale: MIT in the first two ways, Heimdal in the last."""
_TIME = r"(?:\d[\d/-]+ +\d\d:\d\d:\d\d|[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4})"
_TICKET = re.compile(rf"^\s*{_TIME}\s+(?P<end>{_TIME}|>>>Expired<<<)\s+(?P<service>krbtgt/\S+)", re.MULTILINE)
_RENEW = re.compile(rf"renew until (?P<end>{_TIME})")
_OWNER = re.compile(r"(?:Default principal|Principal): *(?P<name>\S+)")


def find_credentials(environ: Mapping[str, str], uid: int) -> tuple[Credential, ...]:
    """The credentials of this user that schedulers and storage commonly ask for.

    Args:
        environ: The environment.
        uid: The user's number.
    """
    found = [_kerberos(), _proxy(environ, uid), _token(environ, uid)]
    return tuple(one for one in found if one is not None)


def _kerberos() -> Credential | None:
    if shutil.which("klist") is None:
        return None
    answer = execute(["klist"], timeout=_TIMEOUT, env={**os.environ, "LC_ALL": "C"})
    return read_klist(answer.stdout) if answer.ok else None


def read_klist(text: str) -> Credential | None:
    """The ticket-granting ticket in what ``klist`` printed; ``None`` if there is none."""
    ticket, owner = _TICKET.search(text), _OWNER.search(text)
    if ticket is None:
        if "krbtgt/" not in text:
            return None
        name = owner["name"] if owner else ""
        return Credential("Kerberos ticket", name, problem="what klist prints is not understood")
    renew = _RENEW.search(text, ticket.end())
    return Credential(
        "Kerberos ticket",
        owner["name"] if owner else ticket["service"],
        0.0 if "Expired" in ticket["end"] else _local_time(ticket["end"]),
        _local_time(renew["end"]) if renew else None,
    )


def _local_time(text: str) -> float | None:
    plain = " ".join(text.split())
    for form in _TIMES:
        try:
            # It has no time zone: a time in the C locale is that of this machine.
            return time.mktime(time.strptime(plain, form))
        except ValueError:
            continue
    return None


def _proxy(environ: Mapping[str, str], uid: int) -> Credential | None:
    chosen = environ.get("X509_USER_PROXY")
    path = Path(chosen or f"/tmp/x509up_u{uid}")  # noqa: S108 - the place that grid tools agreed upon
    kind = "X.509 proxy"
    if not path.exists():
        return Credential(kind, str(path), problem="the file does not exist") if chosen else None
    if shutil.which("openssl") is None:
        return Credential(kind, str(path), problem="without openssl nobody can read it")
    answer = execute(["openssl", "x509", "-noout", "-enddate", "-in", str(path)], timeout=_TIMEOUT)
    expires = read_enddate(answer.stdout)
    problem = (
        "" if expires is not None else f"openssl cannot read it ({' '.join(answer.stderr.split())[:100]})"
    )
    return Credential(kind, str(path), expires, problem=problem)


def read_enddate(text: str) -> float | None:
    """The time in ``notAfter=Nov 22 19:30:38 2026 GMT``."""
    _, sign, words = text.partition("notAfter=")
    try:
        end = datetime.strptime(" ".join(words.split()), "%b %d %H:%M:%S %Y %Z")
    except ValueError:
        return None
    return end.replace(tzinfo=UTC).timestamp() if sign else None


def _token(environ: Mapping[str, str], uid: int) -> Credential | None:
    """The token that the WLCG's rules of discovery find."""
    kind = "bearer token"
    if environ.get("BEARER_TOKEN"):
        return Credential(kind, "$BEARER_TOKEN", *read_token(environ["BEARER_TOKEN"]))
    chosen = environ.get("BEARER_TOKEN_FILE")
    folders = [environ[name] for name in ("XDG_RUNTIME_DIR",) if environ.get(name)] + ["/tmp"]  # noqa: S108 - as above
    for path in [Path(chosen)] if chosen else [Path(folder) / f"bt_u{uid}" for folder in folders]:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            if chosen:
                return Credential(kind, str(path), problem=f"it cannot be read ({error})")
            continue
        return Credential(kind, str(path), *read_token(text))
    return None


def read_token(text: str) -> tuple[float | None, float | None, str]:
    """When a JWT ends (``exp``), nothing, and what is wrong with it, if something is."""
    parts = text.strip().split(".")
    try:
        payload = parts[1] + "=" * (-len(parts[1]) % 4)
        expires = json.loads(base64.urlsafe_b64decode(payload)).get("exp")
        return (None, None, "it does not say when it ends") if expires is None else (float(expires), None, "")
    except (ValueError, IndexError, TypeError, AttributeError):
        return None, None, "it is no JSON web token, so nobody can tell when it ends"
