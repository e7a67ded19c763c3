"""One task: its folder, its environment, its record, and the end of everything that it started."""

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PYTHON = [sys.executable, "-S", "-P", "-c"]

DETACHED = """
import os, sys
path = sys.argv[1]
kind = sys.argv[2]
if os.fork():
    {after}
if kind != "child":
    os.setsid()
    if os.fork():
        os._exit(0)
if kind == "hidden":
    pid = os.fork()
    if pid == 0:
        os.execve(sys.executable, ["ordinary name", "-S", "-c",
            "import signal,time,sys\\nsignal.signal(15, signal.SIG_IGN)\\n"
            "import os\\nopen(sys.argv[1],'w').write(f'{{os.getpid()}}\\\\n')\\nsignal.pause()", path], {{}})
    os._exit(0)
import signal
import subprocess
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
open(path, "w").write(f"{{os.getpid()}}\\n")
signal.pause()
"""


def test_the_record_says_what_happened(house) -> None:
    record, attempt = house.execute(
        argv=["sh", "-c", "echo out; echo err >&2; echo x > a.txt"], output_patterns=["*"]
    )
    assert (record["exit_code"], record["signal"], record["failure"], record["message"]) == (
        0,
        None,
        None,
        "",
    )
    assert (record["schema"], record["token"], record["position"], record["task"]) == (1, "t1", 0, 0)
    assert (record["attempt"], record["host"], record["outputs"]) == (0, os.uname().nodename, ["a.txt"])
    assert record["started"] <= record["ended"]
    assert 0 < record["cpu_seconds"] < 10
    assert ((attempt / "stdout").read_text(), (attempt / "stderr").read_text()) == ("out\n", "err\n")
    assert [path.name for path in (attempt.parents[2] / "records").iterdir()] == ["0.json"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["sh", "-c", "exit 3"], (3, None, "exit_code", "exit code 3")),
        (["sh", "-c", "kill -SEGV $$"], (None, 11, "exit_code", "killed by signal 11 (SIGSEGV)")),
        (["sh", "-c", "kill -KILL $$"], (None, 9, "exit_code", "killed by signal 9 (SIGKILL)")),
        (["/dev/null"], (126, None, "exit_code", "cannot be executed: /dev/null")),
    ],
)
def test_failures_are_told(house, argv, expected) -> None:
    record, _ = house.execute(argv=argv)
    assert (record["exit_code"], record["signal"], record["failure"], record["message"]) == expected


def test_a_missing_command_is_named(house) -> None:
    record, attempt = house.execute(argv=["no-such-command", "x"])
    assert (record["exit_code"], record["failure"]) == (127, "exit_code")
    assert "command not found: no-such-command in PATH=" in record["message"]
    assert "no-such-command" in (attempt / "stderr").read_text()


def test_a_script_without_interpreter_line_goes_to_sh(house, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1"\n')
    script.chmod(0o755)
    record, attempt = house.execute(argv=[str(script), "a b"])
    assert (record["exit_code"], (attempt / "stdout").read_text()) == (0, "a b\n")


def test_missing_output_is_a_failure_that_names_the_pattern(house) -> None:
    record, _ = house.execute(argv=["touch", "b.root", "c"], output_patterns=["*.root", "runs.json"])
    assert record["failure"] == "bad_output"
    assert record["message"] == "no output matches 'runs.json'; there is 'b.root', 'c'"
    assert record["exit_code"] == 0


def test_outputs_may_lie_in_folders_but_not_outside(house) -> None:
    record, _ = house.execute(argv=["sh", "-c", "mkdir d; touch d/1 d/2"], output_patterns=["**/[12]"])
    assert record["outputs"] == ["d/1", "d/2"]
    record, _ = house.execute(argv=["true"], output_patterns=["../../*"])
    assert record["failure"] == "bad_output"


def test_names_of_every_kind_survive(house, tmp_path: Path) -> None:
    hostile = "a 'b' \"c\" $(touch pwned) `d`\n\\ é \udcff *?"
    record, attempt = house.execute(
        argv=["sh", "-c", 'for x; do printf "%s\\0" "$x"; done; touch "$1"', "sh", hostile, "", "-n"],
        output_dir=str(tmp_path / hostile),
        input_files=[hostile],
        output_patterns=["a*"],
        env={"NAME": hostile},
    )
    assert record["failure"] is None
    assert record["outputs"] == [hostile]
    assert (attempt / "stdout").read_bytes() == os.fsencode(hostile) + b"\0\0-n\0"
    assert json.loads((attempt / "input_files.json").read_text()) == [hostile]
    assert sorted(path.name for path in attempt.iterdir()) == sorted(["stdout", "input_files.json", hostile])


def test_setup_lines_share_the_shell_and_do_not_see_the_arguments(house) -> None:
    hostile = "a 'b' $(touch pwned) \n*"
    record, attempt = house.execute(
        argv=["sh", "-c", 'printf "%s|" "$WORD" "$PWD" "$@"', "sh", hostile, *map(str, range(12))],
        setup_cmds=["mkdir sub; cd sub", 'WORD="[$#]"', "export WORD"],
    )
    assert record["failure"] is None
    expected = "|".join(["[0]", str(attempt / "sub"), hostile, *map(str, range(12)), ""])
    assert (attempt / "stdout").read_text() == expected


def test_the_environment_is_clean_and_declared(house, monkeypatch: pytest.MonkeyPatch) -> None:
    _, attempt = house.execute(argv=["env", "-0"], env={"MINE": "1"}, cpus=3)
    seen = dict(entry.split("=", 1) for entry in (attempt / "stdout").read_text().split("\0") if entry)
    assert seen["MINE"] == "1"
    assert {seen[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL")} == {"3"}
    assert (seen["CAF_TASK"], seen["CAF_ATTEMPT"], seen["PATH"]) == ("0", "0", os.environ["PATH"])
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST_CURRENT_TEST" not in seen


def test_files_are_put_in_place(house, tmp_path: Path) -> None:
    (tmp_path / "one file").write_text("1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "two").write_text("2")
    record, attempt = house.execute(
        argv=["cat", "one file", "folder/two", "wanted.json"],
        sandbox=[str(tmp_path / "one file"), str(tmp_path / "folder")],
        json_files={"wanted.json": {"runs": [[0, 1]]}},
        output_patterns=["stdout"],
    )
    assert (attempt / "stdout").read_text() == '12{"runs": [[0, 1]]}'
    assert record["outputs"] == ["stdout"]


def test_a_missing_sandbox_file_is_told_in_the_record_and_in_stderr(house) -> None:
    record, attempt = house.execute(argv=["true"], sandbox=["/no/such/file"])
    assert (record["failure"], record["exit_code"]) == ("submission", None)
    assert "/no/such/file" in record["message"]
    assert "/no/such/file" in (attempt / "stderr").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_preparing_is_told(house) -> None:
    # json_files may name any path below the folder; a link to /dev/full stands for the full file system.
    record, _ = house.execute(argv=["true"], json_files={"/../../../full": 1, "x": 2})
    directory = house.folder
    assert record["failure"] is None  # no link there yet: it was an ordinary file
    (directory / "submission2").mkdir()
    (directory / "submission2" / "full").symlink_to("/dev/full")
    record, _ = house.execute(argv=["true"], json_files={"/../../../full": 1})
    assert record["failure"] == "disk"
    assert "No space left" in record["message"]


def test_a_megabyte_of_output_is_no_problem(house) -> None:
    program = "import sys; sys.stdout.write('x' * 2**20); sys.stderr.write('y' * 2**20)"
    record, attempt = house.execute(argv=[*PYTHON, program])
    assert record["failure"] is None
    assert ((attempt / "stdout").stat().st_size, (attempt / "stderr").stat().st_size) == (2**20, 2**20)


@pytest.mark.parametrize("kind", ["child", "daemon", "hidden"])
@pytest.mark.parametrize("end", ["success", "cancel", "walltime"])
def test_the_end_of_a_task_is_the_end_of_all(house, fifo, dies, tmp_path: Path, kind, end) -> None:
    line = fifo("line")
    script = tmp_path / "start"
    after = "os._exit(0)" if end == "success" else "import signal; signal.pause()"
    script.write_text(DETACHED.format(after=after))
    ready = "read _ <go"  # the task's own process stays until its descendant has spoken
    go = fifo("go")
    command = f"cd {shlex.quote(str(tmp_path))}; {shlex.join(PYTHON[:-1])} start line {kind}; {ready}"
    task = {"argv": ["sh", "-c", command], "grace_s": 0.2}
    if end == "walltime":
        for limit in (1.5, 15.0, 100.0):  # a busy machine may not come so far in so short a time
            (key,) = house.submit(task | {"walltime_s": limit})
            (event,) = house.wait(key)
            if line.is_told():
                break
        offspring = int(line.read())
    else:
        (key,) = house.submit(task)
        offspring = int(line.read())
        go.write("\n")
        if end == "cancel":
            house.client.cancel([key])
        (event,) = house.wait(key)
    # The report comes after the end: nothing has to be waited for any more.
    assert dies(offspring, 0)
    assert event.value["failure"] == {"success": None, "cancel": "cancelled", "walltime": "walltime"}[end]
    assert event.value["leftovers"] >= 1


def test_a_chain_of_processes_that_fork_and_exit_is_caught(house, fifo) -> None:
    line = fifo("line")
    program = f"""
        import os
        open({str(line.path)!r}, "w").write("on")
        if os.fork() == 0:
            for name in ("stdout", "stderr"): pass
            while os.fork() == 0: pass
    """
    (key,) = house.submit({"argv": [*PYTHON, textwrap.dedent(program)]})
    line.read()
    (event,) = house.wait(key)
    assert event.value["exit_code"] == 0


def test_a_task_that_ignores_requests_is_killed(house, fifo) -> None:
    line = fifo("line")
    program = "import signal, sys; signal.signal(15, signal.SIG_IGN); open(sys.argv[1], 'w').write('on')"
    program += "; signal.pause()"
    (key,) = house.submit({"argv": [*PYTHON, program, str(line.path)], "grace_s": 0.1})
    line.read()
    house.client.cancel([key])
    (event,) = house.wait(key)
    assert (event.kind, event.value["failure"], event.value["signal"]) == ("cancelled", "cancelled", 9)


def test_a_task_may_end_in_its_own_way_when_asked(house, fifo) -> None:
    line = fifo("line")
    script = "trap 'echo saved; exit 4' TERM; echo on > \"$1\"; while :; do sleep 0.01; done"
    (key,) = house.submit({"argv": ["sh", "-c", script, "sh", str(line.path)]})
    line.read()
    house.client.cancel([key])
    (event,) = house.wait(key)
    assert (event.value["failure"], event.value["exit_code"]) == ("cancelled", 4)


def test_peak_memory_is_that_of_the_task(house) -> None:
    heavy = ("numpy", "uproot")
    small, _ = house.execute(argv=["true"])
    assert 0 < small["peak_memory_mb"] < 25
    house.execute(call={"entry": "os:getpid"}, preload=heavy)  # heavy zygotes live beside from now on
    small, _ = house.execute(argv=["true"])
    assert 0 < small["peak_memory_mb"] < 25
    large, _ = house.execute(argv=[*PYTHON, "x = bytearray(50 << 20)"])
    assert 50 < large["peak_memory_mb"] < 75
    child, _ = house.execute(argv=["sh", "-c", f"{shlex.join(PYTHON)} 'x = bytearray(50 << 20)'; true"])
    assert 50 < child["peak_memory_mb"] < 75


def test_a_claimed_task_is_left_alone(house) -> None:
    directory = house.submission({"argv": ["true"]})
    (directory / "claims" / "0").write_text("somebody")
    arguments = {"directory": str(directory), "position": 0, "in_process": True}
    house.call("other", "caf_core.jobs.node:execute_task", **arguments, scheduler_id="another")
    house.call("none", "caf_core.jobs.node:execute_task", **arguments)
    for event in house.wait("other", "none"):
        assert event.value == {"schema": 1, "position": 0, "skipped": "claimed by somebody"}
    assert not list((directory / "records").iterdir())
    # The same job, requeued by its scheduler, executes it, but not where the first execution may still work.
    old = directory / "out" / "0" / "attempt-0" / "old"
    old.parent.mkdir(parents=True)
    old.touch()
    house.call("same", "caf_core.jobs.node:execute_task", **arguments, scheduler_id="somebody")
    record = house.wait("same")[0].value
    assert (record["failure"], record["folder"]) == (None, "attempt-0.2")
    assert old.exists()
    # One that was ended from outside may have left what is used again, such as a journal.
    ended = directory / "records" / "0.json"
    ended.write_text(json.dumps({**record, "failure": "cancelled", "folder": "attempt-0"}))
    house.call("third", "caf_core.jobs.node:execute_task", **arguments, scheduler_id="somebody")
    record = house.wait("third")[0].value
    assert (record["failure"], record["folder"], json.loads(ended.read_text())) == (
        None,
        "attempt-0.3",
        record,
    )
    assert old.exists()
    house.call("again", "caf_core.jobs.node:execute_task", **arguments, scheduler_id="somebody")
    assert house.wait("again")[0].value["skipped"] == "it has its record already"


def test_a_position_outside_the_manifest_is_an_error(house) -> None:
    directory = house.submission({"argv": ["true"]})
    house.call("far", "caf_core.jobs.node:execute_task", directory=str(directory), position=1)
    assert "no task at position 1" in house.wait("far")[0].error
    assert not list((directory / "claims").iterdir())


def module(tmp_path: Path, text: str) -> dict[str, object]:
    (tmp_path / "physics").mkdir(exist_ok=True)
    (tmp_path / "physics" / "task_module.py").write_text(textwrap.dedent(text))
    return {"entry": "task_module:work", "arguments": {"x": 3}, "path": [str(tmp_path / "physics")]}


@pytest.mark.parametrize("in_process", [True, False])
def test_python_calls(house, tmp_path: Path, in_process) -> None:
    text = """
        import os, sys, json, random
        import attrs  # site-packages are there
        def work(x):
            print("héllo", x, os.environ["CAF_TASK"], os.path.basename(os.getcwd()), sorted(sys.stdin))
            json.dump(x, open("out.json", "w"))
    """
    spec = {"call": module(tmp_path, text), "output_patterns": ["out.json"]}
    (key,) = house.submit(spec, in_process=in_process)
    (event,) = house.wait(key)
    attempt = house.folder / "submission1" / "out" / "0" / "attempt-0"
    assert event.value["failure"] is None, (attempt / "stderr").read_text()
    assert (attempt / "stdout").read_text() == "héllo 3 0 attempt-0 []\n"
    assert event.value["outputs"] == ["out.json"]


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("raise ValueError('what')", 1, "ValueError: what"),
        ("raise SystemExit", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no luck')", 1, "no luck"),
        ("import os; os._exit(5)", 5, ""),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("import no_such_module", 1, "No module named 'no_such_module'"),
        ("import atexit; atexit.register(print, 'late'); print('early', end=' ')", 0, "early late"),
        ("import threading; threading.Timer(0.1, print, ['thread']).start()", 0, "thread"),
    ],
)
def test_python_calls_end_as_programs_do(house, tmp_path: Path, body, code, text) -> None:
    record, attempt = house.execute(call=module(tmp_path, f"def work(x):\n    {body}\n"))
    assert record["exit_code"] == code
    assert text in "".join(path.read_text() for path in attempt.glob("std*"))


def test_a_killed_python_call_has_its_record(house, tmp_path: Path) -> None:
    record, _ = house.execute(call=module(tmp_path, "import os\ndef work(x): os.kill(os.getpid(), 9)\n"))
    assert (record["signal"], record["failure"]) == (signal.SIGKILL, "exit_code")


def test_python_calls_draw_different_random_numbers(house, tmp_path: Path) -> None:
    call = module(
        tmp_path, "import numpy.random, random\ndef work(x): print(numpy.random.random(), random.random())"
    )
    keys = house.submit(*[{"call": call}] * 4, preload=("numpy.random",))
    house.wait(*keys)
    drawn = [(house.folder / f"submission1/out/{i}/attempt-0/stdout").read_text().split() for i in range(4)]
    assert len({x for pair in drawn for x in pair}) == 8


def test_ctrl_c_in_a_python_call_is_an_ordinary_interrupt(house, tmp_path: Path) -> None:
    record, attempt = house.execute(
        call=module(tmp_path, "import os\ndef work(x): os.kill(os.getpid(), 2)\n")
    )
    assert record["exit_code"] == 1
    assert "KeyboardInterrupt" in (attempt / "stderr").read_text()


def test_a_kill_by_the_kernel_for_lack_of_memory_is_told_from_others(house, tmp_path: Path) -> None:
    # A file stands for the kernel's counter; a task that counts in it, and is killed, for the kernel's work.
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom_kill 1\n")
    killed = {"argv": ["sh", "-c", "kill -KILL $$"]}
    exhausted = {"argv": ["sh", "-c", f"printf 'oom_kill 2\\n' > {shlex.quote(str(counter))}; kill -KILL $$"]}
    directory = house.submission(killed, exhausted, killed)
    program = """
        import os, sys
        from caf_core.jobs import node, workspace
        workspace._counter = os.open(sys.argv[1], os.O_RDONLY)
        for position in range(3):
            node.execute_task(sys.argv[2], position)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(counter), str(directory)]
    subprocess.run(command, check=True, timeout=300)
    records = [json.loads((directory / "records" / f"{i}.json").read_text()) for i in range(3)]
    assert [record["failure"] for record in records] == ["exit_code", "out_of_memory", "exit_code"]
    assert "lack of memory" in records[1]["message"]
