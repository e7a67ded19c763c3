"""A database belongs to one folder, and a folder to one service."""

import shutil
from pathlib import Path

import pytest

from caf_core.clock import steady
from caf_core.errors import ConfigurationError
from caf_service.config import ServiceConfig
from caf_service.home import IDENTITY
from caf_service.service import Service
from service.bench import until
from service.databases import POSTGRESQL
from service.test_service_database import cut_off
from service.test_service_restart import Killable

ON_POSTGRESQL = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)


def executed(data: Path, database: str) -> None:
    Service(ServiceConfig(data=data, database=database)).close()


@ON_POSTGRESQL
def test_a_database_that_is_another_folders_is_refused(tmp_path: Path, database: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    executed(first, database)
    with pytest.raises(ConfigurationError) as refused:
        executed(second, database)
    told = str(refused.value)
    assert f"belongs to the service in {first} on " in told
    assert f"give the service in {second} a database or schema of its own" in told
    executed(first, database)
    # What was refused holds nothing: its folder is good for another database.
    executed(second, "")


@ON_POSTGRESQL
def test_a_folder_that_was_moved_keeps_its_database(tmp_path: Path, database: str) -> None:
    first, moved = tmp_path / "first", tmp_path / "moved"
    executed(first, database)
    shutil.move(first, moved)
    executed(moved, database)
    with pytest.raises(ConfigurationError, match=f"belongs to the service in {moved} on "):
        executed(first, database)


@ON_POSTGRESQL
def test_a_service_that_was_killed_begins_again_at_once(tmp_path: Path, database: str) -> None:
    service = Killable(tmp_path / "service", database)
    try:
        for _ in range(2):
            service.start()
            ada = service.patient(service.ada)
            assert ada.get("/me")["name"] == "ada"
            service.kill()
        # The folder is free as soon as the process is gone, whatever PostgreSQL knows of that.
        executed(tmp_path / "service", database)
    finally:
        service.close()


def test_a_folder_has_one_service(tmp_path: Path, database: str) -> None:
    config = ServiceConfig(data=tmp_path / "service", database=database)
    service = Service(config)
    try:
        with pytest.raises(ConfigurationError, match="another service uses the data folder"):
            Service(config)
    finally:
        service.close()
    Service(config).close()
    assert (tmp_path / "service" / IDENTITY).exists() == bool(database)


@ON_POSTGRESQL
def test_what_is_old_is_cleaned_also_after_the_database_was_away(tmp_path: Path, database: str) -> None:
    from caf_service.keeping import Keeper

    service = Service(ServiceConfig(data=tmp_path / "service", database=database))
    looked: list[bool] = []

    def clock() -> float:
        looked.append(True)
        return 0.0

    keeper = Keeper(
        service.thread,
        service.conductor,
        service._updates,
        service.areas,
        service.accounts,
        1.0,
        clock,
        steady,
        interval=0.01,
    )
    try:
        keeper.start()
        for _ in range(3):
            assert cut_off(database) <= 1
            before = len(looked)
            until(lambda before=before: len(looked) > before + 2)
    finally:
        keeper.close()
        service.close()
