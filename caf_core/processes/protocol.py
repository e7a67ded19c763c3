"""How the resident process, its wardens and its clients talk: messages over Unix stream sockets.

A message is four bytes of length and that many bytes of body; bodies are JSON unless said otherwise. JSON is
written in ASCII, so that file names that are not valid Unicode survive. Only the standard library is used:
the resident must start fast and stay small.
"""

import json
import socket
import struct

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 18
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end of a Unix socket, as the kernel gives them."""


def dumps(value: object) -> bytes:
    """A value as compact JSON; numbers in it are finite."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")  # noqa: TID251 - standard library only


def peer_user(connection: socket.socket) -> int:
    """The id of the user at the other end of a Unix socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def frame(body: bytes) -> bytes:
    """A body with its length in front."""
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts what arrives on a socket into bodies."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return the bodies that are complete now."""
        buffer = self._buffer
        buffer += data
        bodies = []
        begin = 0
        while len(buffer) - begin >= 4:
            (length,) = _LENGTH.unpack_from(buffer, begin)
            end = begin + 4 + length
            if len(buffer) < end:
                break
            bodies.append(bytes(buffer[begin + 4 : end]))
            begin = end
        if begin:
            del buffer[:begin]
        return bodies


class Channel:
    """A blocking end of a conversation.

    Args:
        connection: The socket; it belongs to the channel from now on.
    """

    __slots__ = ("_frames", "_waiting", "connection")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._frames = Frames()
        self._waiting: list[bytes] = []

    def send(self, body: bytes) -> None:
        """Send one message."""
        self.connection.sendall(frame(body))

    def receive(self) -> bytes | None:
        """Wait for the next message; ``None`` when the other end is closed."""
        while not self._waiting:
            data = self.connection.recv(_CHUNK)
            if not data:
                return None
            self._waiting = self._frames.feed(data)
        return self._waiting.pop(0)

    def close(self) -> None:
        """Close this end."""
        self.connection.close()
