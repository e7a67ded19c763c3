"""Output directories that caf 0.1.0 made (see ``made_by_0_1_0/make.py``) are read and continued."""

import base64
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from caf_core.conditions.local import LocalDatabase
from caf_core.control.store.migrations import SCHEMA_VERSION
from caf_core.control.store.opening import open_for_reading, open_for_writing

DATA = Path(__file__).parent / "made_by_0_1_0"
CASES = sorted(path.stem for path in DATA.glob("*.json"))
TIME = 1_700_000_000
"""When the input files were changed last [s since the epoch]."""


def unpacked(case: str, place: Path) -> Path:
    """The output directory of a case, with what lay beside it."""
    content = json.loads((DATA / f"{case}.json").read_text())
    for name, data in content["files"].items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else base64.b64decode(data[0]))
    for path in place.glob("d_*.txt"):
        os.utime(path, (TIME, TIME))
    shutil.copy(DATA / "calibration.py", place)
    with closing(sqlite3.connect(place / "out" / "caf_state.db")) as database:
        database.executescript(content["checkpoint"])
    return place / "out"


def directories(database, models) -> list[str]:
    with closing(database):
        return [row.directory for table in (models.Job, models.Intent, models.Execution) for row in table]


@pytest.mark.parametrize("case", CASES)
def test_the_checkpoint_is_migrated_for_writers_and_for_readers(tmp_path, case) -> None:
    out = unpacked(case, tmp_path)
    before = (out / "caf_state.db").read_bytes()
    read = directories(*open_for_reading(out))
    assert (out / "caf_state.db").read_bytes() == before
    written = directories(*open_for_writing(out))
    assert read == written == directories(*open_for_reading(out))
    assert all((out / directory).is_dir() and not Path(directory).is_absolute() for directory in read)
    with closing(sqlite3.connect(out / "caf_state.db")) as database:
        (schema,) = database.execute("SELECT value FROM setting WHERE key = 'schema'").fetchone()
        assert int(schema) == SCHEMA_VERSION > 1


EXPECTED = {"collecting": [12.0], "finished": [12.0], "algorithms": [2.0, 4.0, 6.0]}


@pytest.mark.parametrize("case", EXPECTED)
def test_the_process_is_continued_elsewhere_with_the_right_payloads(tmp_path, caf, case) -> None:
    out = unpacked(case, tmp_path)
    if case == "algorithms":
        (tmp_path / "by-run").touch()
    done = caf("run", tmp_path / "calibration.py")
    assert done.code == 0, done.err
    database = LocalDatabase(out / "outputdb")
    assert [database.load(entry) for entry in database.entries()] == EXPECTED[case]
