"""Commands that are waited for."""

import os
import shlex
import sys
import threading
from pathlib import Path

import pytest

from caf_core.processes import command, tree

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""


def test_it_returns_what_was_printed(tmp_path: Path) -> None:
    script = 'read line; echo "$line $X $PWD"; echo err >&2; exit 3'
    result = command.execute(
        ["/bin/sh", "-c", script], timeout=LIMIT, stdin="in\n", cwd=tmp_path, env={"X": "ü '"}
    )
    assert (result.returncode, result.ok) == (3, False)
    assert (result.stdout, result.stderr) == (f"in ü ' {tmp_path}\n", "err\n")
    assert result.seconds > 0
    assert command.execute(["true"], timeout=LIMIT).ok


def test_arguments_are_never_read_by_a_shell() -> None:
    hostile = "$(touch pwned); 'a' \n *"
    assert command.execute(["printf", "%s", hostile], timeout=LIMIT).stdout == hostile


def test_a_missing_command_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-command"):
        command.execute(["no-such-command"], timeout=LIMIT)


def test_a_slow_command_is_ended_with_all_its_descendants(tmp_path: Path, dies) -> None:
    script = (
        "setsid sh -c 'trap : TERM; echo $$ > pid; echo started; while :; do sleep 0.05; done' & "
        "echo said; wait"
    )
    for patience in (0.5, 5.0, LIMIT):
        result = command.execute(["sh", "-c", script], timeout=patience, cwd=tmp_path, grace=0.1)
        assert result.returncode is None
        if "started" in result.stdout:  # a busy machine may not have come so far in half a second
            break
    assert "said" in result.stdout
    assert dies(int((tmp_path / "pid").read_text()), 0)


def test_output_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "OUTPUT_LIMIT", 1000)
    result = command.execute([sys.executable, "-c", "print('x' * 10**6)"], timeout=LIMIT)
    assert (result.returncode, len(result.stdout)) == (0, 1000)


def test_a_command_that_does_not_read_its_input() -> None:
    assert command.execute(["true"], timeout=LIMIT, stdin="x" * 10**6).returncode == 0


def test_input_that_names_a_file_without_a_text_name() -> None:
    name = os.fsdecode(b"\xff\xe9 file")
    result = command.execute(["od", "-An", "-tx1"], timeout=LIMIT, stdin=name)
    assert result.stdout.split() == ["ff", "e9", "20", "66", "69", "6c", "65"]


def test_a_descendant_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path, fifo) -> None:
    go = fifo("go")
    before = set(threading.enumerate())
    result = command.execute(
        ["sh", "-c", f"(read _ < {shlex.quote(str(go.path))}) & echo done"], timeout=LIMIT, grace=0.2
    )
    assert (result.returncode, result.stdout) == (0, "done\n")
    go.write("\n")
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_commands_can_be_executed_from_many_threads() -> None:
    results: list[str] = []
    threads = [
        threading.Thread(
            target=lambda i=i: results.append(command.execute(["echo", str(i)], timeout=LIMIT).stdout)
        )
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [f"{i}\n" for i in range(8)]


def test_start_time_tells_processes_apart() -> None:
    import os

    assert tree.start_time(os.getpid()) is not None
    assert tree.start_time(2**22 + 1) is None
    assert os.getpid() in tree.children(os.getppid())
    assert os.getpid() in tree.descendants(os.getppid())
