"""What belongs to one service alone: its data folder, and with it its database."""

import fcntl
import json
import os
import socket
import uuid
from pathlib import Path

from caf_core.errors import ConfigurationError
from caf_core.json_text import json_text
from caf_service.filing import private_folder, sync_folder
from caf_service.store.store import Store

IDENTITY = "identity"
"""The file in the data folder that says whose PostgreSQL database it is."""


def lock_folder(data: Path) -> int:
    """Keep other services out of a data folder, until the descriptor that is returned is closed.

    Raises:
        ConfigurationError: If one is there.
    """
    private_folder(data)
    descriptor = os.open(data / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"another service uses the data folder {data}; stop that one, or name another folder."
        ) from error
    return descriptor


def claim_database(store: Store, data: Path, identity: str) -> None:
    """Make sure that a database is no other folder's; in the thread of the database.

    No lock is held for that: a service that was killed begins again at once, even while PostgreSQL has not
    noticed its end. Two services in one folder are kept apart by the folder's own lock.

    Raises:
        ConfigurationError: If it is.
    """
    ours = {"identity": identity, "folder": str(data.absolute()), "host": socket.gethostname()}
    said = json_text(ours)
    known = store.claim(said)
    owner = json.loads(known)
    if owner["identity"] != identity:
        raise ConfigurationError(
            f"the PostgreSQL database belongs to the service in {owner['folder']} on {owner['host']}; start "
            f"that one, or give the service in {data} a database or schema of its own."
        )
    if known != said:
        store.own(said)  # the folder was moved


def identity_of(data: Path) -> str:
    """What tells this folder from all others, wherever it is moved; the folder is locked."""
    path = data / IDENTITY
    if not path.exists():
        scratch = path.with_name(f".{IDENTITY}.new")
        with scratch.open("w", encoding="ascii") as stream:
            stream.write(f"{uuid.uuid4().hex}\n")
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
        sync_folder(data)
    return path.read_text().strip()
