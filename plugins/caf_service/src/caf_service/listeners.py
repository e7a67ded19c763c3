"""Which user listens at a port of this machine.

Without TLS nothing else tells a service from another user's program that took its port while it was away.
"""

import os
import pwd
import socket
import sys
from errno import ECONNREFUSED
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

OWNER = "CAF_SERVICE_OWNER"
"""The account of a service on this machine, if it is not the user's own."""
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING = "0A"


class StrangerError(Exception):
    """The program at the other end belongs to another user; the message is a part of a sentence."""


def check_peer(connection: socket.socket, owner: str = "") -> None:
    """Refuse a connection to a program of another user of this machine.

    Programs on other machines, and machines that do not tell who listens, are not looked at.

    Args:
        connection: A connection that was opened from here.
        owner: Whose programs are trusted beside those of the user and of root: a name or a number.
    Raises:
        StrangerError: Naming whose program it is.
        ConnectionRefusedError: If that cannot be told, as nobody listens any more.
    """
    peer, here = _host(connection.getpeername()), _host(connection.getsockname())
    if peer != here and not peer.is_loopback:
        return
    found = listening_users(peer, connection.getpeername()[1])
    if found is None:
        return
    if not found:
        raise ConnectionRefusedError(ECONNREFUSED, "who listened there does so no more")
    wanted = owner or os.environ.get(OWNER, "")
    trusted = {0, os.geteuid(), *_number_of(wanted)}
    strangers = sorted(found - trusted)
    if strangers:
        who = " and ".join(map(_name_of, strangers))
        told = f", and {OWNER} is {wanted}" if wanted else ""
        raise StrangerError(
            f"what listens there belongs to {who}{told}, and would get the token; if the service is meant to "
            f"be theirs, set {OWNER} to that account, else ask for its address, or for one with TLS"
        )


def listening_users(host: IPv4Address | IPv6Address, port: int) -> set[int] | None:
    """The users whose sockets take connections to an address of this machine; ``None`` if it does not say.

    Args:
        host: The address.
        port: The port.
    """
    known, exact, general = False, set(), set()
    for table in _TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except (OSError, ValueError):
            continue
        known = True
        for line in lines:
            fields = line.split()
            place, _, number = fields[1].partition(":")
            if fields[3] != _LISTENING or int(number, 16) != port:
                continue
            listener = _unmapped(_address(place))
            if listener == host:
                exact.add(int(fields[7]))
            elif listener.is_unspecified and (listener.version == 6 or host.version == 4):
                general.add(int(fields[7]))
    return (exact or general) if known else None


def _host(name: tuple[str, ...]) -> IPv4Address | IPv6Address:
    return _unmapped(ip_address(name[0].partition("%")[0]))


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that is written as one of IPv6, as IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _address(text: str) -> IPv4Address | IPv6Address:
    """An address as the kernel writes it: words of four bytes in the processor's own order."""
    raw = bytes.fromhex(text)
    step = -1 if sys.byteorder == "little" else 1
    return ip_address(b"".join(raw[at : at + 4][::step] for at in range(0, len(raw), 4)))


def _number_of(owner: str) -> set[int]:
    if owner.isdecimal():
        return {int(owner)}
    try:
        return {pwd.getpwnam(owner).pw_uid} if owner else set()
    except KeyError:
        return set()


def _name_of(user: int) -> str:
    try:
        return f"the user {pwd.getpwuid(user).pw_name} ({user})"
    except KeyError:
        return f"the user {user}"
