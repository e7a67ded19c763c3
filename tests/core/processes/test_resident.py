"""The resident process and its clients: real processes, ended in every way."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from caf_core.processes import kernel, launch, registration, survivors, tree
from caf_core.processes.calls import CallRequest, ResidentError
from caf_core.processes.client import ResidentClient
from caf_core.processes.protocol import dumps, frame

HERE = str(Path(__file__).parent)
PATIENCE = 120.0


def held(line, go) -> dict:
    """A task that tells its process id and waits for a line."""
    return {
        "argv": ["sh", "-c", 'echo $$ > "$1"; read _ < "$2"', "sh", str(line.path), str(go.path)],
        "grace_s": 0.2,
    }


def request(key: str, function: str, group: str = "g", **arguments) -> CallRequest:
    return CallRequest(
        key=key, group=group, function=f"calls_for_tests:{function}", arguments=arguments, path=(HERE,)
    )


def test_a_call_returns_its_value(house) -> None:
    house.call("a", "os:getpid")
    house.call("b", "os.path:join", a="x")
    a, b = house.wait("a", "b")
    assert (a.kind, a.value, a.error) == ("ended", a.pid, "")
    assert (b.kind, b.value, b.error) == ("ended", "x", "")


def test_an_exception_is_told(house) -> None:
    house.client.submit([request("a", "fail")])
    house.call("b", "os:getpid", no="such argument")
    house.call("c", "no.such:function")
    a, b, c = house.wait("a", "b", "c")
    assert (a.kind, a.value, a.error) == ("ended", None, 'LookupError: it\'s "quoted"')
    assert b.error.startswith("TypeError: ")
    assert c.error == "ModuleNotFoundError: No module named 'no'"


def test_what_a_call_leaves_is_ended_before_it_is_reported(house, dies) -> None:
    house.client.submit([request("a", "leave_child")])
    (event,) = house.wait("a")
    assert dies(event.value, 0)


def test_a_known_key_is_not_executed_again_until_it_is_forgotten(house) -> None:
    for _ in range(2):
        house.client.submit([request("a", "imported")])
        house.wait("a")
    assert list(house.client.states("g")) == ["a"]
    house.client.forget("g")
    assert house.client.states() == {}
    house.call("a", "os:getpid")
    house.wait("a")
    assert list(house.client.states()) == ["a"]


def test_states_and_cancelling(house, fifo) -> None:
    line, go = fifo("line"), fifo("go")
    house.client.set_slots(1)
    first, second, third = house.submit(held(line, go), {"argv": ["true"]}, {"argv": ["true"]})
    pid = int(line.read())
    assert [state.kind for state in house.client.states().values()] == ["executing", "queued", "queued"]
    house.client.cancel([second, "unknown"])
    assert house.wait(second)[0].kind == "cancelled"
    assert tree.start_time(pid) is not None
    house.client.cancel([first, first])
    (event,) = house.wait(first)
    assert (event.kind, event.value["failure"]) == ("cancelled", "cancelled")
    assert house.wait(third)[0].value["failure"] is None
    assert not (house.folder / "submission1" / "claims" / "1").exists()
    house.client.cancel([first])
    assert house.client.states()[first].kind == "cancelled"


def test_cancelling_a_group_leaves_the_others(house, fifo) -> None:
    line, go = fifo("line"), fifo("go")
    keys = house.submit(*[held(line, go)] * 3)
    line.read()
    others = house.submit({"argv": ["true"]})
    house.client.cancel_group("submission1")
    assert {event.kind for event in house.wait(*keys)} == {"cancelled"}
    assert house.wait(*others)[0].kind == "ended"


def test_the_next_call_of_a_warden_is_not_hit_by_a_late_cancel(house) -> None:
    house.client.set_slots(1)
    keys = house.submit(*[{"argv": ["true"]}] * 200)
    house.client.cancel(keys[:100:2])
    events = house.wait(*keys)
    assert {event.kind for event in events[100:]} == {"ended"}
    assert {event.value["failure"] for event in events[100:]} == {None}
    assert {event.kind for event in events[1:100:2]} == {"ended"}


def test_a_cancel_that_overtakes_the_start_is_not_forgotten(house) -> None:
    house.execute(argv=["true"])  # from now on a warden waits for work
    for _ in range(20):
        directory = str(house.submission({"argv": ["sleep", "1000"], "grace_s": 0.2}))
        arguments = json.dumps({"directory": directory, "position": 0})
        batch = {"group": "g", "function": "caf_core.jobs.node:execute_task", "preload": [], "path": []}
        submit = {"op": "submit", "batches": [batch | {"calls": [[directory, arguments]]}]}
        cancel = {"op": "cancel", "keys": [directory], "group": None}
        # Both in one parcel: the resident has no time between them.
        channel = launch.connect(registration.read(str(house.folder / "resident"))["socket"])
        channel.connection.sendall(frame(dumps(submit)) + frame(dumps(cancel)))
        assert [channel.receive(), channel.receive()] == [b"{}", b"{}"]
        channel.close()
        (event,) = house.wait(directory)
        assert (event.kind, event.status) == ("cancelled", None)  # no warden had to be killed for it


def test_groups_take_turns(house, fifo) -> None:
    line, go = fifo("line"), fifo("go")
    house.client.set_slots(1)
    (gate,) = house.submit(held(line, go))
    line.read()
    many = house.submit(*[{"argv": ["true"]}] * 20)
    (single,) = house.submit({"argv": ["true"]})
    go.write("\n")
    events = house.wait(gate, *many, single)
    started = sorted(events, key=lambda event: event.value["started"])
    assert single in [event.key for event in started[:4]]


def test_slots_bound_what_executes(house, fifo) -> None:
    line, go = fifo("line"), fifo("go")
    house.client.set_slots(3)
    keys = house.submit(*[held(line, go)] * 5)
    assert len(set(line.words(3))) == 3
    kinds = [state.kind for state in house.client.states().values()]
    assert (kinds.count("executing"), kinds.count("queued")) == (3, 2)
    go.write("\n" * 5)
    house.wait(*keys)


def test_it_survives_its_client_and_finishes_its_queue(tmp_path: Path, fifo, dies) -> None:
    runtime = tmp_path / "resident"
    program = f"""
        import os, signal
        from pathlib import Path
        from caf_core.processes.client import ResidentClient
        from caf_core.processes.calls import CallRequest
        client = ResidentClient.start(Path({str(runtime)!r}), slots=1, idle_timeout=60)
        calls = [
            CallRequest(key=key, group="g", function="calls_for_tests:wait_for", path=({HERE!r},),
                        arguments={{"fifo": {str(tmp_path / "f")!r}, "text": key}})
            for key in ("a", "b", "c")
        ]
        client.submit(calls)
        print(client.pid, flush=True)
        signal.pause()
    """
    out, into = fifo("f.out"), fifo("f.in")
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    with child:
        pid = int(child.stdout.readline())
        assert out.read() == "a"
        child.kill()
    into.write("1\n")
    assert out.read() == "b"
    client = ResidentClient.attach(runtime)
    assert client.pid == pid
    assert [state.kind for state in client.states("g").values()] == ["ended", "executing", "queued"]
    into.write("2\n")
    assert out.read() == "c"
    into.write("3\n")
    client.shutdown(kill=False)
    assert dies(pid)


def test_the_endings_are_there_for_the_next_client(house) -> None:
    house.call("a", "os:getpid")
    house.wait("a")
    pid = house.client.pid
    house.client.close()
    house.start()
    assert house.client.pid == pid
    assert house.client.states("g")["a"] == house.events["a"]


def test_two_that_start_at_once_get_one(tmp_path: Path) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from caf_core.processes.client import ResidentClient
        sys.stdin.readline()
        client = ResidentClient.start(Path({str(tmp_path / "r")!r}), slots=1, idle_timeout=60)
        client.states()
        print(client.pid, flush=True)
        sys.stdin.readline()
        client.shutdown(kill=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    assert len({racer.stdout.readline() for racer in racers}) == 1
    for racer in racers:
        racer.communicate("\n")


def test_it_stays_in_our_session_in_a_group_of_its_own_without_our_terminal(tmp_path: Path) -> None:
    program = f"""
        import os
        from pathlib import Path
        from caf_core.processes.client import ResidentClient
        from caf_core.processes.calls import CallRequest
        open("/dev/tty").close()  # we have one
        client = ResidentClient.start(Path({str(tmp_path)!r}), slots=1)
        asked = []
        client.listen(lambda events: asked.extend(events), lambda: None)
        call = dict(group="g", function="calls_for_tests:surroundings", path=({HERE!r},))
        client.submit([CallRequest(key="a", **call)])
        while not (asked and asked[-1].kind == "ended"): pass
        assert os.getpgid(client.pid) == client.pid
        assert asked[-1].value == [os.getsid(0), client.pid, "no terminal"], asked
        client.shutdown(kill=True)
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", textwrap.dedent(program)])
    said = b""
    with contextlib.suppress(OSError):  # the end of what a terminal says
        while more := os.read(terminal, 4096):
            said += more
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said.decode()


def test_an_abandoned_one_leaves_and_cleans_up(tmp_path: Path, dies) -> None:
    client = ResidentClient.start(tmp_path, slots=1, idle_timeout=0.05)
    door = Path(registration.read(str(tmp_path))["socket"])
    client.states()
    assert (door.stat().st_mode & 0o777, door.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    pid = client.pid
    client.close()
    assert dies(pid)
    assert not door.parent.exists()
    assert ResidentClient.attach(tmp_path) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resident.lock", "resident.log"]


def test_it_stays_as_long_as_a_client_does(tmp_path: Path, dies) -> None:
    client = ResidentClient.start(tmp_path, slots=1, idle_timeout=0.05)
    client.states()
    assert not dies(client.pid, 0.3)
    client.shutdown(kill=True)


@pytest.mark.parametrize("stale", ["gone", "another process", "damaged"])
def test_the_files_of_a_dead_one_are_recognised(tmp_path: Path, stale) -> None:
    entry = {"protocol": 1, "host": os.uname().nodename, "socket": str(tmp_path / "door"), "started": 1}
    entry["pid"] = os.getpid() if stale == "another process" else 2**22 + 1
    text = "{" if stale == "damaged" else json.dumps(entry)
    (tmp_path / "resident.json").write_text(text)
    assert ResidentClient.attach(tmp_path) is None
    client = ResidentClient.start(tmp_path, slots=1, idle_timeout=60.0)
    assert client.states() == {}
    client.shutdown(kill=True)


def test_one_of_another_host_is_respected_until_it_is_declared_dead(tmp_path: Path) -> None:
    entry = {"protocol": 1, "host": "elsewhere", "pid": 1, "started": 1, "socket": "/nowhere/door"}
    (tmp_path / "resident.json").write_text(json.dumps(entry))
    for attempt in (ResidentClient.attach, lambda path: ResidentClient.start(path, slots=1)):
        with pytest.raises(ResidentError, match="on host elsewhere") as caught:
            attempt(tmp_path)
        assert caught.value.host == "elsewhere"
    client = ResidentClient.start(tmp_path, slots=1, idle_timeout=60.0, take_over=True)
    assert client.states() == {}
    client.shutdown(kill=True)


def test_a_killed_warden_loses_its_call_and_nothing_else(house, fifo, dies) -> None:
    line, go = fifo("line"), fifo("go")
    program = 'sh -c "trap : TERM; echo \\$\\$ > \\"$1\\"; sleep 1000 & wait; wait"'
    lost, kept = house.submit(
        {"argv": ["sh", "-c", f"setsid {program} & wait", "sh", str(line.path)]},
        {"argv": ["sh", "-c", f"read _ < {go.path}"]},
    )
    orphan = int(line.read())
    (event,) = house.wait(lost, kinds=("executing",))
    os.kill(event.pid, signal.SIGKILL)
    (event,) = house.wait(lost)
    assert (event.kind, event.status, event.value) == ("lost", 9, None)
    assert event.error == "its warden was killed by signal 9"
    assert dies(orphan, 0)  # before the loss was reported
    go.write("\n")
    assert house.wait(kept)[0].kind == "ended"
    assert house.execute(argv=["true"])[0]["exit_code"] == 0


def test_a_killed_zygote_is_replaced(house, fifo) -> None:
    line, go = fifo("line"), fifo("go")
    (held_key,) = house.submit(held(line, go))
    line.read()
    (executing,) = house.wait(held_key, kinds=("executing",))
    wardens = {executing.pid}
    zygotes = [pid for pid in tree.children(house.client.pid) if pid not in wardens]
    for zygote in zygotes:
        os.kill(zygote, signal.SIGKILL)
    house.client.set_slots(4)
    keys = house.submit(*[held(line, go)] * 3)
    line.words(3)
    go.write("\n" * 4)
    assert {event.value["failure"] for event in house.wait(held_key, *keys)} == {None}


def test_a_killed_resident_takes_its_tasks_along_and_is_replaced(house, fifo, dies) -> None:
    line, go = fifo("line"), fifo("go")
    house.submit(held(line, go))
    task = int(line.read())
    old = house.client.pid
    os.kill(old, signal.SIGKILL)
    assert house.lost.wait(PATIENCE)
    assert dies(task)
    with pytest.raises(ResidentError, match=r"has ended|cannot be reached"):
        house.client.states()
    house.client.close()
    house.start()
    assert house.client.pid != old
    assert house.client.states() == {}
    assert house.execute(argv=["true"])[0]["exit_code"] == 0
    record = json.loads((house.folder / "submission1" / "records" / "0.json").read_text())
    assert (record["failure"], record["leftovers"]) == ("node_lost", 0)


def test_a_dead_one_is_told_when_its_supervisors_have_written_all_records(house, fifo) -> None:
    line = fifo("line")
    ending = "trap 'sleep 0.3; exit 0' TERM; echo $$ > \"$1\"; while :; do sleep 0.01; done"
    house.submit(*[{"argv": ["sh", "-c", ending, "sh", str(line.path)]}] * 2)
    line.words(2)
    os.kill(house.client.pid, signal.SIGKILL)
    assert ResidentClient.attach(house.folder / "resident") is None
    records = house.folder / "submission1" / "records"
    assert {path.name for path in records.iterdir()} == {"0.json", "1.json"}


def test_a_supervisor_that_is_stopped_does_not_keep_the_next_one_away(house, fifo, dies, monkeypatch) -> None:
    line, go = fifo("line"), fifo("go")
    (key,) = house.submit(held(line, go))
    task = int(line.read())
    (event,) = house.wait(key, kinds=("executing",))
    os.kill(event.pid, signal.SIGSTOP)
    os.kill(house.client.pid, signal.SIGKILL)
    monkeypatch.setattr(survivors, "PATIENCE", 0.1)
    assert ResidentClient.attach(house.folder / "resident") is None
    assert dies(event.pid, 0)
    assert dies(task)


@pytest.mark.slow  # it takes the fifteen seconds that a warden has to end a task
def test_a_time_limit_holds_though_the_supervisor_is_stopped(house, fifo, dies) -> None:
    line, go = fifo("line"), fifo("go")
    directory = house.submission(held(line, go) | {"walltime_s": 0.1})
    arguments = {"directory": str(directory), "position": 0, "in_process": True}
    call = CallRequest(
        key="a", group="g", function="caf_core.jobs.node:execute_task", arguments=arguments, limit=0.1
    )
    idle = house.execute(argv=["true"])[0]["pid"]
    os.kill(idle, signal.SIGSTOP)
    house.client.submit([call])
    (event,) = house.wait("a", kinds=("ended", "overdue"))
    assert (event.kind, event.pid) == ("overdue", idle)
    assert dies(idle, 0)
    assert house.execute(argv=["true"])[0]["exit_code"] == 0


@pytest.mark.parametrize("other", [{}, {"space": "pid:[1]", "pid": 1}], ids=["name", "container"])
def test_on_the_same_kernel_it_is_known_under_another_name(house, dies, other) -> None:
    folder = house.folder / "resident"
    house.client.states()
    pid = house.client.pid
    entry = json.loads((folder / "resident.json").read_text())
    (folder / "resident.json").write_text(json.dumps({**entry, "host": "first-name", **other}))
    client = ResidentClient.attach(folder)
    assert client is not None
    assert client.states() == {}
    client.close()
    os.kill(pid, signal.SIGKILL)
    assert dies(pid)
    assert ResidentClient.attach(folder) is None
    assert not (folder / "resident.json").exists()


def test_one_that_lives_where_its_socket_cannot_be_reached_is_left_alone(house) -> None:
    folder = house.folder / "resident"
    house.client.states()
    entry = json.loads((folder / "resident.json").read_text())
    there = {"host": "first-name", "space": "pid:[1]", "socket": "/nowhere/door"}
    (folder / "resident.json").write_text(json.dumps({**entry, **there}))
    with pytest.raises(ResidentError, match=r"lives, in another container \(host first-name\)"):
        ResidentClient.attach(folder, take_over=True)
    assert house.client.states() == {}


def test_a_machine_that_was_started_again_has_no_resident_process(house) -> None:
    folder = house.folder / "resident"
    house.client.shutdown(kill=True)
    entry = {"protocol": 1, **kernel.here(), "pid": os.getpid(), "started": tree.start_time(os.getpid())}
    entry |= {"socket": "/nowhere/door", "boot": "an earlier one"}
    (folder / "resident.json").write_text(json.dumps(entry))
    assert ResidentClient.attach(folder) is None


def test_shutdown_may_cancel_everything(house, fifo) -> None:
    line, go = fifo("line"), fifo("go")
    keys = house.submit(*[held(line, go)] * 3)
    line.read()
    house.client.shutdown(kill=True)
    assert {house.events[key].kind for key in keys} == {"cancelled"}
    assert not house.lost.is_set()


def test_a_resident_that_is_told_to_end_cancels_and_cleans_up(house, fifo, dies) -> None:
    line, go = fifo("line"), fifo("go")
    keys = house.submit(*[held(line, go)] * 3)
    line.read()
    os.kill(house.client.pid, signal.SIGTERM)
    assert {event.kind for event in house.wait(*keys)} == {"cancelled"}
    assert dies(house.client.pid)
    assert house.lost.wait(PATIENCE)
    assert not (house.folder / "resident" / "resident.json").exists()


def test_modules_are_imported_once_for_all_calls_and_afresh_for_a_new_client(house) -> None:
    requests = [
        CallRequest(
            key=f"{i}", group="g", function="calls_for_tests:imported", path=(HERE,), preload=("json",)
        )
        for i in range(6)
    ]
    house.client.submit(requests[:4])
    first = {event.value for event in house.wait("0", "1", "2", "3")}
    assert len(first) == 1
    house.client.close()
    house.start()
    house.client.submit(requests[4:])
    assert len({event.value for event in house.wait("4", "5")} - first) == 1


@pytest.mark.parametrize(
    "text", ["import no_such_module", "raise SystemExit", "import os; os.abort()", "import os; os._exit(0)"]
)
def test_a_preload_that_fails_is_left_to_the_task(house, tmp_path: Path, text) -> None:
    (tmp_path / "broken_preload.py").write_text(text)
    call = CallRequest(
        key="a", group="g", function="os:getpid", path=(str(tmp_path),), preload=("broken_preload", "no.such")
    )
    house.client.submit([call])
    (event,) = house.wait("a")
    assert (event.kind, event.error) == ("ended", "")


def test_prepare_does_not_wait(tmp_path: Path) -> None:
    client = ResidentClient.start(tmp_path, slots=1, idle_timeout=60.0)
    client.prepare("os:getpid", preload=["json"])
    client.prepare("os:getpid")
    client.submit([CallRequest(key="a", group="g", function="os:getpid")])
    assert list(client.states()) == ["a"]
    client.shutdown(kill=True)


def test_keys_and_arguments_of_every_kind_survive(house) -> None:
    hostile = "a 'b' \"c\" \n\\ é \udcff ]},"
    house.client.submit(
        [CallRequest(key=hostile, group=hostile, function="json:dumps", arguments={"obj": hostile})]
    )
    assert json.loads(house.wait(hostile)[0].value) == hostile
    assert list(house.client.states(hostile)) == [hostile]


def test_a_large_value_and_large_arguments_pass(house) -> None:
    house.call("a", "json:dumps", obj="x" * 3_000_000)
    assert len(house.wait("a")[0].value) == 3_000_002


def test_many_small_calls_all_come_back(house) -> None:
    keys = [f"{i}" for i in range(3000)]
    house.client.submit([CallRequest(key=key, group="g", function="os:getpid") for key in keys])
    events = house.wait(*keys)
    assert len({event.pid for event in events}) <= 2


def test_a_long_directory_name_is_no_problem(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100) / "y z\n'" / ("w" * 100)
    client = ResidentClient.start(deep, slots=1, idle_timeout=60.0)
    assert client.states() == {}
    client.shutdown(kill=True)


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResidentError, match=r"cannot be started: .*file"):
        ResidentClient.start(tmp_path / "file", slots=1)


def test_a_process_that_is_ended_need_not_be_told_to_cancel(tmp_path) -> None:
    """Ctrl-C ends the process while worker threads still cancel its calls, one by one."""
    client = ResidentClient.start(tmp_path / "resident", slots=1)
    client.shutdown(kill=True)
    client.cancel(["a"])
    client.cancel_group("g")
    client = ResidentClient.start(tmp_path / "resident", slots=1)
    client.shutdown(kill=False)
    with pytest.raises(ResidentError, match=r"cannot be reached|has ended"):
        client.cancel(["a"])
