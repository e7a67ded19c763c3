"""Algorithms on a batch system, a fake one: their plans are tasks there like any other."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from caf_core.testing.bench import wait_until

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""
SCRIPT = """
import os, time
from datetime import timedelta
from pathlib import Path
from caf_core import CAF, Algorithm, Calibration, Outcome, Resources

HERE = Path(__file__).parent


def note(name, text):
    with open(HERE / name, "a") as file:
        file.write(f"{text}\\n")


def wait(name):
    note("waits", f"{name} {os.getpid()}")
    while not (HERE / f"go on {name}").exists():
        time.sleep(0.05)


def collect(context):
    note("counts", "collected")
    if Path("COLLECTOR").name == "waits":
        wait("collector")
    for run in range(1, 7):
        context.put((1, run), [run], entries=1)


def fit(context):
    (run,) = context.data().merged()
    note("counts", run)
    if run == 4 and Path("ALGORITHM").name == "waits":
        wait("algorithm")
    return Outcome("ok", {"x": 10 * run})


def whole(context):
    return Outcome("ok", {"sum": sum(context.conditions.get("x", run) for run in context.runs)})


needs = Resources(memory_mb=300, walltime=timedelta(minutes=10))
algorithms = [Algorithm(fit, "fit", strategy="SimpleRunByRun", resources=needs), Algorithm(whole, "whole")]
cal = Calibration("cal", collect, algorithms, [HERE / "input"])
cal.runner = "RUNNER"
caf = CAF(HERE / "out")
caf.add_calibration(cal)
caf.run()
"""


@pytest.fixture
def site(make_site):
    """A folder where the backend ``tiny`` has the algorithms, and a scheduler for it."""
    tiny = {"tiny": "fakes.tiny_backend:TinyBackend"}
    with make_site(tiny, {}, folder="my work", poll_interval=0.25, slots=3, kill_wait=1) as cluster:
        config = Path("caf.toml").read_text()
        config = config.replace('backend = "tiny"', 'backend = "local"\nalgorithm_backend = "tiny"')
        config = config.replace("grace = 60", "grace = 1")
        Path("caf.toml").write_text(f"{config}[resources]\nmemory_mb = 111\n")
        Path("input").touch()
        yield cluster


@pytest.fixture
def start(started):
    """Start ``caf run`` of the script."""

    def begin(*options, collector="", algorithm="", runner="sequential"):
        text = SCRIPT.replace("COLLECTOR", collector).replace("ALGORITHM", algorithm)
        Path("script.py").write_text(text.replace("RUNNER", runner))
        return started("run", *options, "script.py")

    return begin


def finish(process):
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said
    return said


def counts():
    return Counter(Path("counts").read_text().split())


def wait_for(name):
    """Until a part of the script waits; the number of its process."""

    def found():
        return Path("waits").exists() and name in Path("waits").read_text()

    wait_until(found, LIMIT, f"the {name} waits")
    return int(Path("waits").read_text().split()[-1])


def payloads():
    files = Path("out/outputdb").iterdir()
    return {path.name: path.read_bytes() for path in files if "provenance" not in path.name}


def asked(site, *options):
    """What jobs asked for: options of ``tsub`` by job."""
    calls = site.calls("tsub")
    return [[call[call.index(one) + 1] if one in call else None for one in options] for call in calls]


ONCE = Counter({"collected": 1, **{str(run): 1 for run in range(1, 7)}})


@pytest.mark.parametrize(("runner", "size"), [("sequential", None), ("parallel", "6")])
def test_a_plan_is_a_job_with_its_resources_and_gives_the_payloads_of_here(site, start, runner, size):
    finish(start("--algorithm-backend", "local", "-o", "here", runner=runner))
    Path("out").symlink_to("here")
    here = payloads()
    Path("out").unlink()
    Path("counts").unlink()
    finish(start(runner=runner))
    assert payloads() == here and len(here) > 2
    assert counts() == ONCE
    # What an algorithm leaves open, the site says; several tasks are one submission.
    assert asked(site, "-m", "-w", "-a") == [["300", "630.0", size], ["111", None, None]]


def test_a_killed_controller_finds_its_plan_whatever_is_wanted_then(site, start, run_caf):
    process = start(algorithm="waits")
    wait_for("algorithm")
    process.kill()
    process.wait()
    assert '"ok": 3' in run_caf("status", "-p", "out", "--json").stdout
    again = start("--algorithm-backend", "local", algorithm="waits")
    Path("go on algorithm").touch()
    said = finish(again)
    assert "the tasks of 'fit' go on at tiny, where an earlier start submitted them" in said
    assert counts() == ONCE
    assert len(site.calls("tsub")) == 1  # the second algorithm began where it is wanted now


def test_ctrl_c_leaves_a_plan_there_and_cancel_ends_it(site, start, run_caf):
    process = start(algorithm="waits")
    wait_for("algorithm")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "1 task at tiny goes on; to end that: caf cancel" in said
    done = run_caf("cancel", "-p", "out")
    assert (done.returncode, "cal: ended 1 task at tiny" in done.stdout) == (0, True), done.stderr
    wait_until(lambda: not site.jobs(state="running"), LIMIT, "it has ended")
    Path("go on algorithm").touch()
    finish(start(algorithm="waits"))
    assert counts() == ONCE + Counter("4")


def test_status_tells_why_a_plan_waits(site, start, run_caf):
    site.set(slots=0)
    process = start()
    wait_until(lambda: site.jobs(state="pending"), LIMIT, "the plan is submitted")
    (job,) = site.jobs(state="pending")
    site.hold(job, "held by the operator")
    wait_until(
        lambda: "held by the operator" in run_caf("status", "-p", "out").stdout, LIMIT, "the reason is told"
    )
    site.release(job)
    site.set(slots=1)
    finish(process)
    assert counts() == ONCE


@pytest.mark.parametrize(
    ("disturb", "memory"), [("crash", ["300", "300"]), ("requeue", ["300"]), ("exhaust", ["300", "451"])]
)
def test_a_job_that_is_disturbed_goes_on_from_its_journal(site, start, run_caf, disturb, memory):
    process = start(algorithm="waits")
    wait_for("algorithm")
    (job,) = site.jobs(state="running")
    getattr(site, disturb)(job)
    Path("go on algorithm").touch()
    finish(process)
    assert counts() == ONCE + Counter("4")
    assert [one for (one,) in asked(site, "-m")] == [*memory, "111"]
    case = json.loads(run_caf("why", "-p", "out", "--json", "cal", "fit/0_0.3_0").stdout)["cases"][0]
    assert case["answer"]["result"] == "ok"


def test_collectors_are_followed_where_they_were_submitted_too(site, start):
    process = start("-b", "tiny", "--algorithm-backend", "local", collector="waits")
    wait_for("collector")
    process.kill()
    process.wait()
    again = start("-b", "local", "--algorithm-backend", "local", collector="waits")
    Path("go on collector").touch()
    assert "the tasks of 'default' go on at tiny" in finish(again)
    assert counts() == ONCE
    assert len(site.calls("tsub")) == 1


def test_what_went_wrong_at_one_backend_is_tried_again_at_the_other(site, start):
    process = start("-b", "tiny", "--algorithm-backend", "local", collector="waits")
    pid = wait_for("collector")
    os.kill(pid, signal.SIGSEGV)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, said
    Path("go on collector").touch()
    finish(start("-b", "local", "--algorithm-backend", "local", collector="waits"))
    assert counts() == ONCE + Counter(["collected"])
    assert len(site.calls("tsub")) == 1


def test_an_unknown_backend_of_algorithms_starts_nothing(site, start):
    process = start("--algorithm-backend", "tinny")
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert "calibration 'cal': algorithm_backend:" in said and "tiny" in said
    assert not Path("out").exists()
