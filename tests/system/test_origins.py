"""Whole runs: what is kept of where constants came from."""

import sys

import cloudpickle

from caf_core import CAF, Algorithm, Calibration, ExpRun, IoV, Outcome
from caf_core.conditions.local import LocalDatabase
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def collect(context):
    """Every file has a run of its own."""
    for name in context.input_files:
        run = (1, int(name[-5]))
        shift = context.conditions.get("first", ExpRun(*run), 0)
        context.put(run, [float(run[1]) * context.params["k"] + shift], entries=1)


def fit(context):
    """Takes the mean in two iterations."""
    offset = context.conditions.get("offset", context.runs[0], 0)
    data = context.data().merged()
    result = "iterate" if context.iteration == 0 else "ok"
    return Outcome(result, {context.params["name"]: sum(data) / len(data) + offset})


def calibration(folder, name, **params):
    found = Calibration(name, collect, [Algorithm(fit, params={"name": name, **params})])
    found.collections["default"].input_files = [str(folder / "run_*.txt")]
    found.collections["default"].max_files_per_collector_job = 2
    found.collections["default"].params = {"k": 2}
    found.strategies = "SequentialRunByRun"
    return found


def origins(folder):
    database = LocalDatabase(folder / "outputdb")
    return [(entry, database.provenance(entry)) for entry in sorted(database.entries(), key=lambda e: e.iov)]


def test_every_payload_tells_what_it_was_made_from(tmp_path) -> None:
    for run in (1, 2, 3):
        (tmp_path / f"run_{run}.txt").touch()
    LocalDatabase(tmp_path / "old").store([(Payload("offset", 1, IoV.always()), Provenance())])
    first, second = calibration(tmp_path, "first"), calibration(tmp_path, "second")
    second.depends_on(first)
    second.use_local_database(tmp_path / "old")
    caf = CAF(tmp_path / "out")
    caf.add_calibration(first)
    caf.add_calibration(second)
    caf.run()
    here = origins(tmp_path / "out" / "second")
    assert [origin.inputs["tasks"] for _, origin in here] == [{"default": n} for n in ("0", "0", "1")]
    names = [[str(tmp_path / f"run_{run}.txt") for run in runs] for runs in ((1, 2), (1, 2), (3,))]
    assert [list(origin.files) for _, origin in here] == names
    others = {str(entry.iov): entry.revision for entry, _ in origins(tmp_path / "out" / "first")}
    (offset,) = LocalDatabase(tmp_path / "old").entries()
    _, origin = here[2]
    assert origin.collected_constants == (("first/outputdb", "first", others["1,3,1,3"]),)
    assert origin.inputs["constants"] == [[str(tmp_path / "old"), "offset", offset.revision]]
    seen = [name for name, _ in origin.inputs["databases"]["algorithm"]]
    assert seen == ["second/0/algorithm_output/outputdb", "first/outputdb", str(tmp_path / "old")]
    assert origin.inputs["databases"]["collectors"].keys() == {"default"}
    assert origin.parameters["collectors"] == {"default": {"k": 2}}
    assert origin.parameters["algorithm"] == {"name": "second"}
    assert origin.parameters["strategy"]["name"] == "SequentialRunByRun"
    assert {"python", "caf-core", "caf-strategies"} <= origin.notes["software"].keys()
    # One code, whatever it is given: runs, parameters, iterations, calibrations.
    everywhere = [*here, *origins(tmp_path / "out" / "first"), *origins(tmp_path / "out")]
    assert len({origin.code_version for _, origin in everywhere}) == 1
    assert len({origin.inputs["collectors"]["default"] for _, origin in everywhere}) == 1
