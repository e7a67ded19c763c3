"""``~`` in front of a path that a user gives is his home, wherever he gives it."""

from pathlib import Path

import pytest

from caf_core import CAF, Job, LocalDatabase
from caf_core.cli.app import execute
from caf_core.conditions.central import CentralDatabase
from caf_core.conditions.central_store import CentralStore
from caf_core.conditions.opening import absolute_url
from caf_core.home import given_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_names_of_folders_and_databases(home: Path) -> None:
    assert CAF("~/out").output_dir == home / "out"
    assert Job("job", cmd=["true"], working_dir="~/work").working_dir == home / "work"
    assert LocalDatabase("~/db").path == home / "db"
    assert absolute_url("~/db") == str(home / "db")
    store = CentralStore.create("~/central.sqlite")
    assert store.path == home / "central.sqlite"
    store.create_tag("main")
    assert CentralDatabase("~/central.sqlite", "main").path == store.path
    assert not list(Path.cwd().iterdir())


def test_options_that_the_shell_does_not_expand(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execute(["status", "--path=~/out"])
    assert f"there is no checkpoint in {home}/out" in capsys.readouterr().err


def test_a_user_who_does_not_exist() -> None:
    assert given_path("~nobody.of.this.name/x") == Path("~nobody.of.this.name/x")
