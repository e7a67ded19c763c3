"""Talking to a service over HTTP: one connection that is kept, answers in JSON, errors as sentences.

It needs nothing but the standard library, because workers use it: hundreds of them may share a machine.
"""

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from attrs import frozen

from caf_core.errors import CafError, ConfigurationError
from caf_core.json_text import exact_json
from caf_service.listeners import StrangerError, check_peer

BLOCK = 1 << 20
_SHOWN = 500


class ServiceError(CafError):
    """The service could not be asked, or did not do what it was asked for."""


class UnreachableError(ServiceError):
    """The service does not answer; it may later."""


class UntrustedError(UnreachableError):
    """What answers has no certificate that is trusted, or belongs to another user of this machine; that may
    change, but most likely somebody must do something about it.
    """


class RefusedError(ServiceError):
    """The service answered with an error.

    Args:
        status: The HTTP status.
        message: The service's sentence.
        retry_after: When it wants to be asked again, if it said so [s].
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status >= 500 or self.status in (408, 429)


@frozen
class Address:
    """Where a service is, and who asks.

    Args:
        url: ``http://host:port`` or ``https://host:port``, perhaps with a path before the API's.
        token: The token.
        certificate: File with certificates that are trusted beside those of the system.
        owner: Whose service it may be beside the user's own and root's, where it is on this machine and has
            no TLS; else what ``CAF_SERVICE_OWNER`` says.
    """

    url: str
    token: str = ""
    certificate: Path | None = None
    owner: str = ""


class Transport:
    """A kept connection to a service; for one thread.

    Args:
        address: Where the service is; asked anew for every connection, because a service may move.
        timeout: How long an answer may take, beyond the time that a request may wait in the service [s].
    """

    def __init__(self, address: Address | Callable[[], Address], *, timeout: float = 60.0) -> None:
        self._address = address if callable(address) else lambda: address
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._prefix = ""
        self._token = ""

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, *, wait: float = 0.0, **query: object) -> Any:
        """The JSON at a path.

        Args:
            path: The path, quoted already where need be.
            wait: How long the service may keep the request waiting [s]; it is told so.
            query: What else is asked; ``None`` is left out.
        """
        asked = {**query, **({"wait": f"{wait:g}"} if wait else {})}
        return _content(self._exchange("GET", _with(path, asked), timeout=self._timeout + wait))

    def post(self, path: str, content: Mapping[str, Any] | None = None) -> Any:
        """Send JSON; returns the answer."""
        body = exact_json(dict(content or {})).encode()
        return _content(self._exchange("POST", path, body, {"Content-Type": "application/json"}))

    def put_file(self, path: str, file: Path, **query: object) -> Any:
        """Send a file as it is, streamed; returns the answer."""
        size = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        with file.open("rb") as stream:
            return _content(self._exchange("PUT", _with(path, query), stream, size))

    def get_file(self, path: str, file: Path) -> Path:
        """Write what stands at a path to a file: as a whole or not at all."""
        answer = self._exchange("GET", path)
        scratch = file.with_name(f".{file.name}.part")
        try:
            with scratch.open("wb") as stream:
                while block := answer.read(BLOCK):
                    stream.write(block)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            scratch.unlink(missing_ok=True)
            raise UnreachableError(
                f"the answer to {path} broke off: {str(error) or type(error).__name__}"
            ) from error
        if answer.length:  # the rest of it never came
            self.close()
            scratch.unlink(missing_ok=True)
            raise UnreachableError(f"the answer to {path} broke off: {answer.length} bytes are missing")
        return scratch.replace(file)

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
    ) -> http.client.HTTPResponse:
        kept = self._connection is not None
        try:
            answer = self._ask(method, path, body, headers, timeout or self._timeout)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not kept:
                raise UnreachableError(self._away(error)) from error
            # A connection that was kept may have been closed meanwhile; no request does harm when sent twice.
            if not isinstance(body, bytes | None):
                body.seek(0)
            return self._exchange(method, path, body, headers, timeout=timeout)
        except (ssl.SSLCertVerificationError, StrangerError) as error:
            self.close()
            raise UntrustedError(self._away(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnreachableError(self._away(error)) from error
        if answer.status < 400:
            return answer
        raise self._refusal(answer)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str] | None,
        timeout: float,
    ) -> http.client.HTTPResponse:
        connection = self._connection or self._connect()
        self._connection = connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        own = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        connection.request(method, self._prefix + path, body, {**own, **(headers or {})})
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        address = self._address()
        parts = urlsplit(address.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{address.url!r} is no address of a service; write http://HOST:PORT.")
        self._prefix, self._token = parts.path.rstrip("/"), address.token
        if parts.scheme == "http":
            return _PlainConnection(parts.hostname, parts.port, self._timeout, address.owner)
        context = ssl.create_default_context()
        if address.certificate is not None:
            # Beside those of the system; the service's own certificate is enough, whoever signed it.
            context.load_verify_locations(address.certificate)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self._timeout, context=context)

    def _refusal(self, answer: http.client.HTTPResponse) -> RefusedError:
        try:
            body = answer.read(1 << 16)
        except (OSError, http.client.HTTPException):
            body = b""
        # Of what was sent a part may not have been read; another request must not begin in its midst.
        self.close()
        try:
            message = str(json.loads(body)["error"])
        except (ValueError, KeyError, TypeError):
            message = body.decode("utf-8", "replace")[:_SHOWN].strip() or answer.reason
        return RefusedError(answer.status, message, _seconds(answer.headers.get("Retry-After")))

    def _away(self, error: Exception) -> str:
        try:
            url = self._address().url
        except (OSError, CafError):
            url = "somewhere"
        hint = ""
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "; if its certificate is to be trusted, CAF_SERVICE_CERTIFICATE names a file that holds it"
        if isinstance(error, StrangerError):
            return f"the service at {url} is not asked: {error}"
        return f"the service at {url} does not answer: {str(error) or type(error).__name__}{hint}"


class _PlainConnection(http.client.HTTPConnection):
    """A connection without TLS, that says nothing to a program of another user of this machine."""

    def __init__(self, host: str, port: int | None, timeout: float, owner: str) -> None:
        super().__init__(host, port, timeout=timeout)
        self._owner = owner

    def connect(self) -> None:
        super().connect()
        check_peer(self.sock, self._owner)


def quoted(*parts: object) -> str:
    """Parts of a path, each quoted, with ``/`` before each; slashes within a part stay."""
    return "".join(f"/{quote(str(part))}" for part in parts)


def _with(path: str, query: Mapping[str, object]) -> str:
    known = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(known)}" if known else path


def _content(answer: http.client.HTTPResponse) -> Any:
    try:
        return json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(
            f"the service's answer cannot be read: {str(error) or type(error).__name__}"
        ) from error


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None
