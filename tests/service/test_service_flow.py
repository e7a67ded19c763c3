"""A calibration from its creation to its result."""

import io
import json
import zipfile

from service.bench import ROOT, Bench


def test_a_calibration_goes_through_its_plan(bench: Bench) -> None:
    calibration = bench.create(files={"offset": {"text": "0.1"}}, name="first try")
    workers = bench.workers(calibration)
    inputs = workers[1].get("/worker/inputs")
    assert inputs["share"]["muon"] == [
        {"file": f"{ROOT}/muon1", "first": 0, "count": None},
        {"file": f"{ROOT}/muon3", "first": 0, "count": None},
    ]
    assert inputs["reference"] == "service.scale_plan:PLAN"
    assert workers[0].http.get("/worker/files/offset").text == "0.1"
    told = bench.finish(calibration, workers)
    assert (told["state"], told["message"], told["name"]) == ("finished", "", "first try")
    assert [one["phase"] for one in told["steps"]] == ["coarse"] * 3 + ["fine"] * 3 + ["last"]
    assert all(one["used"] == 2 and one["missing"] == [] for one in told["steps"])
    assert told["steps"][0]["metrics"] == {"pull": 0.2}

    answer = bench.ada.http.get(f"/calibrations/{calibration}/result")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert abs(json.loads(archive.read("scale.json")) - 1.0) < 0.01
    assert {"pictures/fit.txt", "parameters.json", "steps.json", "steps/1/record.txt"} <= {
        *archive.namelist()
    }
    history = json.loads(archive.read("parameters.json"))["history"]
    assert history[0] == [1, [0, 1], {}]
    assert history[-2] == [6, [0, 1], {"coarse": [0, 1]}]
    assert history[-1] == [7, [0, 1], {}]
