"""The checkpoint file: opening, closing, reading while it is written, and all that can be wrong with it."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import pytest

from caf_core.calibration.plans import Commit
from caf_core.calibration.states import State
from caf_core.control.store import FILE_NAME, opening
from caf_core.control.store.arguments import keep_arguments, kept_arguments
from caf_core.control.store.migrations import SCHEMA_VERSION
from caf_core.control.store.opening import filesystem_type, open_for_reading, told_errors
from caf_core.control.store.store import CheckpointStore, IterationEnd, StoredExecution, StoredJob
from caf_core.errors import CheckpointError
from caf_core.iov import ExpRun, IoV

RUN = ExpRun(1, 1)


@pytest.fixture
def store(tmp_path):
    found = CheckpointStore(tmp_path, clock=iter(range(1000)).__next__)
    yield found
    found.close()


def journal(folder: Path) -> str:
    connection = sqlite3.connect(folder / FILE_NAME)
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    return str(mode)


def test_it_is_written_ahead_on_a_local_filesystem_and_plain_after_closing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(opening, "filesystem_type", lambda path: "ext4")
    store = CheckpointStore(tmp_path)
    assert journal(tmp_path) == "wal"
    store.close()
    assert journal(tmp_path) == "delete"
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_it_is_never_written_ahead_where_memory_is_not_shared(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(opening, "filesystem_type", lambda path: "nfs4")
    store = CheckpointStore(tmp_path)
    assert journal(tmp_path) == "delete"
    store.close()


def test_the_kernel_names_the_filesystem() -> None:
    assert filesystem_type(Path("/proc/self")) == "proc"
    assert filesystem_type(Path.cwd())


def test_readers_read_while_the_controller_writes(tmp_path, store) -> None:
    store.enter("a", 0, 5, [])
    database, models = open_for_reading(tmp_path)
    with store.batch():
        store.models.Calibration.update(state="completed").execute()
        assert models.Calibration.get().state == "init"
    assert models.Calibration.get().state == "completed"
    store.move("a", 1, State.COMPLETED, State.INIT)
    assert models.Calibration.get().iteration == 1
    database.close()


def test_closing_while_somebody_reads_loses_nothing(tmp_path) -> None:
    store = CheckpointStore(tmp_path)
    database, models = open_for_reading(tmp_path)
    rows = models.Setting.select().iterator()
    next(iter(rows))
    store.enter("a", 0, 5, [])
    store.close()
    database.close()
    again = CheckpointStore(tmp_path)
    assert again.calibration("a") is not None
    again.close()


def test_two_stores_at_once_do_not_mix(tmp_path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    one, other = CheckpointStore(tmp_path / "x"), CheckpointStore(tmp_path / "y")
    one.enter("a", 0, 5, [])
    assert other.calibration("a") is None
    one.close()
    other.close()


SHIFTER = """
import os, sys
from pathlib import Path
from caf_core.control.store.opening import open_for_reading
os.setgid(65534); os.setuid(65534)
database, models = open_for_reading(Path(sys.argv[1]))
print([row.name for row in models.Calibration.select()])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("when", ["running", "killed", "closed"])
def test_a_shifter_without_write_permission_can_read(tmp_path_factory, when) -> None:
    folder = Path(mkdtemp(prefix="caf-shifter-", dir="/tmp"))  # every folder above has to be open to others
    folder.chmod(0o755)
    try:
        code = (
            "import sys\nfrom pathlib import Path\n"
            "from caf_core.control.store.store import CheckpointStore\n"
            "store = CheckpointStore(Path(sys.argv[1]))\nstore.enter('a', 0, 5, [])\n"
            "print('ready', flush=True)\nsys.stdin.readline()\nstore.close()\n"
        )
        writer = subprocess.Popen(
            [sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline() == "ready\n"
        if when == "killed":
            writer.kill()
        if when != "running":
            writer.communicate("\n")
        done = subprocess.run(
            [sys.executable, "-c", SHIFTER, folder], capture_output=True, text=True, timeout=60, check=False
        )
        writer.communicate("\n") if when == "running" else None
        assert (done.stdout, done.stderr) == ("['a']\n", "")
    finally:
        shutil.rmtree(folder)


def damaged(tmp_path, change) -> Path:
    """A checkpoint with something in it, changed."""
    store = CheckpointStore(tmp_path)
    for number in range(50):
        store.enter(f"calibration {number} {'x' * 200}", number, 5, [])
    store.close()
    path = tmp_path / FILE_NAME
    change(path)
    return path


def overwrite_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:20000] = b"\xa5" * (20000 - 8192)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"this is no database" * 100),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        overwrite_page,
    ],
    ids=["other content", "cut short", "a page overwritten"],
)
def test_a_damaged_checkpoint_is_told_at_once_with_the_remedy(tmp_path, change) -> None:
    path = damaged(tmp_path, change)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"caf_state\.db is damaged .*restore it .*or move it away"):
        CheckpointStore(tmp_path)
    assert path.read_bytes() == before


def test_a_reader_tells_of_damage_too(tmp_path) -> None:
    damaged(tmp_path, lambda path: path.write_bytes(b"this is no database" * 100))
    with pytest.raises(CheckpointError, match=r"caf_state\.db is damaged"):
        open_for_reading(tmp_path)


def set_schema(path: Path, value: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE setting SET value = ? WHERE key = 'schema'", (value,))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("opened", [CheckpointStore, open_for_reading])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (str(SCHEMA_VERSION + 1), "newer caf .*upgrade caf-core, or choose another output directory"),
        ("0", "schema 0, which no caf has written"),
        ("one", "is damaged"),
    ],
)
def test_another_schema_is_refused(tmp_path, opened, value, words) -> None:
    damaged(tmp_path, lambda path: set_schema(path, value))
    with pytest.raises(CheckpointError, match=words):
        opened(tmp_path)


def test_a_foreign_database_is_left_alone(tmp_path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE events (x)")
    connection.commit()
    connection.close()
    with pytest.raises(CheckpointError, match="no checkpoint of caf; move it away"):
        CheckpointStore(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint of caf"):
        open_for_reading(tmp_path)


def test_without_a_checkpoint_there_is_nothing_to_read(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint in .*name the output directory"):
        open_for_reading(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_checkpoint(tmp_path) -> None:
    (tmp_path / FILE_NAME).touch()
    CheckpointStore(tmp_path).close()
    open_for_reading(tmp_path)[0].close()


def test_a_directory_whose_name_is_no_text_is_refused(tmp_path) -> None:
    folder = tmp_path / "out-\udcff"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="no valid UTF-8; choose another one"):
        CheckpointStore(folder)


def test_hostile_directory_names_do_no_harm(tmp_path) -> None:
    folder = tmp_path / "a?b#c%41 'd' ü"
    folder.mkdir()
    store = CheckpointStore(folder)
    store.enter("a", 0, 5, [])
    database, models = open_for_reading(folder)
    assert models.Calibration.get().name == "a"
    database.close()
    store.close()
    assert stat.S_ISREG((folder / FILE_NAME).stat().st_mode)


def test_a_move_writes_state_checkpoint_and_history(store) -> None:
    store.enter("a", 0, 5, ["b"])
    store.move("a", 0, State.INIT, State.RUNNING_COLLECTOR)
    assert (store.calibration("a").state, store.calibration("a").checkpoint) == ("running_collector", "init")
    store.move("a", 0, State.RUNNING_COLLECTOR, State.COLLECTOR_COMPLETED)
    store.move("a", 0, State.COLLECTOR_COMPLETED, State.RUNNING_ALGORITHMS, "because")
    known = store.calibration("a")
    assert (known.state, known.checkpoint, known.reason) == (
        "running_algorithms",
        "collector_completed",
        "because",
    )
    rows = [(row.old, row.new, row.reason) for row in store.models.Transition.select()]
    assert rows[-1] == ("collector_completed", "running_algorithms", "because")
    assert len(rows) == 3


def test_entering_again_keeps_the_state_and_takes_the_new_settings(store) -> None:
    store.enter("a", 0, 5, [])
    store.move("a", 2, State.INIT, State.RUNNING_COLLECTOR)
    store.enter("a", 3, 7, ["b"])
    row = store.models.Calibration.get()
    assert (row.state, row.iteration, row.position, row.max_iterations) == ("running_collector", 2, 3, 7)


def execution(ask: str, iteration: int, result: str = "ok", **answer) -> StoredExecution:
    return StoredExecution(
        ask,
        "fit",
        "fp",
        (RUN,),
        "1,1,1,1",
        result,
        "words",
        {"result": result, **answer},
        Path("/x"),
        iteration,
    )


def test_executions_come_back_and_failures_can_be_forgotten(store) -> None:
    store.record_executions("a", [execution("0/0", 0, metrics={"m": [1.0, 2.0]})])
    store.record_executions("a", [execution("0/1", 0, "failure")])
    store.record_executions("a", [execution("0/0", 1, "iterate")])
    assert store.executions("a", 0) == {
        "0/0": execution("0/0", 0, metrics={"m": [1.0, 2.0]}),
        "0/1": execution("0/1", 0, "failure"),
    }
    store.forget_failures("a", 0)
    assert list(store.executions("a", 0)) == ["0/0"]
    assert list(store.executions("a", 1)) == ["0/0"]


def test_what_an_iteration_committed_comes_back(store) -> None:
    commit = Commit("0/0", (RUN, ExpRun(1, 2)), IoV(1, 1, -1, -1), "enough data", (ExpRun(1, 3),))
    commits = {0: (commit,), 1: ()}
    for missing in ((), ("default: task 3",)):
        store.end_iteration(
            "a", 2, IterationEnd("ok", "", missing, commits, [("fit", "x", "abc", "1,1,1,2")])
        )
    assert store.commits("a", 2) == commits
    assert store.commits("a", 1) == {}
    assert store.models.Payload.select().count() == 1


def test_dropping_forgets_from_an_iteration_on(store) -> None:
    for number in range(3):
        for kind in ("collector", "execution"):
            key = f"a/{number}/{kind}"
            store.begin_job(StoredJob(key, "a", number, kind, "n", Path("/j"), "fp", None), "local")
        store.record_executions("a", [execution("0/0", number)])
        store.end_iteration("a", number, IterationEnd("ok", "", (), {}, ()))
    store.drop("a", collectors_from=2, executions_from=1)
    assert [len(store.jobs("a", number, "collector")) for number in range(3)] == [1, 1, 0]
    assert [len(store.jobs("a", number, "execution")) for number in range(3)] == [1, 0, 0]
    assert [len(store.executions("a", number)) for number in range(3)] == [1, 0, 0]
    assert store.models.Iteration.select().count() == 1


def test_processes_are_written_down(store) -> None:
    number = store.begin_process("host", 17, "1.0")
    store.end_process(number, "completed")
    row = store.models.Process.get()
    assert (row.host, row.pid, row.how, row.ended > row.started) == ("host", 17, "completed", True)


def test_what_was_chosen_for_a_backend_is_kept_as_far_as_it_is_plain(tmp_path):
    store = CheckpointStore(tmp_path)
    chosen = {"partition": "a", "lines": ("x", "y"), "odd": object(), "nan": float("nan")}
    keep_arguments(store, "slurm", chosen)
    store.close()
    store = CheckpointStore(tmp_path)
    assert kept_arguments(store, "slurm") == {"partition": "a", "lines": ["x", "y"]}
    assert kept_arguments(store, "slurm-2") == {}
    keep_arguments(store, "slurm", {})
    assert kept_arguments(store, "slurm") == {}
    store.close()


def test_a_file_that_somebody_else_has_locked_is_not_called_damaged(tmp_path) -> None:
    CheckpointStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(CheckpointError, match=r"is locked by another process .*wait for it"),
            told_errors(tmp_path),
            closing(sqlite3.connect(tmp_path / FILE_NAME, timeout=0)) as ours,
        ):
            ours.execute("UPDATE setting SET value = value")


def test_a_transaction_of_the_store_tells_the_cause_and_its_remedy(tmp_path) -> None:
    store = CheckpointStore(tmp_path)
    store.database.execute_sql("PRAGMA busy_timeout=0")
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CheckpointError, match=r"is locked by another process .*wait for it"):
            store.note("a", "b")
    pages = store.database.execute_sql("PRAGMA page_count").fetchone()[0]
    store.database.execute_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(
        CheckpointError, match=r"cannot be written \(database or disk is full\); free some space"
    ):
        store.note("a", "b" * 100_000)
    store.close()


def test_a_disk_that_is_full_is_told_though_taking_back_fails_too(tmp_path) -> None:
    """SQLite ends the transaction by itself then, and the error of the rollback would hide the first one."""
    store = CheckpointStore(tmp_path)
    pages = store.database.execute_sql("PRAGMA page_count").fetchone()[0]
    store.database.execute_sql(f"PRAGMA max_page_count={pages}")
    with (
        pytest.raises(
            CheckpointError, match=r"cannot be written \(database or disk is full\); free some space"
        ),
        told_errors(tmp_path),
        store.database.atomic(),
    ):
        store.models.Setting.create(key="large", value="x" * 1_000_000)
    store.close()
