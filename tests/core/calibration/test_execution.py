"""What is executed in processes of their own, called here in this one."""

import json
import sys

import cloudpickle
import pytest

from caf_core.calibration.algorithm import Algorithm, AlgorithmContext, Outcome
from caf_core.calibration.collected import TaskOutput, read_runs_file, write_index
from caf_core.calibration.convergence import Metric
from caf_core.calibration.execution import CollectKit, Doors, collect, dotted
from caf_core.calibration.journal import read_journal, read_payload
from caf_core.calibration.loaded_algorithm import AlgorithmKit
from caf_core.calibration.plan_task import execute_once
from caf_core.conditions.chain import Chain
from caf_core.conditions.codecs import BytesCodec, JsonCodec
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import AlgorithmError, ConfigurationError, PayloadError
from caf_core.iov import ExpRun, IoV

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DOORS = {"codecs": [dotted(BytesCodec), dotted(JsonCodec)], "openers": {}}


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """The working directory of an attempt."""
    folder = tmp_path / "attempt-1"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def collected(attempt, collector, *, files=None, selection=None, chain=(), params=None):
    """Execute a collector."""
    kit = attempt.parent / "collector.pickle"
    kit.write_bytes(CollectKit(collector, params or {}, "cal", "default").pack())
    collect(str(kit), selection or {}, 3, chain, DOORS, files or ())
    return read_runs_file(attempt / "runs.json").runs


def test_a_collector_sees_its_task(attempt, tmp_path) -> None:
    LocalDatabase(tmp_path / "db").store([(Payload("x", 5, IoV.always()), Provenance())])

    def collector(context):
        assert context.input_files == ("a", "b\n\udcff")
        assert context.params == {"cut": 1}
        assert (context.iteration, context.calibration, context.collection) == (3, "cal", "default")
        assert context.output_dir == attempt
        for run in (1, 2):
            context.put((1, run), entries=context.conditions.get("x", ExpRun(1, run)))

    chain = [str(tmp_path / "db")]
    selection = {"ignored": [[1, 2]], "requested": None}
    runs = collected(
        attempt, collector, files=["a", "b\n\udcff"], selection=selection, chain=chain, params={"cut": 1}
    )
    assert runs == {ExpRun(1, 1): 5}


def test_a_collector_may_need_no_files(attempt) -> None:
    assert collected(attempt, lambda context: context.put((1, 1), entries=len(context.input_files))) == {
        (1, 1): 0
    }


def executed(attempt, algorithm, *, runs=((1, 1), (1, 2)), iov="1,1,1,-1", **settings):
    """Execute an algorithm on two runs with 5 entries each; what it left."""
    kit, index = attempt.parent / "algorithm.pickle", attempt.parent / "index.json"
    kit.write_bytes(AlgorithmKit(Algorithm(algorithm, "fit", **settings), {"cut": 1}, None, "cal").pack())
    outputs = [TaskOutput("default", attempt, (), {ExpRun(*run): 5 for run in ((1, 1), (1, 2), (9, 9))}, ())]
    write_index(index, outputs)
    loaded = {"kit": str(kit), "index": str(index), "iteration": 2, "chain": [], "doors": DOORS}
    execute_once(loaded, "0/0", [list(run) for run in runs], iov)
    return read_journal(attempt).questions["0/0"].answer


def test_an_outcome_and_its_payloads_are_left(attempt) -> None:
    def fit(context):
        assert context.runs == ((1, 1), (1, 2))
        assert (context.iov, context.experiment, context.params["cut"]) == (IoV(1, 1, 1, -1), 1, 1)
        payloads = [Payload("a", [1, 2]), Payload("b", b"raw", IoV(2, 0, 2, -1))]
        return Outcome("iterate", payloads, {"shift": Metric(1, 2)}, "well")

    answer = executed(attempt, fit)
    assert {key: answer[key] for key in ("result", "message", "metrics", "entries")} == {
        "result": "iterate",
        "message": "well",
        "metrics": {"shift": [1.0, 2.0]},
        "entries": 10,
    }
    first, second = answer["payloads"]
    assert (first[0], first[2], first[4]) == ("a", "json", None)
    assert json.loads(read_payload(attempt, first)) == [1, 2]
    assert (read_payload(attempt, second), second[4]) == (b"raw", "2,0,2,-1")
    assert second[2] != "json"


@pytest.mark.parametrize("result", ["failure", "not_enough_data"])
def test_a_failure_leaves_no_payload(attempt, result) -> None:
    answer = executed(attempt, lambda context: Outcome(result, {"a": 1}))
    assert (answer["result"], answer["payloads"]) == (result, [])
    assert not (attempt / "payloads.pack").exists()


def test_an_endless_message_is_cut(attempt) -> None:
    assert len(executed(attempt, lambda context: Outcome("ok", message="x" * 10**6))["message"]) == 4000


@pytest.mark.parametrize(
    ("algorithm", "error", "words"),
    [
        (lambda context: 5, AlgorithmError, r"'fit' returned int; calibrate\(\) returns an Outcome"),
        (lambda context: Outcome("ok", {"a": object()}), PayloadError, "'a'"),
        (lambda context: context.data([(9, 9)]), ConfigurationError, "run 9,9 is not among the runs"),
        (
            lambda context: context.data(collection="x"),
            ConfigurationError,
            "no collection 'x'; there are: default",
        ),
    ],
)
def test_a_broken_contract_is_raised(attempt, algorithm, error, words) -> None:
    with pytest.raises(error, match=words):
        executed(attempt, algorithm)


def test_preparations_come_before_and_data_input_shapes_the_data(attempt) -> None:
    class Fit:
        log = ()

        def apply_experiment_settings(self, experiment):
            self.log = (*self.log, experiment)

        def calibrate(self, context: AlgorithmContext):
            return Outcome("ok", message=f"{self.log} {context.data([ExpRun(1, 1)])}")

    def pre(algorithm, context):
        algorithm.log = (*algorithm.log, str(context.iov))

    answer = executed(attempt, Fit(), pre_algorithm=pre, data_input=lambda data: f"{data.entries} entries")
    assert answer["message"] == "(1, '1,1,1,-1') 5 entries"
    assert answer["entries"] == 10


class Every:
    def calibrate(self, context):
        """Never called here."""


class Second(Every):
    def is_boundary_required(self, context, run):
        return run.run == 2


class Found(Every):
    def find_payload_boundaries(self, context, runs):
        return [tuple(runs[-1])]

    def is_boundary_required(self, context, run):
        raise AssertionError("the other way is asked first")


@pytest.mark.parametrize("algorithm", [Second(), Found()])
def test_boundaries_are_found_in_either_way(attempt, algorithm) -> None:
    assert executed(attempt, algorithm, iov="") == {"boundaries": [[1, 2]]}


def test_without_a_way_to_find_boundaries_that_is_said(attempt) -> None:
    with pytest.raises(AlgorithmError, match="neither find_payload_boundaries nor is_boundary_required"):
        executed(attempt, Every(), iov="")


def test_doors_open_databases_as_this_process_would(tmp_path) -> None:
    doors = Doors((dotted(JsonCodec),), {"mine": f"{__name__}:opened"})
    assert isinstance(doors.chain([]), Chain)
    LocalDatabase(tmp_path).store([(Payload("x", 5, IoV.always()), Provenance())])
    assert doors.chain([f"mine:{tmp_path}"]).get("x", ExpRun(1, 1)) == 5
    assert doors.open_codecs().by_suffix("json") is not None
    assert doors.open_codecs().by_suffix("npz") is None


def opened(url):
    """Opens ``mine:FOLDER``."""
    return LocalDatabase(url.partition(":")[2])
