"""A service that listens: in a thread for scripts and tests, or in the foreground."""

import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn

from caf_core.errors import ConfigurationError
from caf_service.app import create_app
from caf_service.config import ServiceConfig
from caf_service.descriptors import room_for_connections
from caf_service.gate import Gate
from caf_service.service import Service
from caf_service.wire import GuardedProtocol

BACKLOG = 4096
"""So many connections may wait until they are taken."""

GRACE = 5
"""So long may requests take to end when the service does [s]."""


class _Uvicorn(uvicorn.Server):
    """Wakes those that wait for news before it waits for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._service.hub.close()
        await super().shutdown(sockets)


class Server:
    """A listening service.

    Args:
        config: Its configuration.
    Raises:
        ConfigurationError: If it cannot listen, or see ``Service``.
    """

    def __init__(self, config: ServiceConfig) -> None:
        self.config = config
        self._socket = _listen(config)
        try:
            self.service = Service(config)
        except BaseException:
            self._socket.close()
            raise
        self._room = min(config.limits.connections, room_for_connections())
        self._uvicorn = _Uvicorn(self._settings(), self.service)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Its address."""
        host = self.config.host
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.config.certificate else 'http'}://{shown}:{self.port}"

    def __enter__(self) -> Self:
        """Serve from a thread; requests that come at once are served."""
        self._thread = threading.Thread(
            target=self._uvicorn.run, kwargs={"sockets": [self._socket]}, name="caf-service", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._uvicorn.should_exit = True
        if self._thread:
            self._thread.join()
        self._socket.close()
        self.service.close()

    def _crowded(self) -> bool:
        return len(self._uvicorn.server_state.connections) > self._room

    def _settings(self) -> uvicorn.Config:
        return uvicorn.Config(
            Gate(create_app(self.service), self.service, self._crowded),
            http=GuardedProtocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            # Whoever else says where a request comes from is not believed.
            proxy_headers=bool(self.config.proxies),
            forwarded_allow_ips=list(self.config.proxies),
            timeout_graceful_shutdown=GRACE,
            # Longer than the longest wait between two requests of a waiting worker.
            timeout_keep_alive=75,
            backlog=BACKLOG,
            ssl_certfile=self.config.certificate,
            ssl_keyfile=self.config.key,
        )


def _listen(config: ServiceConfig) -> socket.socket:
    try:
        address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(address[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address[4])
        # From now on connections are taken, and wait until they are served.
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"the service cannot listen on {config.host}:{config.port} ({error}); name another host or "
            "port, if it is not this service itself that listens there."
        ) from error
    return listener
