"""Local databases of basf2: read as they are, and written."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.cli.app import execute as command_line
from caf_core.conditions.basf2 import export_basf2
from caf_core.conditions.chain import Chain
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Entry, Payload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.iov import ExpRun, IoV

LINES = """# made by hand
dbstore/BeamSpot 4f1a2b 5,0,5,12   # the first fill

dbstore/BeamSpot\t97 5,10,-1,-1\t
   dbstore/CDCT0s   0a1b2c3d 0,0,-1,-1
dbstore/trigger_cut&skim&accept 123456 5,0,5,-1
"""
FILES = {"BeamSpot_rev_4f1a2b": b"root A", "BeamSpot_rev_97": b"root B", "CDCT0s_rev_0a1b2c3d": b"root C"}


def root(*items):
    """Payloads (name, content, interval) as ``store`` takes them."""
    return [(Payload(name, content, IoV(*iov)), Provenance()) for name, content, *iov in items]


@pytest.fixture
def theirs(tmp_path) -> LocalDatabase:
    """A database as basf2 leaves it, one payload in a folder ``dbstore``."""
    folder = tmp_path / "localdb"
    (folder / "dbstore").mkdir(parents=True)
    (folder / "database.txt").write_text(LINES)
    for name, content in FILES.items():
        (folder / f"dbstore_{name}.root").write_bytes(content)
    (folder / "dbstore" / "dbstore_trigger_cut&skim&accept_rev_123456.root").write_bytes(b"root D")
    return LocalDatabase(folder)


def test_what_basf2_wrote_is_read(theirs) -> None:
    chain = Chain([theirs])
    found = {run: chain.get("BeamSpot", ExpRun(5, run), None) for run in (0, 9, 10, 12, 13)}
    assert found == {0: b"root A", 9: b"root A", 10: b"root B", 12: b"root B", 13: b"root B"}
    assert chain.get("BeamSpot", ExpRun(99, 1)) == b"root B"
    assert chain.get("trigger_cut&skim&accept", ExpRun(5, 1)) == b"root D"
    assert chain.get("BeamSpot", ExpRun(4, 0), None) is None
    entry = theirs.find("CDCT0s", ExpRun(3, 3))
    assert entry == Entry("CDCT0s", "0a1b2c3d", IoV(0, 0, -1, -1))
    assert theirs.path_of(entry).name == "dbstore_CDCT0s_rev_0a1b2c3d.root"
    assert [problem.kind for problem in theirs.validate()] == ["overlap"]


def test_revisions_count_within_one_database(theirs, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "database.txt").write_text("dbstore/BeamSpot 97 5,0,5,3\n")
    (other / "dbstore_BeamSpot_rev_97.root").write_bytes(b"root other")
    chain = Chain([LocalDatabase(other), theirs])
    assert [chain.get("BeamSpot", ExpRun(5, run)) for run in (1, 11)] == [b"root other", b"root B"]


def test_it_is_never_written_but_taken_over(theirs, tmp_path) -> None:
    before = (theirs.path / "database.txt").read_text()
    for write in (theirs.store, theirs.write):
        with pytest.raises(PayloadError, match=r"a database of basf2, which caf only reads"):
            write(root(("x", 1, 1, 1, 1, 1)))
    assert (theirs.path / "database.txt").read_text() == before
    (theirs.path / "database.txt").write_text(before.replace("trigger_cut&skim&accept", "trigger"))
    (theirs.path / "dbstore" / "dbstore_trigger_rev_123456.root").write_bytes(b"root D")
    own = LocalDatabase(tmp_path / "own")
    own.merge(theirs)
    assert own.load(own.find("BeamSpot", ExpRun(5, 11))) == b"root B"
    assert [problem.kind for problem in own.validate()] == ["overlap"]


@pytest.mark.parametrize(
    "line",
    ["dbstore/X 1 5,3,5,1", "dbstore/X 1", "other/X 1 5,0,5,1", "X 1 5,0,5,1", "dbstore/X 1 5,0,5,1 x"],
)
def test_a_corrupt_line_is_named(theirs, line) -> None:
    (theirs.path / "database.txt").write_text(f"{line}\n")
    with pytest.raises(PayloadError, match=r"database\.txt, line 1: .* Correct or remove the line"):
        theirs.entries()


def test_a_missing_file_is_named(theirs) -> None:
    theirs.path_of(theirs.find("CDCT0s", ExpRun(1, 1))).unlink()
    with pytest.raises(PayloadError, match=r"dbstore_CDCT0s_rev_0a1b2c3d\.\* is missing"):
        theirs.load(theirs.find("CDCT0s", ExpRun(1, 1)))


RUNS = st.tuples(st.integers(0, 2), st.integers(0, 5))
ITEMS = st.lists(
    st.tuples(st.sampled_from("ab"), st.binary(max_size=2), RUNS, RUNS).map(
        lambda item: (item[0], b"root" + item[1], *min(item[2:]), *max(item[2:]))
    ),
    max_size=5,
)


@settings(deadline=None, max_examples=30)
@given(ITEMS, ITEMS)
def test_what_is_written_gives_the_same_look_ups(tmp_path_factory, near, far) -> None:
    folder = tmp_path_factory.mktemp("export")
    databases = [LocalDatabase(folder / name) for name in ("near", "far")]
    for database, items in zip(databases, (near, far), strict=True):
        database.store(root(*items))
    written = LocalDatabase(export_basf2(databases, folder / "localdb").parent)
    here, there = Chain(databases), Chain([written])
    for name in "ab":
        for run in (ExpRun(exp, number) for exp in range(3) for number in range(6)):
            assert there.get(name, run, None) == here.get(name, run, None)


def test_it_is_written_as_basf2_writes_it(tmp_path) -> None:
    own = LocalDatabase(tmp_path / "own")
    own.store(root(("BeamSpot", b"root A", 5, 0, 5, -1), ("note", "text", 5, 0, 5, -1)))
    with pytest.raises(PayloadError, match=r"'note' for 5,0,5,-1 is no ROOT file"):
        own.export_basf2(tmp_path / "localdb")
    assert not (tmp_path / "localdb").exists()
    with pytest.raises(PayloadError, match="there is no payload 'beamspot'"):
        own.export_basf2(tmp_path / "localdb", ["beamspot"])
    revision = hashlib.md5(b"root A").hexdigest()[:6]
    path = own.export_basf2(tmp_path / "localdb", ["BeamSpot"])
    assert path.read_text() == f"dbstore/BeamSpot {revision} 5,0,5,-1\n"
    assert (path.parent / f"dbstore_BeamSpot_rev_{revision}.root").read_bytes() == b"root A"
    with pytest.raises(PayloadError, match="holds a database of caf"):
        own.export_basf2(own.path, ["BeamSpot"])


def test_the_command_line_writes_it_also_from_the_list_of_a_task(tmp_path, capsys) -> None:
    own = LocalDatabase(tmp_path / "own")
    own.store(root(("BeamSpot", b"root A", 5, 0, 5, -1)))
    conditions = tmp_path / "conditions.json"
    conditions.write_text(json.dumps({"databases": [own.url]}))
    for source, folder in ((own.path, "one"), (conditions, "two")):
        assert command_line(["payloads", str(source), "--export-basf2", str(tmp_path / folder)]) == 0
        assert (tmp_path / folder / "database.txt").read_text().startswith("dbstore/BeamSpot ")
    assert "written: " in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match=r"is no conditions\.json"):
        export_basf2(Path(tmp_path / "nowhere"), tmp_path / "three")
