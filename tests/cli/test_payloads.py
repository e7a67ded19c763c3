"""``caf payloads`` and ``caf graph``."""

import json
import re

import pytest


def test_the_results_of_an_output_directory(good, caf):
    output, _ = good
    called = caf("payloads", "-p", output)
    assert called.code == 0
    assert called.out.splitlines()[0].split() == [
        "name",
        "IoV",
        "revision",
        "runs",
        "entries",
        "calibration",
        "iteration",
        "algorithm",
        "convergence",
        "reason",
    ]
    rows = [line.split() for line in called.out.splitlines()[1:]]
    assert {row[5] for row in rows} == {"first", "second"}
    assert {(row[3], row[4], *row[9:]) for row in rows} == {("5", "5", "enough", "data")}
    made, _ = json.loads(caf("payloads", "-p", output, "--json").out)
    assert made["runs"] == made["provenance"]["inputs"]["runs"] == [[1, 0], [1, 1], [1, 2], [1, 3], [1, 9]]
    assert (made["entries"], made["reason"]) == (5, "enough data")
    assert all(row[1] == "1,0,1,9" for row in rows)
    assert caf("payloads", output).out == called.out
    assert caf("payloads", output / "outputdb").out == called.out
    assert caf("payloads", (output / "outputdb").as_uri()).out == called.out


def test_contents_and_look_up_of_a_run(good, caf):
    output, _ = good
    called = caf("payloads", output / "first" / "outputdb", "--run", "1,2", "--show")
    assert called.out.splitlines()[1].split()[-1] == "2.8"
    (row,) = json.loads(
        caf("payloads", output / "first" / "outputdb", "--json", "--show", "--name", "mean_first").out
    )
    assert row["content"] == 2.8
    assert row["provenance"]["calibration"] == "first"
    assert caf("payloads", output / "first" / "outputdb", "--run", "7,1").out == (
        "no payloads.\nrun 7,1 has no constant mean_first: no data of it was collected\n"
    )


def test_differences(good, tmp_path, caf):
    from caf_core.conditions.local import LocalDatabase
    from caf_core.conditions.payload import Payload
    from caf_core.conditions.provenance import Provenance
    from caf_core.iov import IoV

    here, there = tmp_path / "here", tmp_path / "there"
    LocalDatabase(here).store([(Payload("x", 1, IoV(1, 0, 1, 5)), Provenance())])
    LocalDatabase(there).store([(Payload("x", 2, IoV(1, 0, 1, 5)), Provenance())])
    assert caf("payloads", here, "--diff", here).code == 0
    called = caf("payloads", here, "--diff", there)
    assert called.code == 1
    assert [line[0] for line in called.out.splitlines()] == ["-", "+"]


@pytest.fixture
def two(tmp_path):
    """Two databases: x differs in its content, y in the end of its interval, z is in one of them only."""
    from caf_core.conditions.local import LocalDatabase
    from caf_core.conditions.payload import Payload
    from caf_core.conditions.provenance import Provenance
    from caf_core.iov import IoV

    for folder, x, end, names in (("here", 1, 5, "xyz"), ("there", [2, 3], 9, "xy")):
        contents = {"x": x, "y": 7, "z": 8}
        LocalDatabase(tmp_path / folder).store(
            [
                (Payload(name, contents[name], IoV(1, 0, 1, end)), Provenance(calibration="fit"))
                for name in names
            ]
        )
    return tmp_path / "here", tmp_path / "there"


def test_differences_as_json_with_contents(two, caf):
    here, there = two
    called = caf("payloads", here, "--diff", there, "--json", "--show")
    assert called.code == 1
    found = json.loads(called.out)
    assert (found["differ"], found["reordered"]) == (True, [])
    rows = [
        [(row["name"], row["iov"], row["content"], row["provenance"]["calibration"]) for row in found[side]]
        for side in ("only_here", "only_there")
    ]
    assert rows == [
        [("x", "1,0,1,5", 1, "fit"), ("y", "1,0,1,5", 7, "fit"), ("z", "1,0,1,5", 8, "fit")],
        [("x", "1,0,1,9", [2, 3], "fit"), ("y", "1,0,1,9", 7, "fit")],
    ]
    called = caf("payloads", here, "--diff", here, "--json")
    assert called.code == 0
    assert json.loads(called.out) == {"differ": False, "only_here": [], "only_there": [], "reordered": []}


@pytest.mark.parametrize(
    ("words", "code", "lines"),
    [
        (("--show", "--name", "x"), 1, ["- x 1,0,1,5: 1", "+ x 1,0,1,9: [2, 3]"]),
        (("--name", "y"), 1, ["- y 1,0,1,5", "+ y 1,0,1,9"]),
        (("--name", "y", "--run", "1,3"), 0, ["no difference."]),
        (("--name", "y", "--run", "1,7", "--show"), 1, ["+ y 1,0,1,9: 7"]),
        (("--run", "2,1"), 0, ["no difference."]),
    ],
)
def test_differences_of_a_name_and_at_a_run(two, caf, words, code, lines):
    here, there = two
    called = caf("payloads", here, "--diff", there, *words)
    assert called.code == code
    assert [re.sub(r" [0-9a-f]{16} ", " ", line) for line in called.out.splitlines()] == lines


def test_what_cannot_be_compared_or_exported_as_wished_is_refused(two, caf, tmp_path):
    here, there = two
    called = caf("payloads", here, "--diff", there, "--name", "nothing")
    assert (called.code, called.out) == (2, "")
    assert "there is: x, y, z." in called.err
    called = caf("payloads", here, "--export-basf2", tmp_path / "basf2", "--diff", there, "--json")
    assert called.code == 2
    assert "knows no --diff or --json" in called.err


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--name", "nothing"), "there is: mean_first, mean_second"), (("--run", "seven"), "--run 1,42")],
)
def test_wrong_wishes(good, caf, words, said):
    called = caf("payloads", "-p", good[0], *words)
    assert called.code == 2
    assert said in called.err


def test_a_database_that_is_not_there(caf, tmp_path):
    called = caf("payloads", tmp_path / "nothing")
    assert called.code in (2, 4)
    assert called.err.startswith("caf: there is no conditions database")


def test_the_graph_of_a_script_and_of_an_output_directory(good, script, good_input, tmp_path, caf):
    drawn = caf("graph", script, good_input)
    assert drawn.code == 0, drawn.err
    assert '    c0["first"]\n    c1["second"]\n    c0 --> c1\n' in drawn.out
    of_output = caf("graph", "--format", "dot", "-p", good[0]).out
    assert '"first" -> "second";' in of_output
    assert "first (completed)" in of_output
    # Input files need not be here for that.
    (tmp_path / "elsewhere").mkdir()
    assert 'c1["second"]' in caf("graph", script, tmp_path / "elsewhere").out


def test_the_state_machine(good, caf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "running_collector --> collector_completed: complete_collector" in caf("graph", "--states").out
    assert "note right of completed: first" in caf("graph", "--states", "-p", good[0]).out
    assert caf("graph", "--states", "--format", "dot").out.startswith("digraph")
    (tmp_path / "script.py").touch()
    assert "leave out the script" in caf("graph", "--states", "script.py").err


def test_a_script_without_a_run_has_no_graph(tmp_path, caf):
    (tmp_path / "s.py").write_text("")
    assert caf("graph", tmp_path / "s.py").code == 2
    (tmp_path / "s.py").write_text("1 / 0")
    called = caf("graph", tmp_path / "s.py")
    assert called.code == 2
    assert "ZeroDivisionError" in called.err
