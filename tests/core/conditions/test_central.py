"""The central database: global tags, their states, and who may use the file at once."""

import multiprocessing
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from caf_core.conditions.central import CentralDatabase
from caf_core.conditions.central_store import CentralStore
from caf_core.conditions.central_tags import GlobalTag, TagState
from caf_core.conditions.chain import Chain
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.opening import open_database
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import CafError, ConfigurationError, PayloadError
from caf_core.iov import ExpRun, IoV

ORIGIN = Provenance(calibration="muons", iteration=1, inputs={"files": 3})


def scale(value: Any, *iov: int, name: str = "scale") -> tuple[Payload, Provenance]:
    return Payload(name, value, IoV(*iov)), ORIGIN


@pytest.fixture
def store(tmp_path: Path) -> CentralStore:
    times = iter(range(100, 1000))
    made = CentralStore.create(tmp_path / "central.sqlite", clock=lambda: float(next(times)))
    made.create_tag("data", "the first")
    return made


def view(store: CentralStore, tag: str = "data") -> CentralDatabase:
    return CentralDatabase(store.path, tag)


def test_what_is_uploaded_is_found_for_its_runs(store: CentralStore) -> None:
    entries = store.upload("data", [scale(1.0, 1, 0, -1, -1), scale({"t0": [1.5]}, 1, 5, 1, 9)])
    database = view(store)
    assert database.entries() == entries == store.entries("data")
    assert database.find("scale", ExpRun(1, 4)) == entries[0] == store.find("data", "scale", ExpRun(9, 9))
    found = database.find("scale", ExpRun(1, 5))
    assert found is not None
    assert database.load(found) == {"t0": [1.5]}
    assert database.provenance(found) == ORIGIN
    assert database.find("scale", ExpRun(0, 4)) is None


def test_uploading_the_same_again_changes_nothing(store: CentralStore) -> None:
    payloads = [scale(1.0, 1, 0, 1, -1), scale(2.0, 1, 5, 1, 6), scale(1.0, 1, 0, 1, 3, name="other")]
    store.upload("data", payloads)
    before = store.path.read_bytes()
    for repeated in (payloads, payloads[1:], payloads[2:]):
        store.upload("data", repeated)
    assert store.path.read_bytes() == before
    store.upload("data", payloads[:1])
    assert store.find("data", "scale", ExpRun(1, 5)) == store.entries("data")[-1]
    assert len(store.entries("data")) == 3


def test_many_payloads_fit_in_one_upload(store: CentralStore) -> None:
    entries = store.upload("data", [scale(run % 7, 1, run, 1, run) for run in range(1500)])
    assert store.entries("data") == entries
    assert store.tag("data").entries == 1500


def test_an_upload_that_fails_leaves_nothing(store: CentralStore) -> None:
    store.upload("data", [scale(1.0, 1, 0, 1, 9)])
    before = store.path.read_bytes()
    with pytest.raises(PayloadError, match="'scale'"):
        store.upload("data", [scale(2.0, 1, 0, 1, 9), scale({1}, 1, 0, 1, 9)])
    with pytest.raises(PayloadError, match=r"'x'.*data"):
        store.upload("x", [scale(2.0, 1, 0, 1, 9)])
    assert store.path.read_bytes() == before


def test_a_tag_lives_from_open_to_invalid(store: CentralStore) -> None:
    with pytest.raises(ConfigurationError, match="'data' is empty; upload"):
        store.publish("data")
    (entry,) = store.upload("data", [scale(1.0, 1, 0, 1, 9)])
    assert store.publish("data") == GlobalTag(
        "data", TagState.PUBLISHED, "the first", 1, 100.0, store.tag("data").changed
    )
    with pytest.raises(ConfigurationError, match=r"'data' is published, .*; clone it"):
        store.upload("data", [scale(2.0, 1, 0, 1, 9)])
    with pytest.raises(ConfigurationError, match="is published and cannot become published, only invalid"):
        store.publish("data")
    assert view(store).entries() == (entry,)
    assert store.invalidate("data").state is TagState.INVALID
    with pytest.raises(PayloadError, match=r"'data' of .* was declared invalid; use another"):
        view(store)
    with pytest.raises(ConfigurationError, match="is invalid and cannot become published, only nothing else"):
        store.publish("data")
    assert store.entries("data") == (entry,)


def test_a_published_tag_is_guarded_against_other_programs(store: CentralStore) -> None:
    store.upload("data", [scale(1.0, 1, 0, 1, 9)])
    store.publish("data")
    connection = sqlite3.connect(store.path)
    try:
        for statement in (
            "DELETE FROM entry",
            "UPDATE entry SET run_high = 1000",
            "INSERT INTO entry SELECT 99, tag_id, payload_id, 2, 0, 2, 0, '' FROM entry",
            "UPDATE payload SET data = ''",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="change"):
                connection.execute(statement)
    finally:
        connection.close()


def test_a_clone_has_the_content_and_goes_its_own_way(store: CentralStore) -> None:
    store.upload("data", [scale(1.0, 1, 0, 1, 9), scale(2.0, 1, 5, 1, 9)])
    store.publish("data")
    clone = store.clone("data", "data_v2")
    assert (clone.state, clone.entries, clone.description) == (TagState.OPEN, 2, "clone of data")
    assert store.entries("data_v2") == store.entries("data")
    store.upload("data_v2", [scale(3.0, 1, 0, 1, 9)])
    assert len(store.entries("data")) == 2
    assert view(store, "data").fingerprint() != view(store, "data_v2").fingerprint()
    assert view(store, "data_v2").provenance(store.entries("data")[0]) == ORIGIN
    assert [tag.name for tag in store.tags()] == ["data", "data_v2"]


@pytest.mark.parametrize("name", ["", "a b", "a&tag=b", "ä", "../x"])
def test_tags_have_plain_names(store: CentralStore, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a global tag"):
        store.create_tag(name)
    with pytest.raises(ConfigurationError, match="is a global tag 'data' already"):
        store.create_tag("data")
    with pytest.raises(PayloadError, match=r"no global tag .*; there are: data"):
        store.tag(name)


def test_content_goes_to_a_local_database_and_back(store: CentralStore, tmp_path: Path) -> None:
    store.upload("data", [scale(1.0, 1, 0, -1, -1), scale(b"raw", 1, 5, 1, 9)])
    local = LocalDatabase(tmp_path / "local")
    store.export("data", local)
    assert not local.diff(view(store))
    assert local.validate()[0].kind == "overlap"
    assert len(local.validate()) == 1
    assert local.provenance(local.entries()[1]) == ORIGIN
    store.create_tag("again")
    store.import_database("again", local)
    store.clone("data", "clone")
    store.import_database("clone", view(store))
    assert store.entries("again") == store.entries("clone") == store.entries("data")
    assert list(store.items("again")) == list(store.items("data"))
    merged = LocalDatabase(tmp_path / "merged")
    merged.merge(view(store, "again"))
    assert list(merged.path.iterdir())
    assert merged.fingerprint() == local.fingerprint() == view(store).fingerprint()


def test_it_is_a_link_of_a_chain(store: CentralStore, tmp_path: Path) -> None:
    store.upload("data", [scale(1.0, 1, 0, -1, -1)])
    local = LocalDatabase(tmp_path / "local")
    local.store([scale(2.0, 1, 5, 1, 9)])
    chain = Chain([local, view(store)])
    for one in (chain, pickle.loads(pickle.dumps(chain)), Chain.from_description(chain.describe())):
        assert [one.get("scale", ExpRun(1, run)) for run in (4, 5)] == [1.0, 2.0]
    with pytest.raises(PayloadError, match=r"sqlite:////.*\?tag=data has no 'x'"):
        chain.get("x", ExpRun(1, 1))
    store.upload("data", [scale(3.0, 1, 0, 1, 4)])
    chain.refresh()
    assert chain.get("scale", ExpRun(1, 4)) == 3.0


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = CentralStore.create("my 50%? #ä.db")
    store.create_tag("data")
    url = view(store).url
    assert url == f"sqlite:///{tmp_path}/my%2050%25%3F%20%23%C3%A4.db?tag=data"
    assert url.startswith("sqlite:////")
    for again in (url, "sqlite:///my%2050%25%3F%20%23%C3%A4.db?tag=data"):
        assert open_database(again).url == url
    assert CentralDatabase(url.partition("?")[0], "data").url == url
    with pytest.raises(ConfigurationError, match=r"without a global tag; add .tag=NAME, one of: data"):
        open_database(url.partition("?")[0])
    with pytest.raises(ConfigurationError, match="names the global tag 'data', not 'other'"):
        CentralDatabase(url, "other")
    with pytest.raises(PayloadError, match=r"no central database .*/x.db; correct the path"):
        open_database("sqlite:///x.db?tag=data")
    for wrong in (
        "sqlite://x.db?tag=a",
        "sqlite:x.db",
        "sqlite:///",
        "sqlite:///x?tab=a",
        "sqlite:///x?tag=a&tag=b",
    ):
        with pytest.raises(ConfigurationError, match="is not the URL of a global tag; write sqlite"):
            open_database(wrong)


def test_files_that_are_something_else_are_refused(tmp_path: Path, store: CentralStore) -> None:
    text, foreign, empty = tmp_path / "text", tmp_path / "foreign", tmp_path / "empty"
    text.write_text("no database\n" * 100)
    empty.touch()
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    for path, words in (
        (text, "not a database; correct"),
        (foreign, "is no central"),
        (empty, "is no central"),
    ):
        with pytest.raises(PayloadError, match=words):
            CentralStore(path)
    with pytest.raises(PayloadError, match="is no central"):
        CentralStore.create(foreign)
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for opening in (CentralStore, CentralStore.create, lambda path: CentralDatabase(path, "data")):
        with pytest.raises(
            PayloadError, match=r"has version 99 of the tables, .* version 1; install a newer caf-core"
        ):
            opening(store.path)
    with pytest.raises(PayloadError, match=r"unable to open.*check that its directory exists"):
        CentralStore.create(tmp_path / "none" / "x.db")


def test_creating_it_again_keeps_what_is_there(store: CentralStore) -> None:
    assert [tag.name for tag in CentralStore.create(store.path).tags()] == ["data"]


def test_a_shifter_reads_what_only_others_may_write(store: CentralStore) -> None:
    (entry,) = store.upload("data", [scale(1.0, 1, 0, 1, 9)])
    store.path.chmod(0o444)
    store.path.parent.chmod(0o555)
    try:
        assert view(store).load(entry) == 1.0
        assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]
        with pytest.raises(PayloadError, match="open for reading only; open it for writing"):
            CentralStore(store.path, read_only=True).create_tag("mine")
        if os.geteuid():
            with pytest.raises(PayloadError, match=r"cannot be used: .*readonly.*open it for reading only"):
                CentralStore(store.path).create_tag("mine")
    finally:
        store.path.parent.chmod(0o755)


def test_the_file_has_permissions_by_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        path = CentralStore.create(tmp_path / "x.db").path
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def upload_from(path: Path, process: int) -> None:
    store = CentralStore.create(path)
    with suppress(ConfigurationError):  # another process was first
        store.create_tag("data")
    for run in range(15):
        store.upload("data", [scale(process, 1, run, 1, run, name=f"p{process}"), scale(run, 2, run, 2, run)])


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "central.sqlite"
    processes = [context.Process(target=upload_from, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    entries = CentralStore(path).entries("data")
    assert len(entries) == len(set(entries)) == 3 * 15 + 15


def test_a_crash_in_the_middle_of_an_upload_leaves_the_old_content(store: CentralStore) -> None:
    before = store.upload("data", [scale(1.0, 1, 0, 1, 9)])
    code = """
import os, signal, sys
from caf_core.conditions import central_content
from caf_core.conditions.central_store import CentralStore
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.iov import IoV
replace = central_content.replace_entries
def dies(*args):
    replace(*args)
    os.kill(os.getpid(), signal.SIGKILL)
central_content.replace_entries = dies
payload = Payload("scale", "x" * 10_000_000, IoV(1, 0, 1, 9))
CentralStore(sys.argv[1]).upload("data", [(payload, Provenance())])
"""
    done = subprocess.run([sys.executable, "-c", code, str(store.path)], check=False)
    assert done.returncode == -9
    assert store.entries("data") == before
    assert store.upload("data", [scale(2.0, 1, 0, 1, 9)]) == store.entries("data")[1:]


def test_every_error_is_one_of_ours(store: CentralStore) -> None:
    store.path.write_bytes(store.path.read_bytes()[:5000])
    with pytest.raises(CafError, match=r"cannot be used: .*malformed.*restore it from a copy"):
        store.tags()
