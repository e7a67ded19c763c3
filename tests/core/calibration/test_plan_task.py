"""The task that carries a plan out: its journal, and algorithms that harm the process that executes them."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import cloudpickle
import pytest
from attrs import define

from caf_core.calibration.algorithm import Algorithm, Outcome
from caf_core.calibration.collected import TaskOutput, read_runs_file, write_index
from caf_core.calibration.collector import CollectorContext, RunSelection
from caf_core.calibration.execution import dotted
from caf_core.calibration.journal import JOURNAL_FILE, PACK_FILE, is_sound, read_journal, read_payload
from caf_core.calibration.loaded_algorithm import AlgorithmKit
from caf_core.conditions.chain import Chain
from caf_core.conditions.codecs import BUILTIN_CODECS, BytesCodec, JsonCodec, NpzCodec
from caf_core.errors import ConfigurationError
from caf_core.iov import ExpRun
from caf_strategies import SequentialRunByRun, SimpleRunByRun

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DOORS = {"codecs": [dotted(BytesCodec), dotted(NpzCodec), dotted(JsonCodec)], "openers": {}}
RUNS = 5


@define
class Bench:
    """Collected data of five runs, and tasks that calibrate them.

    Args:
        folder: Where everything lies.
    """

    folder: Path

    def __attrs_post_init__(self) -> None:
        output = self.folder / "collected"
        output.mkdir()
        context = CollectorContext((), RunSelection(), Chain([]), {}, 0, output, "cal", "default")
        for run in range(1, RUNS + 1):
            context.put((1, run), [float(run), 2.0 * run], entries=1)
        context.finish()
        found = read_runs_file(output / "runs.json")
        outputs = [TaskOutput("default", output, (), found.runs, found.chunks)]
        write_index(self.folder / "index.json", outputs)

    def task(self, fit, attempt=1, *, strategy=None, earlier=(), parts=None, **settings):
        """Carry the plan out, as another attempt; returns its folder and the process."""
        kit = self.folder / "kit.pickle"
        strategy = strategy or SimpleRunByRun()
        kit.write_bytes(AlgorithmKit(Algorithm(fit, "fit", **settings), {}, strategy, "cal").pack())
        here = self.folder / f"attempt-{attempt}"
        here.mkdir()
        algorithm = {"kit": str(kit), "index": str(self.folder / "index.json"), "iteration": 0, "chain": []}
        arguments = {"algorithm": {**algorithm, "doors": DOORS}, "path": "0", "parts": parts}
        arguments["earlier"] = list(map(str, earlier))
        call = {"entry": "caf_core.calibration.plan_task:carry_out_plan", "arguments": arguments}
        (here / "call.json").write_text(json.dumps(call))
        with (here / "stderr").open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "caf_core.jobs.call", "call.json"],
                cwd=here,
                stdout=log,
                stderr=log,
                timeout=60,
                env={**os.environ, "CALLS": str(self.folder / "calls")},
            )
        return here, done.returncode

    @property
    def calls(self) -> Counter[str]:
        """How often the algorithm was called for each run."""
        path = self.folder / "calls"
        return Counter(path.read_text().split() if path.exists() else ())


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def note(context) -> None:
    """Note that an execution has begun."""
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write(f"{context.runs[0].run}\n")


def mean(context):
    note(context)
    values = context.data().merged()
    print(f"run {context.runs[0].run}")
    return Outcome("ok", {"mean": sum(values) / len(values)}, message=f"{len(values)} values")


def constants(folder: Path) -> dict[tuple[ExpRun, ...], list[bytes]]:
    """The payloads of a journal, by runs."""
    found = {}
    for one in read_journal(folder).questions.values():
        if one.answer is not None and one.answer.get("payloads"):
            assert is_sound(folder, one.answer, BUILTIN_CODECS)
            found[one.runs] = [read_payload(folder, row) for row in one.answer["payloads"]]
    return found


def results(folder: Path) -> list[str]:
    """What came of each question, in order."""
    return [one.answer["result"] for one in read_journal(folder).questions.values() if one.answer]


ALL = {(ExpRun(1, run),): [b"%.1f\n" % (1.5 * run)] for run in range(1, RUNS + 1)}


def test_a_journal_has_everything_in_its_order(bench) -> None:
    here, code = bench.task(mean)
    assert code == 0
    assert constants(here) == ALL
    rows = [json.loads(line) for line in (here / JOURNAL_FILE).read_text().splitlines()]
    assert [next(iter(row)) for row in rows] == ["begun", "answered", "commit"] * RUNS + ["verdict"]
    assert rows[1]["answer"]["entries"] == 1
    log = (here / "stderr").read_bytes()
    third = read_journal(here).questions["0/0.2/0"]
    assert log[slice(*third.log)] == b"run 3\n"
    assert sorted(path.name for path in here.iterdir()) == ["call.json", JOURNAL_FILE, PACK_FILE, "stderr"]


def test_every_beginning_of_a_journal_is_worth_what_it_says(bench) -> None:
    here, _ = bench.task(mean)
    whole = (here / JOURNAL_FILE).read_bytes()
    complete = read_journal(here).questions
    for size in range(len(whole)):
        (here / JOURNAL_FILE).write_bytes(whole[:size])
        read = read_journal(here)
        assert not read.ended
        assert list(read.questions) == list(complete)[: len(read.questions)]
        for key, one in read.questions.items():
            assert one.answer in (None, complete[key].answer)


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.55, 0.95, 1.0])
def test_an_attempt_goes_on_where_another_one_was_cut_off(bench, cut) -> None:
    here, _ = bench.task(mean)
    whole = (here / JOURNAL_FILE).read_bytes()
    (here / JOURNAL_FILE).write_bytes(whole[: int(cut * len(whole))])
    left = sum(one.answer is not None for one in read_journal(here).questions.values())
    again, code = bench.task(mean, 2)
    assert code == 0
    assert constants(again) == ALL
    assert bench.calls.total() == RUNS + (RUNS - left)


@pytest.mark.parametrize("damage", ["gone", "torn", "changed"])
def test_what_lost_its_payloads_is_executed_again(bench, damage) -> None:
    here, _ = bench.task(mean)
    pack = here / PACK_FILE
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    if damage == "gone":
        pack.unlink()
    else:
        pack.write_bytes(data[:-1] if damage == "torn" else data)
    again, _ = bench.task(mean, 2)
    assert constants(again) == ALL
    assert bench.calls.total() == (2 * RUNS if damage == "gone" else RUNS + 1)


def test_parts_of_a_plan_are_carried_out_by_several_tasks(bench) -> None:
    first, _ = bench.task(mean, 1, parts=[0, 1, 2])
    assert len(constants(first)) == 3
    second, _ = bench.task(mean, 2, parts=[3, 4], earlier=[])
    assert {**constants(first), **constants(second)} == ALL
    whole, _ = bench.task(mean, 3)
    assert constants(whole) == ALL
    assert bench.calls.total() == RUNS


def fails_on_third(context):
    note(context)
    if context.runs[0].run == 3:
        raise ValueError("no tracks")
    return Outcome("ok", {"x": 1})


def test_a_new_start_executes_failures_again_and_another_attempt_does_not(bench) -> None:
    first, _ = bench.task(fails_on_third)
    assert results(first) == ["ok", "ok", "failure", "ok", "ok"]
    bench.task(fails_on_third, 2)
    assert bench.calls["3"] == 1
    other = bench.folder / "other"
    other.mkdir()
    bench.folder.joinpath("attempt-1").rename(other / "attempt-1")
    bench.folder.joinpath("attempt-2").rename(other / "attempt-2")
    bench.task(fails_on_third, 3, earlier=[other / "attempt-1"])
    assert bench.calls == {"1": 1, "2": 1, "3": 2, "4": 1, "5": 1}


DEATHS = {
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "leaves": ("os._exit(7)", "exit code 7"),
    "leaves as if all were well": ("os._exit(0)", "without returning"),
    "aborts": ("os.abort()", "SIGABRT"),
}


def harmful(code):
    """An algorithm that does something on run 3."""

    def fit(context):
        note(context)
        if context.runs[0].run == 3:
            exec(code)
        return mean_of(context)

    return fit


def mean_of(context):
    values = context.data().merged()
    return Outcome("ok", {"mean": sum(values) / len(values)})


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("death", DEATHS)
def test_a_death_counts_against_its_request_alone(bench, death, isolate) -> None:
    code, words = DEATHS[death]
    here, ended = bench.task(harmful(f"Path('left.txt').touch(); {code}"), isolate=isolate)
    assert ended == 0
    assert [str(path.relative_to(here)) for path in here.rglob("left.txt")] == ["executions/0_0.2_0/left.txt"]
    assert results(here) == ["ok", "ok", "failure", "ok", "ok"]
    third = read_journal(here).questions["0/0.2/0"]
    assert words in third.answer["message"]
    assert len(third.deaths) == 2
    assert bench.calls == {"1": 1, "2": 1, "3": 2, "4": 1, "5": 1}
    assert {runs: data for runs, data in ALL.items() if runs[0].run != 3} == constants(here)


def test_a_death_is_counted_once_however_many_attempts_follow(bench) -> None:
    code = "import signal; n = Path(os.environ['CALLS']).read_text().split().count('3')"
    code += "; os.abort() if n == 1 else os.kill(os.getpid(), signal.SIGKILL) if n < 4 else None"
    for attempt in (1, 2, 3):
        bench.task(harmful(code), attempt)
    here, ended = bench.task(harmful(code), 4)
    assert ended == 0
    assert results(here) == ["ok"] * RUNS


def test_what_a_dead_execution_started_ends_with_it(bench) -> None:
    def fit(context):
        note(context)
        pid = Path(os.environ["CALLS"]).with_name("pid")
        if context.runs[0].run == 3:
            pid.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
            os.abort()
        if context.runs[0].run == 4:
            os.kill(int(pid.read_text()), 0)
        return Outcome("ok")

    here, _ = bench.task(fit)
    assert results(here) == ["ok", "ok", "failure", "failure", "ok"]
    assert "ProcessLookupError" in read_journal(here).questions["0/0.3/0"].answer["message"]


def test_what_goes_wrong_beside_the_algorithm_is_said(bench) -> None:
    """The folder of what executions leave cannot be made."""
    here, _ = bench.task(harmful("Path('../executions').touch(); Path('x').touch()"))
    assert results(here) == ["ok", "ok", "failure", "ok", "ok"]
    message = read_journal(here).questions["0/0.2/0"].answer["message"]
    assert "File exists" in message
    assert "executions" in message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"isolate": "no"}, "isolate is 'no'; it can be True or False"),
        ({"execution_walltime": 5}, "execution_walltime is 5; it is a time such as"),
        ({"execution_walltime": timedelta(0)}, "execution_walltime is datetime.timedelta"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(settings, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Algorithm(mean, **settings)


def test_an_execution_has_a_time_limit_of_its_own(bench) -> None:
    sleeps = harmful("import time; print('asleep', flush=True); time.sleep(60)")
    here, _ = bench.task(sleeps, execution_walltime=timedelta(seconds=0.3))
    assert results(here) == ["ok", "ok", "failure", "ok", "ok"]
    message = read_journal(here).questions["0/0.2/0"].answer["message"]
    assert "time limit of 0.3 s" in message
    assert message.endswith("asleep")


def test_whoever_is_killed_from_outside_is_not_to_blame(bench) -> None:
    """The task ends as its process did, and what watches over it decides; nothing is counted."""
    here, code = bench.task(harmful("import signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert code == -9
    assert results(here) == ["ok", "ok"]
    assert read_journal(here).questions["0/0.2/0"].deaths == []
    again, code = bench.task(mean, 2)
    assert code == 0
    assert constants(again) == ALL
    assert bench.calls["1"] == 1


HARMS = [
    "os.chdir('/')",
    "os.environ['CALLS'] = '/dev/null'",
    "os.environ = {'CALLS': '/dev/null'}",
    "os.rmdir(os.getcwd())",
    "sys.path.clear()",
    "import random; random.seed(5)",
    "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
    "os.fork()",
    "print('x' * 10**7)",
    "context.data().merged().clear()",
    "context.params['cut'] = 7",
    "Path('plot.txt').write_text('a plot')",
]


@pytest.mark.parametrize("harm", HARMS)
def test_what_an_execution_does_to_its_process_reaches_no_other(bench, harm) -> None:
    def fit(context):
        import random

        note(context)
        run = context.runs[0].run
        seen = [
            random.random(),
            sorted(path.name for path in Path().iterdir()),
            context.params.get("cut"),
            context.data().merged(),
        ]
        if run == 3 and not seen[1]:
            exec(harm, {**globals(), "context": context})
        return Outcome("ok", {"seen": seen})

    here, code = bench.task(fit)
    assert code == 0
    assert bench.calls == dict.fromkeys("12345", 1)
    isolated = bench.folder / "isolated"
    isolated.mkdir()
    here = here.rename(isolated / "attempt-1")
    alone, _ = bench.task(fit, 2, isolate=True)
    assert constants(here) == constants(alone)


def test_files_lie_in_a_folder_of_their_execution(bench) -> None:
    def fit(context):
        run = context.runs[0].run
        if run == 2:
            Path("plot.txt").write_text("relative")
        if run == 4:
            Path("first.txt").write_text("before")
            (context.directory / "second.txt").write_text("after")
            Path("third.txt").write_text("relative again")
        return Outcome("ok", {"there": sorted(path.name for path in Path().iterdir())})

    here, _ = bench.task(fit)
    left = sorted(str(path.relative_to(here / "executions")) for path in (here / "executions").rglob("*.txt"))
    assert left == [
        "0_0.1_0/plot.txt",
        "0_0.3_0/first.txt",
        "0_0.3_0/second.txt",
        "0_0.3_0/third.txt",
    ]
    assert not (here / "work").exists()


def test_sequences_merge_and_a_part_that_fails_ends_the_plan(bench) -> None:
    def picky(context):
        note(context)
        values = context.data().merged()
        return Outcome("ok" if len(values) >= 4 else "not_enough_data", {"sum": sum(values)})

    here, _ = bench.task(picky, strategy=SequentialRunByRun())
    committed = [json.loads(line) for line in (here / JOURNAL_FILE).read_text().splitlines()]
    assert [row["iov"] for row in committed if "commit" in row] == ["1,1,1,2", "1,3,1,5"]
