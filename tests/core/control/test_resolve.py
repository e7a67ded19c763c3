"""From what a user wrote to what is carried out."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from attrs import define, field

from caf_core.calibration.algorithm import Algorithm, Outcome
from caf_core.calibration.calibration import Calibration
from caf_core.calibration.collection import Collection
from caf_core.calibration.runner import ParallelRunner, SequentialRunner
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.control.backends import Backends
from caf_core.control.resolve import resolve
from caf_core.errors import ConfigurationError, UnknownPluginError
from caf_core.iov import ExpRun, IoV
from caf_core.jobs.local import ResidentBackend
from caf_core.jobs.splitters import ArgumentsSplitter, MaxFilesSplitter, MaxSubjobsSplitter
from caf_core.jobs.task import Resources
from caf_core.plugins import builtin
from caf_core.plugins.markers import hookimpl
from caf_core.plugins.registry import Registry


@define(kw_only=True)
class Steps(AlgorithmStrategy):
    """A strategy with parameters."""

    usable_granularities = frozenset({"run"})
    step_size: int = field(default=1)
    apply_iov: IoV | None = None

    @step_size.validator
    def _check(self, _attribute, value):
        if value < 1:
            raise ValueError(f"step_size is {value}")

    def plan(self, runs, past):
        """Never asked for."""


class Plugin:
    @hookimpl
    def caf_register_strategies(self, register):
        register("Steps", Steps)


REGISTRY = Registry({"builtin": builtin, "test": Plugin()})


def collect(context):
    """Collects nothing."""


def fit(context):
    """Fits nothing."""
    return Outcome("ok")


def resolved(tmp_path, calibration=None, *, requested=None, **defaults):
    calibration = calibration or Calibration("cal", collect, [Algorithm(fit, "fit")])
    backend = ResidentBackend(1)
    settings = {"strategies": "Steps", "backend": backend, **defaults}
    found = resolve(
        [calibration],
        output_dir=tmp_path,
        registry=REGISTRY,
        backends=Backends(REGISTRY, backend),
        defaults=settings,
        requested=requested,
        site=Resources(),
    )
    return found["cal"]


def calibration(**settings) -> Calibration:
    params = settings.pop("params", {})
    return Calibration("cal", collect, [Algorithm(fit, "fit", params)], **settings)


def test_parameters_go_to_whom_they_belong(tmp_path) -> None:
    params = {"step_size": 3, "apply_iov": IoV(1, 0, 1, -1), "cut": 2.5}
    (part,) = resolved(tmp_path, calibration(params=params)).algorithms
    assert part.strategy == Steps(step_size=3, apply_iov=IoV(1, 0, 1, -1))
    assert part.params == {"cut": 2.5}


def test_a_strategy_may_be_a_name_a_class_or_an_instance(tmp_path) -> None:
    for given, expected in [("Steps", 1), (Steps, 1), (Steps(step_size=4), 4), ([Steps(step_size=5)], 5)]:
        (part,) = resolved(tmp_path, calibration(strategies=given)).algorithms
        assert part.strategy.step_size == expected
    shared = Steps(step_size=4)
    (part,) = resolved(tmp_path, calibration(strategies=shared, params={"step_size": 9})).algorithms
    assert (part.strategy.step_size, shared.step_size) == (9, 4)


def test_a_parameter_that_does_not_fit_is_named(tmp_path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"algorithm 'fit': the parameters .* do not fit strategy Steps"
    ):
        resolved(tmp_path, calibration(params={"step_size": 0}))


def test_an_unknown_strategy_says_which_exist(tmp_path) -> None:
    with pytest.raises(UnknownPluginError) as caught:
        resolved(tmp_path, calibration(strategies="SingleIOV"))
    assert caught.value.available == ("Steps",)
    assert "caf-strategies" in str(caught.value)


def test_a_strategy_has_to_fit_the_granularity(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="Steps of algorithm 'fit' needs granularity 'run'"):
        resolved(tmp_path, calibration(granularity="all"))


def test_settings_come_from_the_calibration_the_caf_and_caf_itself(tmp_path) -> None:
    one = resolved(
        tmp_path, calibration(max_iterations=0, ignored_runs=[]), max_iterations=9, ignored_runs=[(1, 1)]
    )
    assert one.settings["max_iterations"] == 0
    assert one.selection.ignored == frozenset()
    assert one.settings["require_convergence"] is False
    other = resolved(tmp_path, ignored_runs=[(1, 1)], require_convergence=True)
    assert (other.selection.ignored, other.settings["max_iterations"]) == (frozenset({ExpRun(1, 1)}), 5)
    assert other.settings["require_convergence"] is True


def test_arguments_that_a_backend_refuses_are_refused_before_the_start(tmp_path) -> None:
    one = calibration(backend_args={"max_processes": 2})
    words = "calibration 'cal', collection 'default': max_processes of residentbackend is for all tasks"
    with pytest.raises(ConfigurationError, match=words):
        resolved(tmp_path, one)
    with pytest.raises(ConfigurationError, match=words):
        resolved(tmp_path, calibration(), backend_args={"max_processes": 2})


class Carrier(ResidentBackend):
    """Carries files, as HTCondor does without a shared file system."""

    def shares_files(self, backend_args):
        return False


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("slrm", "there is no backend called 'slrm'"),
        (5, "5"),
        (Carrier(1), "'carrier' carries files to its nodes and back"),
    ],
)
def test_a_backend_that_cannot_have_algorithms_is_refused(tmp_path, wanted, words) -> None:
    with pytest.raises(ConfigurationError, match=f"calibration 'cal': algorithm_backend.*{words}"):
        resolved(tmp_path, calibration(algorithm_backend=wanted))


def test_algorithms_have_the_arguments_of_collectors_where_they_have_the_same_backend(tmp_path) -> None:
    same = ResidentBackend(1)
    one = resolved(tmp_path, calibration(backend=same, algorithm_backend=same))
    assert one.algorithm_backend == one.backend
    assert resolved(tmp_path).algorithm_backend not in (one.backend, "local")


@pytest.mark.parametrize("wrong", [{"memory_mb": 64}, "64 GB", 64, Resources])
def test_resources_of_an_algorithm_are_resources(wrong) -> None:
    with pytest.raises(ConfigurationError, match=r"resources is .*; it is Resources\(\.\.\.\)"):
        Algorithm(fit, resources=wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory_mb": "64 GB"},
        {"memory_mb": 0},
        {"cpus": None},
        {"cpus": True},
        {"disk_mb": 1.5},
        {"walltime": 3600},
        {"walltime": timedelta(0)},
    ],
)
def test_resources_that_cannot_be_are_refused_where_they_are_written(wrong) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} is .*; it is a "):
        Resources(**wrong)


@pytest.mark.parametrize(
    ("settings", "kind", "values"),
    [
        ({}, MaxSubjobsSplitter, {"max_subjobs": 1000}),
        ({"max_collector_jobs": 7}, MaxSubjobsSplitter, {"max_subjobs": 7}),
        ({"max_files_per_collector_job": 2}, MaxFilesSplitter, {"max_files_per_subjob": 2}),
        ({"splitter": "MaxFilesSplitter"}, MaxFilesSplitter, {}),
        ({"splitter": MaxSubjobsSplitter(max_subjobs=3)}, MaxSubjobsSplitter, {"max_subjobs": 3}),
    ],
)
def test_work_is_cut_as_asked(tmp_path, settings, kind, values) -> None:
    splitter = resolved(tmp_path, calibration(**settings)).collections[0].splitter
    assert type(splitter) is kind
    for name, value in values.items():
        assert getattr(splitter, name) == value


@pytest.mark.parametrize("settings", [{"max_collector_jobs": 0}, {"max_files_per_collector_job": 0}])
def test_no_task_at_all_is_no_way_to_cut(tmp_path, settings) -> None:
    with pytest.raises(ConfigurationError, match=r"0.*at least 1"):
        resolved(tmp_path, calibration(**settings))


def test_a_splitter_that_needs_arguments_is_given_as_an_instance(tmp_path) -> None:
    class Needs(ArgumentsSplitter):
        def __init__(self, what):
            super().__init__()

    with pytest.raises(
        ConfigurationError, match=r"Needs cannot be made without arguments .*give an instance"
    ):
        resolved(tmp_path, calibration(splitter=Needs))


def test_every_iteration_has_a_runner_of_its_own(tmp_path) -> None:
    given = ParallelRunner()
    make = resolved(tmp_path, calibration(runner=given)).runner
    assert make() is not make()
    assert make() is not given
    assert type(make()) is ParallelRunner
    assert type(resolved(tmp_path).runner()) is SequentialRunner


def test_files_known_to_hold_nothing_that_is_wanted_are_left_out(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    iovs = {"a.txt": IoV(1, 1, 1, 1), f"{tmp_path}/b.txt": IoV(1, 2, 1, 2)}
    cal = calibration(input_files=["*.txt"], files_to_iovs=iovs)
    files = resolved(tmp_path, cal, requested=IoV(1, 2, 1, -1)).collections[0].files
    assert (files.files, files.unwanted) == ((f"{tmp_path}/b.txt",), (f"{tmp_path}/a.txt",))


@pytest.mark.parametrize("key", ["data/../a.txt", "file:a.txt", "link.txt", "data/up/a.txt"])
def test_the_table_of_intervals_may_name_files_otherwise(tmp_path, monkeypatch, key) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "link.txt").symlink_to("a.txt")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    cal = calibration(input_files=["a.txt", "root://host//b.root"])
    cal.files_to_iovs = {key: (1, 1), "root://HOST:1094/b.root": (1, 2, 1, -1)}
    files = resolved(tmp_path, cal, requested=IoV(1, 2, 1, -1)).collections[0].files
    assert files.unwanted == (f"{tmp_path}/a.txt",)
    cal.add_collection("other", Collection(collect, ["file:a.txt", "root://host//b.root"]))
    assert resolved(tmp_path, cal, requested=IoV(1, 2, 1, -1)).collections[1].files.unwanted == files.unwanted
    cal.files_to_iovs = {"a.txt": (1, 1), "./a.txt": (1, 2)}
    with pytest.raises(ConfigurationError, match=r"two names; take one of them out"):
        resolved(tmp_path, cal, requested=IoV(1, 2, 1, -1))


def test_the_chain_is_searched_from_the_last_one_added(tmp_path) -> None:
    cal = calibration()
    cal.use_local_database(tmp_path / "first")
    cal.use_central_database("sqlite:////site/x.db", "tag 1")
    one = resolved(tmp_path, cal)
    assert one.chain == ("sqlite:////site/x.db?tag=tag 1", str(tmp_path / "first"))
    assert one.collections[0].chain == one.chain


def test_relative_databases_are_those_of_the_folder_in_which_they_were_given(tmp_path, monkeypatch) -> None:
    here = tmp_path / "with blank"
    (here / "later").mkdir(parents=True)
    monkeypatch.chdir(here)
    cal, own = (
        calibration(),
        [str(tmp_path / "a"), "local", "file:local%20two", "other:x", "sqlite:///y.db?tag=1"],
    )
    for url in ("sqlite:///x.db", "SQLite:///sub/x%20y.db?tag=2", "sqlite:///%2Fsite/x.db", "other:///x.db"):
        cal.use_central_database(url, None if "tag" in url else "1")
    monkeypatch.chdir("later")
    at = quote(str(here))
    assert resolved(tmp_path, cal).chain == (
        "other:///x.db?tag=1",
        "sqlite:///%2Fsite/x.db?tag=1",
        f"SQLite:///{at}/sub/x%20y.db?tag=2",
        f"sqlite:///{at}/x.db?tag=1",
    )
    monkeypatch.chdir(here)
    cal.database_chain = own
    (collection,) = resolved(tmp_path, cal).collections
    there = [f"{tmp_path}/a", f"{here}/local", f"{here}/local two", "other:x", f"sqlite:///{at}/y.db?tag=1"]
    assert collection.chain == tuple(reversed(there))
