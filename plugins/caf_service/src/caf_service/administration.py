"""Setting a service up, and looking after its users while none is executed, or beside one."""

from collections.abc import Iterator
from contextlib import contextmanager

from caf_core.errors import ConfigurationError
from caf_service.access import Accounts, Role
from caf_service.config import ServiceConfig
from caf_service.filing import private_folder
from caf_service.store.thread import StoreThread


def initialise(config: ServiceConfig, name: str = "admin") -> str:
    """Make the folders, the database, and the first administrator.

    Returns:
        The administrator's token; it cannot be read again later.
    Raises:
        ConfigurationError: If there is an administrator already.
    """
    with open_accounts(config) as accounts:
        if admins := [one.name for one in accounts.users() if one.role == Role.ADMIN and one.active]:
            raise ConfigurationError(
                f"there is an administrator already, {admins[0]}; make another token for that one."
            )
        return accounts.ensure(name, Role.ADMIN)


@contextmanager
def open_accounts(config: ServiceConfig) -> Iterator[Accounts]:
    """The users and tokens, beside a service that may go on; it sees changes within seconds."""
    private_folder(config.data)
    thread = StoreThread(config.data, config.database)
    try:
        yield Accounts(thread)
    finally:
        thread.close()
