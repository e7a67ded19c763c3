"""Without a shared file system: what travels, what happens there, and how it comes home."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from caf_core.errors import ConfigurationError, SubmissionError
from caf_core.jobs.backend import Report, SchedulerState
from caf_core.jobs.files import fold_submission
from caf_core.jobs.task import Call, TaskSpec
from caf_core.testing.bench import HOSTILE, shell, submission
from caf_htcondor import HTCondor
from caf_htcondor.follow import LOG, Followed
from caf_htcondor.transfer import BACK, Courier, bring_home, shape_of_transfer

ENDED, UNKNOWN = SchedulerState.ENDED, SchedulerState.UNKNOWN


class Site:
    """A site that carries files as HTCondor does: flat, by their names in the list."""

    def __init__(self, place: Path):
        self.place = place

    def execute(self, one, position):
        shape = shape_of_transfer(one, None)
        named = dict(line.split(" = ", 1) for line in shape.lines)
        names = (one.directory / "travel" / "queue.txt").read_text().splitlines()[position]
        scratch = self.place / f"dir_{position}"
        scratch.mkdir(parents=True)
        for name in named["transfer_input_files"].replace("$(caf_files)", names).split(", "):
            source = one.directory / BACK / name
            shutil.copy2(source, scratch / source.name)
        script = shape.script.replace("$(Process)", str(position)).replace("$(Cluster)", "7")
        done = subprocess.run(["/bin/sh", "-c", script], cwd=scratch, env={}, timeout=60)
        shutil.move(scratch / str(position), one.directory / BACK / str(position))
        return done.returncode


@pytest.fixture
def away(tmp_path):
    return Site(tmp_path / "away")


def written(tmp_path, *tasks):
    return submission(tmp_path / "job", tasks, HTCondor())


def record(one, position):
    return json.loads((one.directory / "records" / f"{position}.json").read_text())


def test_a_task_is_executed_from_what_travelled(tmp_path, away):
    folder = tmp_path / HOSTILE
    (folder / "tools" / "sub").mkdir(parents=True)
    data, tool = folder / "data", folder / "tools" / "sub" / "tool"
    data.write_text("content")
    tool.write_text("#!/bin/sh\necho tool")
    tool.chmod(0o755)
    task = TaskSpec(
        folder / "out",
        argv=(
            "/bin/sh",
            "-c",
            'tools/sub/tool; cat "$1"; cat input_files.json >&2; pwd > made',
            "sh",
            str(data),
        ),
        input_files=(str(data), "root://host//file"),
        sandbox=(folder / "tools",),
        output_patterns=("made",),
    )
    one = written(tmp_path, shell(tmp_path / "other", "true"), task)
    assert away.execute(one, 1) == 0
    assert bring_home(one.directory, 1)
    assert bring_home(one.directory, 1)
    found = record(one, 1)
    assert (found["position"], found["scheduler_id"], found["outputs"]) == (1, "7.1", ["made"])
    attempt = folder / "out" / "attempt-1"
    assert (attempt / "made").read_text() == f"{tmp_path / 'away' / 'dir_1' / '1' / 'attempt-1'}\n"
    assert (attempt / "stdout").read_text() == "tool\ncontent"
    local, uri = json.loads((attempt / "stderr").read_text())
    assert local == f"{tmp_path / 'away' / 'dir_1' / 'in' / '1' / 'data'}"
    assert uri == "root://host//file"
    assert not list((one.directory / BACK).iterdir())
    assert not list(tmp_path.rglob("injected"))


def test_a_call_finds_its_files_and_its_conditions(tmp_path, away):
    database = tmp_path / "with space" / "database"
    database.mkdir(parents=True)
    (database / "database.txt").write_text("")
    (database / "payload.json").write_text("1")
    kit = tmp_path / "kit.pickle"
    kit.write_text("kit")
    large = tmp_path / "large"
    large.mkdir()
    conditions = tmp_path / "conditions.json"
    conditions.write_text(
        json.dumps(
            {"databases": [database.as_uri()], "file": str(database / "payload.json"), "no": str(large)}
        )
    )
    arguments = {"kit": str(kit), "chain": [database.as_uri()], "other": str(large), "number": 1}
    call = Call("os:mkdir", {"path": "x"})
    one = written(
        tmp_path,
        TaskSpec(
            tmp_path / "out", call=call, sandbox=(conditions,), json_files={"arguments.json": arguments}
        ),
    )
    assert away.execute(one, 0) == 0
    assert bring_home(one.directory, 0)
    assert record(one, 0)["exit_code"] == 0, (tmp_path / "out" / "attempt-1" / "stderr").read_text()
    attempt = tmp_path / "out" / "attempt-1"
    assert (attempt / "x").is_dir()
    there = str(tmp_path / "away" / "dir_0" / "in")
    moved = json.loads((attempt / "arguments.json").read_text())
    assert moved["kit"].startswith(there)
    assert Path(moved["kit"]).read_text() == "kit"
    assert moved["chain"][0].startswith(f"file://{there}")
    assert (moved["other"], moved["number"]) == (str(large), 1)  # a folder of which nobody knows how large
    inside = json.loads((attempt / "conditions.json").read_text())
    assert inside["databases"] == moved["chain"]
    assert Path(inside["file"]).read_text() == "1"
    assert inside["file"].startswith(there)


def test_failures_come_home_too(tmp_path, away):
    one = written(tmp_path, shell(tmp_path / "out", "echo why >&2; exit 3"))
    away.execute(one, 0)
    assert bring_home(one.directory, 0)
    assert record(one, 0)["exit_code"] == 3
    assert (tmp_path / "out" / "attempt-1" / "stderr").read_text() == "why\n"


def test_a_copy_that_comes_home_late_replaces_nothing(tmp_path, away):
    one = written(tmp_path, shell(tmp_path / "out", "date +%N"))
    away.execute(one, 0)
    assert bring_home(one.directory, 0)
    printed = (tmp_path / "out" / "attempt-1" / "stdout").read_text()
    fold_submission(one.directory)
    Site(tmp_path / "late").execute(one, 0)
    assert bring_home(one.directory, 0)
    assert (tmp_path / "out" / "attempt-1" / "stdout").read_text() == printed


def test_what_is_shared_travels_once(tmp_path):
    data = tmp_path / "data"
    data.write_text("x")
    tasks = [TaskSpec(tmp_path / str(i), argv=("true",), input_files=(str(data),)) for i in range(250)]
    one = written(tmp_path, *tasks)
    shape_of_transfer(one, None)
    files = sorted(path.name for path in (one.directory / "travel").iterdir())
    assert files == ["detached.sh", "f0", "lines-0.jsonl", "lines-1.jsonl", "lines-2.jsonl", "queue.txt"]
    assert (one.directory / "travel" / "queue.txt").read_text().splitlines()[249] == (
        "../travel/lines-2.jsonl, ../travel/f0"
    )


def test_what_is_not_there_cannot_travel(tmp_path):
    one = written(tmp_path, TaskSpec(tmp_path / "out", argv=("true",), input_files=("/no/such/file",)))
    with pytest.raises(ConfigurationError, match="/no/such/file shall travel"):
        shape_of_transfer(one, None)
    backend = HTCondor(backend_args={"transfer": True})
    with pytest.raises(SubmissionError, match="/no/such/file shall travel") as refusal:
        backend.start(
            submission(
                tmp_path / "again", [shell(tmp_path / "x", "true", sandbox=(Path("/no/such/file"),))], backend
            )
        )
    assert not refusal.value.transient


# Coming home


@pytest.fixture
def one(tmp_path):
    one = written(tmp_path, *(shell(tmp_path / str(i), "true") for i in range(2)))
    (one.directory / BACK).mkdir()
    return one


@pytest.fixture
def followed(one):
    followed = Followed()
    followed.expect(7, one.directory / LOG, ["7.0", "7.1"], 0.0)
    return followed


def returned(one, position):
    folder = one.directory / BACK / str(position)
    (folder / "attempt-1").mkdir(parents=True)
    (folder / "attempt-1" / "made").write_text("new")
    (folder / "record.json").write_text('{"attempt": 1}')


def test_only_what_has_ended_comes_home(one, followed, tmp_path):
    returned(one, 0)
    returned(one, 1)
    told = {"7.0": Report(ENDED, exit_code=0), "7.1": Report(SchedulerState.RUNNING)}
    assert Courier().home(told, followed) == told
    assert [path.name for path in (one.directory / "records").iterdir()] == ["0.json"]
    assert (tmp_path / "0" / "attempt-1" / "made").read_text() == "new"


def test_an_older_execution_of_the_attempt_gives_way(one, followed, tmp_path):
    (tmp_path / "0" / "attempt-1" / "old").mkdir(parents=True)
    returned(one, 0)
    Courier().home({"7.0": Report(ENDED)}, followed)
    assert [path.name for path in (tmp_path / "0" / "attempt-1").iterdir()] == ["made"]


def test_what_cannot_be_put_in_place_has_not_ended(one, followed, tmp_path):
    (tmp_path / "0").write_text("in the way")
    returned(one, 0)
    (report,) = Courier().home({"7.0": Report(ENDED)}, followed).values()
    assert report.state is UNKNOWN
    assert "cannot be moved to its place" in report.reason
    (tmp_path / "0").unlink()
    assert Courier().home({"7.0": Report(ENDED)}, followed)["7.0"].state is ENDED


def test_a_node_without_python_is_named(followed):
    (report,) = Courier().home({"7.0": Report(ENDED, exit_code=127, host="node7")}, followed).values()
    assert report.reason == "no Python 3.9 or later was found on node7"
    assert report.failure == "submission"
