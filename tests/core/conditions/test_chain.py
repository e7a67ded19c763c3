"""Databases one behind the other."""

import pickle
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from caf_core.conditions.chain import Chain
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.conditions.validity import Steps, without_overlaps
from caf_core.errors import PayloadError
from caf_core.iov import ExpRun, IoV
from caf_core.iov.vectors import first_overlap

NOTHING = Provenance()


def database(path: Path, *payloads: tuple[str, object, IoV]) -> LocalDatabase:
    made = LocalDatabase(path)
    made.write([(Payload(name, content, iov), NOTHING) for name, content, iov in payloads])
    return made


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    new = database(tmp_path / "new", ("scale", 2.0, IoV(1, 5, 1, 9)))
    old = database(
        tmp_path / "old",
        ("scale", 1.0, IoV(1, 0, -1, -1)),
        ("fit", {"slope": 3, "name": "b"}, IoV(1, 0, 1, -1)),
    )
    return Chain([new, old])


def test_the_first_database_that_has_it_wins(chain: Chain) -> None:
    assert [chain.get("scale", ExpRun(1, run)) for run in (4, 5, 9, 10)] == [1.0, 2.0, 2.0, 1.0]
    found = chain.find("scale", ExpRun(1, 5))
    assert found is not None
    assert found.database is chain.databases[0]
    assert chain.names() == ("fit", "scale")


def test_what_is_missing_is_the_default_or_an_error_that_says_what_there_is(chain: Chain) -> None:
    assert chain.get("scale", ExpRun(0, 1), None) is None
    with pytest.raises(PayloadError) as error:
        chain.get("scale", ExpRun(0, 1))
    text = str(error.value)
    assert text.startswith("there is no payload 'scale' for run 0,1; searched 2: file:///")
    assert "/new has it for 1,5,1,9; " in text
    assert "/old has it for 1,0,-1,-1. " in text
    with pytest.raises(PayloadError, match=r"/new has no 'x'; .*/old has no 'x'\. Add a database"):
        chain.get("x", ExpRun(1, 1))
    with pytest.raises(PayloadError, match="no conditions database is in use"):
        Chain([]).get("scale", ExpRun(1, 1))


@frozen
class Fit:
    slope: float
    name: str


def test_a_type_can_be_asked_for(chain: Chain) -> None:
    assert chain.get("fit", ExpRun(1, 1), as_type=Fit) == Fit(3.0, "b")
    assert chain.get("fit", ExpRun(1, 1)) == {"slope": 3, "name": "b"}
    assert chain.get("fit", ExpRun(2, 1), None, as_type=Fit) is None
    with pytest.raises(PayloadError, match="payload 'scale' is no Fit"):
        chain.get("scale", ExpRun(1, 1), as_type=Fit)


def test_a_chain_is_a_snapshot_until_it_is_refreshed(chain: Chain) -> None:
    assert chain.get("scale", ExpRun(1, 5)) == 2.0
    database(chain.databases[0].path)  # type: ignore[attr-defined]  # the fixture's databases are local
    assert chain.get("scale", ExpRun(1, 5)) == 2.0
    chain.refresh()
    assert chain.get("scale", ExpRun(1, 5)) == 1.0


def test_it_can_be_rebuilt_in_another_process(chain: Chain) -> None:
    for again in (pickle.loads(pickle.dumps(chain)), Chain.from_description(chain.describe())):
        assert again.get("scale", ExpRun(1, 5)) == 2.0
        assert again.fingerprint() == chain.fingerprint()
    code = (
        "import json, sys; from caf_core.conditions.chain import Chain; from caf_core.iov import ExpRun; "
        "print(Chain.from_description(sys.argv[1:]).get('scale', ExpRun(1, 5)), 'peewee' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *chain.describe()], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout == "2.0 False\n"


def test_the_fingerprint_is_that_of_the_answers(tmp_path: Path, chain: Chain) -> None:
    merged = LocalDatabase(tmp_path / "merged")
    for part in reversed(chain.databases):
        merged.merge(part)
    assert Chain([merged]).fingerprint() == chain.fingerprint()
    assert Chain(reversed(chain.databases)).fingerprint() != chain.fingerprint()


IOVS = st.builds(
    lambda exp, low, length, later: IoV(exp, low, exp + later, -1 if length == 3 else low + length),
    *(st.integers(0, high) for high in (2, 4, 3, 1)),
) | st.just(IoV(1, 2, -1, -1))
CONTENTS = st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 3), IOVS), max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(CONTENTS, max_size=3))
def test_look_ups_equal_brute_force(contents: list[list[tuple[str, int, IoV]]]) -> None:
    with TemporaryDirectory() as directory:
        databases = [database(Path(directory) / str(n), *one) for n, one in enumerate(contents)]
        chain = Chain(databases)
        for run in (ExpRun(exp, run) for exp in range(5) for run in range(10)):
            for name in "xy":
                wanted = [
                    (part, entry)
                    for part in databases
                    for entry in reversed(part.entries())
                    if entry.name == name and entry.iov.contains(run)
                ]
                found = chain.find(name, run)
                assert (found and (found.database, found.entry)) == (wanted[0] if wanted else None)


@given(CONTENTS)
def test_intervals_that_do_not_overlap_say_the_same(content: list[tuple[str, int, IoV]]) -> None:
    given = [(iov, value) for _, value, iov in content]
    cut = without_overlaps(given)
    assert first_overlap(iov for iov, _ in cut) is None
    for run in (ExpRun(exp, run) for exp in range(5) for run in range(10)):
        assert Steps(cut).at(run) == Steps(given).at(run)
    if first_overlap(iov for iov, _ in given) is None:
        assert sorted(cut) == sorted((iov, value) for iov, value in given if not iov.empty)


def test_contents_are_read_once(chain: Chain) -> None:
    first = chain.get("fit", ExpRun(1, 1))
    assert chain.get("fit", ExpRun(1, 2)) is first
