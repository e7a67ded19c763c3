"""The database that is a directory: what it holds after each write, after a crash, and when it is damaged."""

import itertools
import json
import os
import pickle
import stat
import tempfile
import zipfile
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.conditions.codecs import BUILTIN_CODECS
from caf_core.conditions.database import items_of
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.opening import open_database
from caf_core.conditions.pack import PACK
from caf_core.conditions.payload import Entry, Payload, StoredPayload
from caf_core.conditions.provenance import Provenance, numbers_text, parse_numbers
from caf_core.conditions.validity import appended, effect
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.iov import ExpRun, IoV

ORIGIN = Provenance(calibration="muons", iteration=2)


def scale(value: Any, *iov: int, name: str = "scale") -> tuple[Payload, Provenance]:
    return Payload(name, value, IoV(*iov)), ORIGIN


def encoded(payloads: list[tuple[Payload, Provenance]]) -> list[StoredPayload]:
    with tempfile.TemporaryDirectory() as folder:
        database = LocalDatabase(folder)
        database.write(payloads)
        return list(items_of(database))


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.exists() else {}


@pytest.fixture
def database(tmp_path: Path) -> LocalDatabase:
    return LocalDatabase(tmp_path / "db")


def test_what_is_stored_is_found_for_its_runs(database: LocalDatabase) -> None:
    database.store([scale(1.0, 1, 0, 1, 9), scale(2.0, 1, 10, -1, -1)])

    def value(exp: int, run: int) -> Any:
        entry = database.find("scale", ExpRun(exp, run))
        return None if entry is None else database.load(entry)

    assert [value(0, 5), value(1, 0), value(1, 9), value(1, 10), value(7, 0)] == [None, 1.0, 1.0, 2.0, 2.0]
    assert database.find("other", ExpRun(1, 0)) is None


def test_payloads_need_no_origin(database: LocalDatabase) -> None:
    payloads = [Payload("scale", 1.0, IoV(1, 0, 1, 9)), Payload("offset", 2.0, IoV(1, 0, 1, 9))]
    entries = database.store(payloads)
    assert [database.load(entry) for entry in entries] == [1.0, 2.0]
    assert database.write(payloads[:1]) == entries[:1] == database.entries()
    assert database.provenance(entries[0]) == Provenance()
    assert Payload("scale", 1.0, "1,0,1,9") == Payload("scale", 1.0, (1, 0, 1, 9)) == payloads[0]


def test_the_lines_are_as_documented(database: LocalDatabase) -> None:
    (entry,) = database.store([scale(1.5, 1, 2, 1, -1)])
    assert (database.path / "database.txt").read_text() == f"scale {entry.revision} 1,2,1,-1\n"
    assert sorted(snapshot(database.path)) == [
        "database.txt",
        "provenance.jsonl",
        f"scale_rev_{entry.revision}.json",
    ]
    assert database.path_of(entry).read_text() == "1.5\n"


def test_a_database_that_does_not_exist_yet_is_empty(database: LocalDatabase) -> None:
    assert database.entries() == ()
    assert database.find("scale", ExpRun(1, 1)) is None
    assert not database.exists()
    assert database.write([]) == ()
    assert database.exists()
    assert database.entries() == ()


def test_the_last_line_wins(database: LocalDatabase) -> None:
    database.store([scale(1.0, 1, 0, -1, -1)])
    (second,) = database.store([scale(2.0, 1, 5, 1, 6)])
    assert database.find("scale", ExpRun(1, 5)) == second
    (again,) = database.store([scale(1.0, 1, 0, -1, -1)])
    assert database.find("scale", ExpRun(1, 5)) == again
    assert len(database.entries()) == 2


def test_storing_the_same_again_changes_nothing(database: LocalDatabase) -> None:
    payloads = [scale(1.0, 1, 0, 1, -1), scale(2.0, 1, 5, 1, 6), scale(3.0, 1, 0, 1, 3, name="other")]
    database.store(payloads)
    before, times = snapshot(database.path), {p: p.stat().st_mtime_ns for p in database.path.iterdir()}
    for repeated in (payloads, payloads[1:], payloads[2:]):
        database.store(repeated)
    assert snapshot(database.path) == before
    assert {p: p.stat().st_mtime_ns for p in database.path.iterdir()} == times


IOVS = st.builds(
    lambda low, length: IoV(1, low, 1, low + length) if length < 4 else IoV(1, low, 1, -1),
    st.integers(0, 5),
    st.integers(0, 4),
)
ENTRIES = st.lists(
    st.builds(lambda name, rev, iov: Entry(name, rev * 16, iov), *map(st.sampled_from, ("xy", "ab")), IOVS),
    max_size=6,
)


def brute_force(entries: tuple[Entry, ...] | list[Entry], name: str, run: ExpRun) -> Entry | None:
    return next((e for e in reversed(entries) if e.name == name and e.iov.contains(run)), None)


RUNS = [ExpRun(1, run) for run in range(12)] + [ExpRun(2, 0)]


@settings(deadline=None)
@given(ENTRIES, ENTRIES)
def test_appending_is_idempotent_and_gives_what_lines_in_this_order_give(
    old: list[Entry], new: list[Entry]
) -> None:
    once = appended(old, new)
    assert appended(once, new) == once
    assert set(once) == {*old, *new}
    for name in "xy":
        for run in RUNS:
            assert brute_force(once, name, run) == brute_force([*old, *new], name, run)


@settings(deadline=None)
@given(ENTRIES, ENTRIES)
def test_the_fingerprint_is_equal_exactly_if_all_look_ups_are(one: list[Entry], other: list[Entry]) -> None:
    def look_ups(entries: list[Entry]) -> list[str | None]:
        found = (brute_force(entries, name, run) for name in "xy" for run in RUNS)
        return [None if entry is None else entry.revision for entry in found]

    assert (effect(one) == effect(other)) == (look_ups(one) == look_ups(other))


def test_write_leaves_exactly_what_it_was_given(database: LocalDatabase) -> None:
    database.store([scale(1.0, 1, 0, 1, 9), scale(2.0, 1, 10, 1, 12), scale(2.0, 1, 20, 1, 22)])
    (database.path / ".scale_rev_0123456789abcdef.json.tmp").write_bytes(b"left by a crash")
    (database.path / "notes.txt").write_text("the user's own")
    wanted = [scale(2.0, 1, 10, 1, 15)]
    database.write(wanted)
    fresh = LocalDatabase(database.path.with_name("fresh"))
    fresh.write(wanted)
    assert snapshot(database.path) == {**snapshot(fresh.path), "notes.txt": b"the user's own"}
    before = snapshot(database.path)
    database.write(wanted)
    assert snapshot(database.path) == before


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def killed(monkeypatch: pytest.MonkeyPatch, action: Any, number: int) -> bool:
    """Carry an action out until so many renames and removals are done; whether it was killed by then."""
    replace, unlink = Path.replace, Path.unlink
    steps = iter(range(number))

    def step(function: Any, *args: Any, **kwargs: Any) -> Any:
        if next(steps, None) is None:
            raise Killed
        return function(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *args: step(replace, *args))
        patch.setattr(Path, "unlink", lambda *args, **kwargs: step(unlink, *args, **kwargs))
        try:
            action()
        except Killed:
            return True
        return False


@pytest.mark.parametrize("operation", ["store", "write", "packed"])
def test_a_crash_at_any_step_leaves_the_old_database_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    old = [scale(1.0, 1, 0, 1, 9), scale(5.0, 1, 0, 1, 9, name="offset")]
    new = [scale(2.0, 1, 0, 1, 4), scale(1.0, 1, 3, 1, 9), scale(b"raw", 1, 0, 1, 9, name="table")]

    def database(name: str) -> LocalDatabase:
        made = LocalDatabase(tmp_path / name)
        if operation == "packed":
            made.write_encoded(encoded(old), packed=True)
        else:
            made.store(old)
        return made

    def operate(one: LocalDatabase) -> None:
        if operation == "packed":
            one.write_encoded(encoded(new), packed=True)
        else:
            getattr(one, operation)(new)

    undisturbed = database("undisturbed")
    before = undisturbed.entries()
    operate(undisturbed)
    after = undisturbed.entries()
    assert before != after

    seen = set()
    for number in itertools.count():
        crashed = database(f"crashed {number}")
        if not killed(monkeypatch, partial(operate, crashed), number):
            break
        survivor = LocalDatabase(crashed.path)
        assert survivor.entries() in (before, after)
        seen.add(survivor.entries())
        assert [p for p in survivor.validate() if p.kind != "overlap"] == []
        assert all(survivor.provenance(entry) == ORIGIN for entry in survivor.entries())
        operate(survivor)
        assert snapshot(survivor.path) == snapshot(undisturbed.path)
    assert seen == ({before} if operation == "store" else {before, after})
    assert snapshot(crashed.path) == snapshot(undisturbed.path)


def test_a_payload_that_cannot_be_stored_changes_nothing(database: LocalDatabase) -> None:
    database.store([scale(1.0, 1, 0, 1, 9)])
    before = snapshot(database.path)
    with pytest.raises(PayloadError, match="'offset'"):
        database.store([scale(2.0, 1, 0, 1, 9), scale({1, 2}, 1, 0, 1, 9, name="offset")])
    assert snapshot(database.path) == before


def test_permissions_follow_the_umask(database: LocalDatabase) -> None:
    old = os.umask(0o027)
    try:
        database.store([scale(1.0, 1, 0, 1, 9)])
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in database.path.iterdir()} == {0o640}


@pytest.mark.parametrize("place", ["a file", "no file system"])
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("")
    path = tmp_path / "a file" / "db" if place == "a file" else Path("/proc/db")
    with pytest.raises(PayloadError, match=rf"database {path} cannot be written .*choose a directory"):
        LocalDatabase(path).store([scale(1.0, 1, 0, 1, 9)])


def test_a_full_disk_is_named(database: LocalDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    database.store([scale(1.0, 1, 0, 1, 9)])
    before = database.entries()
    full = Path("/dev/full")
    monkeypatch.setattr(Path, "with_name", lambda self, name: full)
    with pytest.raises(PayloadError, match=r"No space left on device.*old content still counts; make room"):
        database.store([scale(2.0, 1, 0, 1, 9)])
    assert LocalDatabase(database.path).entries() == before


GOOD = "scale 0123456789abcdef 1,0,1,9\n"


@pytest.mark.parametrize(
    "text",
    [
        "scale 0123456789abcdef 1,0,1\n",
        "scale 0123456789abcde 1,0,1,9\n",
        "scale 0123456789ABCDEF 1,0,1,9\n",
        "scale  0123456789abcdef 1,0,1,9\n",
        "../scale 0123456789abcdef 1,0,1,9\n",
        "scale 0123456789abcdef 1,5,1,2\n",
        "scale 0123456789abcdef -1,-1,-1,-1\n",
        "scale 0123456789abcdef 1,0,1,9 \n",
        "scale 0123456789abcdef 1,0,1,9",
        "scale 0123456789abcdef 1,0,1,\u0669\n",
        "\0\0\0\n",
        "\udcff\n",
    ],
)
def test_a_corrupt_line_is_named_with_its_file(database: LocalDatabase, text: str) -> None:
    database.path.mkdir()
    (database.path / "database.txt").write_bytes((GOOD + "\n" + text).encode(errors="surrogateescape"))
    with pytest.raises(PayloadError, match=r"/db/database\.txt, line 3"):
        database.entries()
    with pytest.raises(PayloadError, match="line 3"):
        database.store([scale(1.0, 1, 0, 1, 9)])


def test_changes_by_others_are_seen(database: LocalDatabase) -> None:
    assert database.entries() == ()
    LocalDatabase(database.path).store([scale(1.0, 1, 0, 1, 9)])
    assert database.find("scale", ExpRun(1, 1)) is not None
    (database.path / "database.txt").write_text("")
    assert database.find("scale", ExpRun(1, 1)) is None


def test_merge_appends_and_copies(tmp_path: Path) -> None:
    here, there = LocalDatabase(tmp_path / "here"), LocalDatabase(tmp_path / "there")
    here.store([scale(1.0, 1, 0, -1, -1), scale(7.0, 1, 0, -1, -1, name="offset")])
    there.store([(Payload("scale", 2.0, IoV(1, 5, 1, 9)), Provenance(calibration="other"))])
    here.merge(there)
    entry = here.find("scale", ExpRun(1, 5))
    assert entry is not None
    assert (here.load(entry), here.provenance(entry)) == (2.0, Provenance(calibration="other"))
    before = snapshot(here.path)
    here.merge(there)
    here.merge(here)
    assert snapshot(here.path) == before
    assert here.validate()[0].kind == "overlap"


@frozen
class TextCodec:
    name: str = "text"
    suffix: str = "txt"

    def accepts(self, content: Any) -> bool:
        return isinstance(content, str)

    def encode(self, content: Any) -> bytes:
        return str(content).encode()

    def decode(self, data: bytes) -> Any:
        return data.decode()


def test_formats_that_are_not_installed_can_still_be_copied(tmp_path: Path) -> None:
    with_codec = BUILTIN_CODECS.with_codecs([TextCodec()])
    there = LocalDatabase(tmp_path / "there", with_codec)
    (entry,) = there.store([(Payload("t", "words", IoV(1, 0, 1, 9), codec="text"), ORIGIN)])
    here = LocalDatabase(tmp_path / "here")
    here.merge(LocalDatabase(there.path))
    assert LocalDatabase(here.path, with_codec).load(entry) == "words"
    with pytest.raises(PayloadError, match=r"format \.txt"):
        here.load(entry)
    assert [problem.kind for problem in here.validate()] == ["codec"]


def test_diff_names_what_differs(tmp_path: Path) -> None:
    here, there = LocalDatabase(tmp_path / "here"), LocalDatabase(tmp_path / "there")
    here.store([scale(1.0, 1, 0, 1, 9), scale(2.0, 1, 10, 1, 19), scale(1.0, 1, 0, 1, 9, name="mine")])
    there.store([scale(2.0, 1, 10, 1, 19), scale(3.0, 1, 0, 1, 9), scale(1.0, 1, 0, 1, 9, name="yours")])
    difference = here.diff(there)
    assert [entry.name for entry in difference.only_here] == ["mine"]
    assert [entry.name for entry in difference.only_there] == ["yours"]
    (change,) = difference.changed
    assert (change.name, len(change.here), len(change.there)) == ("scale", 1, 1)
    lines = difference.text().splitlines()
    assert [line.split()[0:2] for line in lines] == [
        ["-", "mine"],
        ["-", "scale"],
        ["+", "scale"],
        ["+", "yours"],
    ]
    assert lines[1] == f"- {change.here[0].line()}"


def test_diff_knows_what_comes_to_the_same(tmp_path: Path) -> None:
    here, there = LocalDatabase(tmp_path / "here"), LocalDatabase(tmp_path / "there")
    here.store([scale(1.0, 1, 0, 1, 9)])
    there.store([scale(1.0, 1, 5, 1, 9), scale(1.0, 1, 0, 1, 4)])
    assert not here.diff(there)
    assert here.fingerprint() == there.fingerprint()
    here.write([scale(1.0, 1, 0, 1, 5), scale(2.0, 1, 3, 1, 9)])
    there.write([scale(2.0, 1, 3, 1, 9), scale(1.0, 1, 0, 1, 5)])
    assert here.diff(there)
    assert here.diff(there).text() == "~ scale (the same entries, overlapping in another order)"


def test_validate_finds_what_is_wrong(database: LocalDatabase) -> None:
    one, two, three = database.store(
        [scale(1.0, 1, 0, 1, 9), scale(2.0, 1, 10, 1, 19), scale(3.0, 1, 15, 1, 30)]
    )
    assert [problem.entry for problem in database.validate()] == [three]
    database.path_of(one).write_bytes(b"1.1\n")
    database.path_of(two).unlink()
    problems = database.validate()
    assert [(p.kind, p.entry) for p in problems] == [("hash", one), ("missing", two), ("overlap", three)]
    assert "scale_rev_" in problems[0].message
    with pytest.raises(PayloadError, match=r"'scale'.* is damaged"):
        database.load(one)
    with pytest.raises(PayloadError, match=r"its file .*/db/scale_rev_.* is missing; restore"):
        database.load(two)


PAYLOADS = st.lists(
    st.tuples(st.sampled_from("xy"), st.one_of(st.integers(0, 3), st.binary(max_size=4)), st.integers(0, 6)),
    max_size=12,
)


@settings(deadline=None)
@given(PAYLOADS, PAYLOADS)
def test_a_pack_holds_what_files_hold(
    tmp_path_factory: pytest.TempPathFactory, first: list[Any], then: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("packs")
    source, packed, copy = (LocalDatabase(folder / name) for name in ("source", "packed", "copy"))
    for contents in (first, then):
        source.write([scale(value, 1, run, 1, run, name=name) for name, value, run in contents])
        packed.write_encoded(items_of(source), packed=True)
        assert {path.name for path in packed.path.iterdir()} - {"provenance.jsonl"} == {"database.txt", PACK}
        assert packed.packed
        assert not source.packed
    assert list(items_of(packed)) == list(items_of(source))
    assert packed.fingerprint() == source.fingerprint()
    assert all(p.kind == "overlap" for p in packed.validate())
    for other in (copy, packed):
        other.write_encoded(items_of(packed))
        assert list(items_of(other)) == list(items_of(source))
        assert {path.name for path in other.path.iterdir()} | {"provenance.jsonl"} == {
            path.name for path in source.path.iterdir()
        } | {"provenance.jsonl"}


def test_other_processes_read_a_pack_at_once(database: LocalDatabase) -> None:
    payloads = [scale([run] * 1000, 1, run, 1, run) for run in range(50)]
    LocalDatabase(database.path).write_encoded(encoded(payloads), packed=True)
    entries = database.entries()
    assert database.load(entries[0]) == [0] * 1000  # the file is open in this process now
    with get_context("fork").Pool(4) as pool:
        found = pool.map(database.load, entries * 20)
    assert found == [[run] * 1000 for run in range(50)] * 20


def test_a_damaged_pack_is_named(database: LocalDatabase) -> None:
    database.write_encoded(encoded([scale(1.0, 1, 0, 1, 9), scale("other", 1, 10, 1, 19)]), packed=True)
    one, two = database.entries()
    pack = database.path / PACK
    whole = pack.read_bytes()
    with zipfile.ZipFile(pack) as archive:
        start = archive.infolist()[0].header_offset + 30 + len(archive.infolist()[0].filename)
    pack.write_bytes(whole[:start] + b"7" + whole[start + 1 :])
    assert [(p.kind, p.entry) for p in database.validate()] == [("missing", one)]
    with pytest.raises(PayloadError, match=r"payloads\.zip cannot be read .*restore"):
        database.load(one)
    assert database.load(two) == "other"
    pack.write_bytes(whole[:-7])
    with pytest.raises(PayloadError, match=r"payloads\.zip cannot be read .*restore"):
        database.load(two)
    pack.unlink()
    with pytest.raises(PayloadError, match=r"its file .* is missing"):
        database.load(two)


def test_storing_again_repairs_a_damaged_file(database: LocalDatabase) -> None:
    (entry,) = database.store([scale(1.0, 1, 0, 1, 9)])
    database.path_of(entry).write_bytes(b"")
    database.store([scale(1.0, 1, 0, 1, 9)])
    assert database.load(entry) == 1.0


def test_the_origin_is_kept_by_interval(database: LocalDatabase) -> None:
    def made(run: int) -> Provenance:
        return Provenance(
            calibration="muons",
            iteration=0,
            algorithm="fit",
            code_version="1.2",
            inputs={"runs": [ExpRun(1, run)], "files": 3},
            parameters={"cut": 0.5, "limit": float("inf"), "tag": object},
            convergence="converged",
            missing=("b.root",),
            notes={"set": {2, 1}},
        )

    payloads = [(Payload("scale", 1.0, IoV(1, run, 1, run)), made(run)) for run in (3, 4)]
    first, second = database.store(payloads)
    assert first.revision == second.revision
    for entry, run in ((first, 3), (second, 4)):
        kept = database.provenance(entry)
        assert kept is not None
        assert (kept.calibration, kept.iteration, kept.missing) == ("muons", 0, ("b.root",))
        assert kept.inputs == {"runs": [[1, run]], "files": 3}
        assert kept.parameters == {"cut": 0.5, "limit": "inf", "tag": "<class 'object'>"}
        assert kept.notes == {"set": [1, 2]}
        assert Provenance.from_json(json.loads(json.dumps(kept.to_json()))) == kept
    assert database.provenance(Entry("scale", first.revision, IoV(1, 5, 1, 5))) is None


def test_what_tasks_had_is_kept_once_and_told_for_each(database: LocalDatabase) -> None:
    """Every payload comes from nearly all files: what is kept does not grow with the square of them."""
    tasks = [{"files": [f"/data/f{n}.root"], "constants": [["old", "x", f"rev{n}"]]} for n in range(300)]
    origins = [
        Provenance(
            inputs={"tasks": {"default": numbers_text(set(range(300)) - {run})}}, tasks={"default": tasks}
        )
        for run in range(300)
    ]
    entries = database.store(
        (Payload("x", run, IoV(1, run, 1, run)), origin) for run, origin in enumerate(origins)
    )
    again = LocalDatabase(database.path)
    assert again.provenance(entries[7]) == origins[7]
    assert len(origins[7].files) == len(origins[7].collected_constants) == 299
    assert "/data/f7.root" not in origins[7].files
    assert (database.path / "provenance.jsonl").read_text().count(".root") == 300
    told = origins[7].to_json()["inputs"]
    assert (len(told["files"]), told["files_in_all"]) == (20, 299)
    again.write(again_items := [(Payload("x", 1, IoV(1, 1, 1, 1)), origins[1])])
    assert again.provenance(again.entries()[0]) == again_items[0][1]
    assert len((database.path / "provenance.jsonl").read_text().splitlines()) == 2, (
        "what is gone is forgotten"
    )


@given(st.sets(st.integers(0, 60)))
def test_numbers_survive_as_text(numbers: set[int]) -> None:
    assert set(parse_numbers(numbers_text(numbers))) == numbers


def test_origins_that_caf_0_1_0_wrote_are_read(database: LocalDatabase) -> None:
    old, new = database.store([scale(1.0, 1, 1, 1, 1), scale(2.0, 1, 2, 1, 2)])
    (database.path / "provenance.jsonl").unlink()
    for entry, name in ((old, "old"), (new, "new")):
        content = {"schema": 1, "by_iov": {str(entry.iov): {"calibration": name}}}
        path = database.path / f"scale_rev_{entry.revision}.provenance.json"
        path.write_text(json.dumps(content))
    assert [database.provenance(entry).calibration for entry in (old, new)] == ["old", "new"]
    database.store([(Payload("scale", 1.0, IoV(1, 3, 1, 3)), Provenance(calibration="later"))])
    assert [database.provenance(entry).calibration for entry in database.entries()] == ["old", "new", "later"]
    database.write([scale(3.0, 1, 1, 1, 1)])
    assert not list(database.path.glob("*.provenance.json"))


def test_facts_of_a_newer_version_stay_with_the_origin() -> None:
    assert Provenance.from_json({"calibration": "a", "weather": "fine"}).notes == {"weather": "fine"}


@pytest.mark.parametrize("name", ["plain", "with space", "a:b", "50%?#", "ä\n'\"", "\udcff"])
def test_any_path_survives_as_url_and_pickle(tmp_path: Path, name: str) -> None:
    database = LocalDatabase(tmp_path / name)
    database.store([scale(1.0, 1, 0, 1, 9)])
    for again in (
        open_database(database.url),
        open_database(str(database.path)),
        pickle.loads(pickle.dumps(database)),
    ):
        assert again.entries() == database.entries() != ()


def test_open_database_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        PayloadError, match=rf"no conditions database in {tmp_path}/db .*database\.txt.*; correct"
    ):
        open_database("db")
    with pytest.raises(ConfigurationError, match=r"'ftp://x/y'.*file:, sqlite:; install"):
        open_database("ftp://x/y")
    with pytest.raises(ConfigurationError, match="on the host 'elsewhere'"):
        open_database("file://elsewhere/db")
    LocalDatabase("db").write([])
    assert open_database("file:db").url == open_database("db").url == (tmp_path / "db").as_uri()
    assert open_database("x:y", {"x": lambda url: LocalDatabase("db")}).entries() == ()
