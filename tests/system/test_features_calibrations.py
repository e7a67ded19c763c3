"""Whole runs: calibrations that depend on one another, defaults, databases, users' own calibrations."""

import sys

import cloudpickle
import pytest

from caf_core import CAF, Algorithm, Calibration, CalibrationBase, ExpRun, IoV, Outcome
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.control.report import CalibrationFailedError
from caf_core.errors import ConfigurationError, DependencyCycleError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RUN = ExpRun(1, 1)


def collect(context):
    """One run."""
    context.put(RUN, [1], entries=1)


def gives(name, *known):
    """An algorithm with a payload that shows the order in which things are found."""

    def fit(context):
        content = {other: context.conditions.get(other, RUN, None) for other in known}
        return Outcome("ok", {name: content or name})

    return fit


def fails(context):
    """An algorithm that breaks."""
    raise RuntimeError("broken")


def one(name, algorithm=None, *after, **settings) -> Calibration:
    calibration = Calibration(name, collect, [algorithm or gives(name)], **settings)
    for other in after:
        calibration.depends_on(other)
    return calibration


def caf_of(out, *calibrations, **settings) -> CAF:
    caf = CAF(out, **settings)
    for calibration in calibrations:
        caf.add_calibration(calibration)
    return caf


def load(folder, name):
    database = LocalDatabase(folder)
    return next(database.load(entry) for entry in database.entries() if entry.name == name)


def test_constants_are_handed_on_along_the_links(tmp_path) -> None:
    first, second = one("first"), one("second")
    third = one("third", gives("third", "first", "second"), first)
    last = one("last", gives("last", "first", "second", "third"), third)
    report = caf_of(tmp_path, last, third, second, first).run()
    assert report.success
    assert load(tmp_path / "third" / "outputdb", "third") == {"first": "first", "second": None}
    assert load(tmp_path / "last" / "outputdb", "last") == {
        "first": "first",
        "second": None,
        "third": {"first": "first", "second": None},
    }


def test_the_nearest_dependency_wins_and_then_the_last_one_named(tmp_path) -> None:
    far = Calibration("far", collect, [gives("x")])
    near = Calibration("near", collect, [lambda context: Outcome("ok", {"x": "near"})])
    other = Calibration("other", collect, [lambda context: Outcome("ok", {"x": "other"})])
    other.save_payloads = False
    near.depends_on(far)
    user = one("user", gives("got", "x"), near, other)
    again = one("again", gives("seen", "x"), other, near)
    caf_of(tmp_path, far, near, other, user, again).run()
    assert load(tmp_path / "user" / "outputdb", "got") == {"x": "other"}
    assert load(tmp_path / "again" / "outputdb", "seen") == {"x": "near"}


def test_a_failure_stops_only_those_that_depend_on_it(tmp_path) -> None:
    broken = one("broken", fails)
    waits = one("waits", None, broken)
    waits_more = one("waits more", None, waits)
    with pytest.raises(CalibrationFailedError) as caught:
        caf_of(tmp_path, broken, waits, waits_more, one("free")).run()
    states = {name: str(found.state) for name, found in caught.value.report.calibrations.items()}
    assert states == {"broken": "failed", "waits": "init", "waits more": "init", "free": "completed"}
    reasons = caught.value.report.failures
    assert "RuntimeError: broken" in reasons["broken"]
    assert reasons["waits"] == "not started, as 'broken' failed"
    assert caf_of(tmp_path, broken).run(check=False).success is False


def test_a_cycle_is_spelled_out(tmp_path) -> None:
    a, b, c = one("a"), one("b"), one("c")
    a.depends_on(b)
    b.depends_on(c)
    c.depends_on(a)
    with pytest.raises(DependencyCycleError, match="a -> b -> c -> a") as caught:
        caf_of(tmp_path / "out", a, b, c).run()
    assert caught.value.cycle == ("a", "b", "c", "a")
    assert not (tmp_path / "out").exists()


def test_a_dependency_outside_of_the_caf_is_refused(tmp_path) -> None:
    outside = one("outside")
    with pytest.raises(ConfigurationError, match="'a' depends on 'outside', which is not in this CAF"):
        caf_of(tmp_path, one("a", None, outside)).run()
    with pytest.raises(ConfigurationError, match="which is not in this CAF"):
        caf_of(tmp_path, one("a", None, outside), one("outside")).run()


def test_defaults_hold_where_a_calibration_says_nothing(tmp_path) -> None:
    def endless(context):
        return Outcome("iterate", {"x": context.iteration})

    caf = caf_of(
        tmp_path,
        one("a", endless),
        one("b", endless, max_iterations=0, save_payloads=False),
        calibration_defaults={"max_iterations": 2},
    )
    report = caf.run()
    assert [report.calibrations[name].iteration for name in "ab"] == [2, 0]


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        ({"max_iteration": 2}, "has no 'max_iteration'; it has: "),
        ({"max_iterations": -1}, "max_iterations is -1"),
        ({"max_iterations": "3"}, "max_iterations is '3'"),
        ({"keep_collector_output": "some"}, "keep_collector_output is 'some'"),
        ({"require_convergence": "no"}, "require_convergence is 'no'; it can be True or False"),
        ({"strategies": ["SingleIOV", "SingleIOV"]}, "1 algorithm.* and 2 strategies"),
        ({"strategies": "SingleIoV"}, "there is no strategy called 'SingleIoV'"),
        ({"runner": "fast"}, "there is no runner called 'fast'"),
        ({"ignored_runs": [(1, -2)]}, "runs count from 0"),
    ],
)
def test_defaults_that_cannot_be_are_refused(tmp_path, defaults, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        caf_of(tmp_path / "out", one("a"), calibration_defaults=defaults).run()
    assert not (tmp_path / "out").exists()


def test_a_text_does_not_save_payloads(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="save_payloads is 'no'; it can be True or False"):
        caf_of(tmp_path, one("a", save_payloads="no")).run()


def test_only_wanted_payloads_reach_the_common_database(tmp_path) -> None:
    caf_of(tmp_path, one("a"), one("b", save_payloads=False)).run()
    assert [entry.name for entry in LocalDatabase(tmp_path / "outputdb").entries()] == ["a"]
    assert load(tmp_path / "b" / "outputdb", "b") == "b"


def by_run(name, value, *runs):
    """A calibration with data in runs 1 to 5, and a payload that it gives for some of them only."""

    def many(context):
        for run in range(1, 6):
            context.put((1, run), [1], entries=1)

    def fit(context):
        return Outcome("ok", [Payload("p", value, IoV(1, run, 1, run)) for run in runs])

    return Calibration(name, many, [fit])


def lines(folder):
    return [line.split()[::2] for line in (folder / "outputdb" / "database.txt").read_text().splitlines()]


def test_payloads_of_one_name_for_different_runs_are_kept(tmp_path) -> None:
    assert caf_of(tmp_path, by_run("a", 1, 1, 3), by_run("b", 2, 2)).run().success
    assert sorted(lines(tmp_path)) == [["p", f"1,{run},1,{run}"] for run in (1, 2, 3)]


@pytest.mark.parametrize("first", ["a", "b"])
def test_payloads_that_contradict_one_another_fail_the_later_calibration(tmp_path, first) -> None:
    """Whichever completes first, and at every start, until it is mended."""
    a, b = by_run("a", 1, 1, 2), by_run("b", 2, 2, 3)
    after = one("after", None, b)
    caf_of(tmp_path, {"a": a, "b": b}[first]).run()
    for _ in range(2):
        report = caf_of(tmp_path, a, b, after).run(check=False)
        assert {name: str(found.state) for name, found in report.calibrations.items()}["b"] == "failed"
        assert "its payloads 'p' hold where those of calibration 'a' hold too" in report.failures["b"]
        assert "p" in {entry.name for entry in LocalDatabase(tmp_path / "outputdb").entries()}
        assert [line for line in lines(tmp_path) if line[0] == "p"] == [["p", "1,1,1,1"], ["p", "1,2,1,2"]]
    b.save_payloads = False
    assert caf_of(tmp_path, a, b, after).run().success


def test_a_calibration_refines_the_constants_of_one_that_it_depends_on(tmp_path, caf) -> None:
    coarse = Calibration("coarse", collect, [lambda context: Outcome("ok", [Payload("p", 0, IoV.always())])])
    fine = by_run("fine", 1, 3)
    fine.depends_on(coarse)
    user = one(
        "user", lambda context: Outcome("ok", {"got": context.conditions.get("p", (1, 3))}), fine, coarse
    )
    assert caf_of(tmp_path, coarse, fine, user).run().success
    database = LocalDatabase(tmp_path / "outputdb")
    assert database.validate() == ()
    assert [database.load(database.find("p", ExpRun(1, run))) for run in (2, 3, 4)] == [0, 1, 0]
    assert load(tmp_path / "outputdb", "got") == 1, "dependents see what the common database says"


def test_two_algorithms_that_contradict_one_another_are_both_named(tmp_path) -> None:
    cal = Calibration("a", collect, [Algorithm(gives("x"), name=name) for name in ("f", "g")])
    (reason,) = caf_of(tmp_path, cal).run(check=False).failures.values()
    assert "two payloads called 'x' would both be valid" in reason
    assert "algorithm 'f' and algorithm 'g'" in reason


def database(folder, **contents) -> str:
    LocalDatabase(folder).store(
        (Payload(name, content, IoV.always()), Provenance()) for name, content in contents.items()
    )
    return str(folder)


def test_the_database_that_was_added_last_is_searched_first(tmp_path) -> None:
    cal = one("a", gives("got", "x", "y", "z"))
    cal.use_local_database(database(tmp_path / "old", x="old", y="old"))
    cal.use_local_database(database(tmp_path / "new", x="new"))
    caf_of(tmp_path / "out", cal).run()
    assert load(tmp_path / "out" / "a" / "outputdb", "got") == {"x": "new", "y": "old", "z": None}


def test_a_collection_may_have_a_chain_of_its_own(tmp_path) -> None:
    def sees(context):
        context.put(RUN, [context.conditions.get("x", RUN, None)], entries=1)

    def fit(context):
        return Outcome("ok", {"got": [context.data().merged(), context.conditions.get("x", RUN, None)]})

    cal = Calibration("a", sees, [fit])
    cal.use_local_database(database(tmp_path / "common", x="common"))
    cal.collections["default"].use_local_database(database(tmp_path / "special", x="special"))
    other = Calibration("b", sees, [fit], save_payloads=False)
    other.use_local_database(tmp_path / "common" / "database.txt")
    other.collections["default"].reset_database()
    caf_of(tmp_path / "out", cal, other).run()
    assert load(tmp_path / "out" / "a" / "outputdb", "got") == [["special"], "common"]
    assert load(tmp_path / "out" / "b" / "outputdb", "got") == [[None], "common"]


def test_a_database_that_is_not_there_is_named(tmp_path) -> None:
    cal = one("a")
    cal.use_local_database(tmp_path / "nowhere")
    with pytest.raises((CalibrationFailedError, ConfigurationError), match="nowhere"):
        caf_of(tmp_path / "out", cal).run()


class Own(CalibrationBase):
    """Writes constants of its own, after looking at those of its dependency."""

    def __init__(self, name, content="own", valid=True):
        super().__init__(name)
        self.content, self.valid = content, valid

    def is_valid(self):
        return self.valid

    def run(self):
        assert self.dependencies_met()
        if isinstance(self.content, BaseException):
            raise self.content
        if self.content == "fail quietly":
            self.state = self.fail_state
            return
        self.output_database_dir = self.output_dir / "constants"
        first = self.conditions.get("first", RUN, None)
        assert [path.parent.name for path in self.dependency_databases] == (
            [] if first is None else ["first"]
        )
        database(self.output_database_dir, own=f"{self.content} for {self.iov} after {first}")


def test_a_users_own_calibration_stands_beside_the_standard_one(tmp_path) -> None:
    first, own = one("first"), Own("own")
    own.depends_on(first)
    last = one("last", gives("got", "own", "first"), own)
    report = caf_of(tmp_path, first, own, last).run(iov=IoV(1, 0, 1, -1))
    assert report.success
    assert own.state == own.end_state
    assert load(tmp_path / "last" / "outputdb", "got") == {
        "own": "own for 1,0,1,-1 after first",
        "first": "first",
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (ValueError("no beam"), r"its run\(\) raised ValueError: no beam"),
        (SystemExit(3), r"its run\(\) raised SystemExit: 3"),
        ("fail quietly", r"its run\(\) set the state to failed"),
    ],
    ids=["raises", "exits", "says so"],
)
def test_a_users_own_calibration_may_fail(tmp_path, content, words) -> None:
    own = Own("own", content)
    with pytest.raises(CalibrationFailedError, match=words):
        caf_of(tmp_path, own, one("waits", None, own), one("free")).run()
    assert own.state == own.fail_state


def test_an_own_calibration_that_is_not_valid_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=r"'own' says that it is not valid"):
        caf_of(tmp_path / "out", Own("own", valid=False)).run()

    class Broken(Own):
        def is_valid(self):
            raise KeyError("setting")

    with pytest.raises(ConfigurationError, match=r"is_valid\(\) raised KeyError"):
        caf_of(tmp_path / "out", Broken("own")).run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".hidden",
        "a/b",
        "back\\slash",
        "line\nbreak",
        " blank",
        "x" * 101,
        "outputdb",
        "caf_state.db",
        None,
        "\udcff",
    ],
    ids=ascii,
)
def test_a_name_that_cannot_be_a_folder_is_refused(name) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a calibration"):
        Calibration(name)


def test_two_calibrations_of_one_name_are_refused(tmp_path) -> None:
    with pytest.raises(
        ConfigurationError, match="two calibrations are called 'a'; give each a name of its own"
    ):
        caf_of(tmp_path, one("a"), one("a"))


def test_a_misspelt_setting_is_refused() -> None:
    for key in ("max_iteration", "check", "is_command", "use_local_database"):
        with pytest.raises(ConfigurationError, match=f"has no setting '{key}'"):
            Calibration("a", collect, [fails], **{key: 1})


def test_modules_that_the_script_found_elsewhere_are_found_by_tasks_too(tmp_path, caf) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "beside.py").write_text("def value():\n    import far\n    return far.VALUE\n")
    (tmp_path / "common" / "far.py").write_text("VALUE = 5\n")
    (tmp_path / "common" / "tools.py").write_text(
        "from beside import value\n\nclass Collect:\n    def collect(self, context):\n"
        "        context.put((1, 1), [value()], entries=1)\n"
    )
    (tmp_path / "script.py").write_text(
        "import sys\nfrom pathlib import Path\nHERE = Path(__file__).parent\n"
        "sys.path.append(str(HERE / 'common'))\nfrom tools import Collect\n"
        "from caf_core import CAF, Calibration, Outcome\n\n"
        "def fit(context):\n    return Outcome('ok', {'x': context.data().merged()})\n\n"
        "caf = CAF(HERE / 'out')\ncaf.add_calibration(Calibration('a', Collect(), [fit]))\ncaf.run()\n"
    )
    done = caf("run", tmp_path / "script.py")
    assert done.code == 0, done.err
    assert load(tmp_path / "out" / "a" / "outputdb", "x") == [5]
