"""The command line itself: help, unknown commands, errors, exit codes, plugins' commands."""

import json
import subprocess
import sys

import pytest

from caf_core.cli.app import COMMANDS, execute
from caf_core.cli.base import duration, shown
from caf_core.cli.tables import aligned


def test_help_names_every_command_and_the_exit_codes(caf):
    called = caf("--help")
    assert called.code == 0
    for name, text in COMMANDS.items():
        assert f"  {name} " in called.out
        assert text.split()[0] in called.out
    assert "130 stopped" in called.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_debug(caf, name):
    called = caf(name, "--help")
    assert called.code == 0
    assert called.out.startswith(f"Usage: caf {name} ")
    assert "--debug" in called.out


def test_an_unknown_command_lists_those_that_exist(caf):
    called = caf("stauts")
    assert called.code == 2
    assert called.err.startswith("caf: there is no command 'stauts'; there are: run, status")
    assert "Did you mean 'status'?" in called.err


def test_a_wrong_option_is_one_sentence(caf):
    called = caf("status", "--colour")
    assert called.code == 2
    assert called.err.count("\n") == 1
    assert "caf status --help" in called.err


def test_help_imports_no_command_and_nothing_heavy():
    """What makes ``caf --help`` slow is imports."""
    code = (
        "import sys; from caf_core.cli.app import execute; execute(['--help']);"
        "print([m for m in ('attrs', 'rich', 'peewee', 'cattrs', 'psutil', 'cloudpickle', 'numpy',"
        " 'caf_core.cli.run', 'caf_core.control') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_core_command_asks_no_plugins(tmp_path):
    code = (
        "import sys; from caf_core.cli.app import execute; execute(['status', '-p', sys.argv[1]]);"
        "print('caf_core.plugins.registry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


class WithCommands:
    """A plugin that brings a command."""

    def __init__(self):
        import click

        self.command = click.command("greet")(lambda: click.echo("hello"))
        self.command.help = "Say hello."


def test_a_plugin_brings_a_command(monkeypatch, caf):
    from caf_core.plugins.markers import hookimpl
    from caf_core.plugins.registry import Registry

    class Plugin:
        @hookimpl
        def caf_register_commands(self, cli):
            cli.add_command(WithCommands().command)

    monkeypatch.setattr(Registry, "load", classmethod(lambda cls: cls([Plugin()])))
    assert caf("greet").out == "hello\n"
    called = caf("--help")
    assert "Commands of plugins" in called.out
    assert "greet" in called.out
    assert "Say hello." in called.out


def test_an_unexpected_error_is_one_sentence_and_debug_shows_the_traceback(monkeypatch, caf, tmp_path):
    import caf_core.control.reading.overview as overview

    def broken(path):
        raise KeyError("lost")

    monkeypatch.setattr(overview, "read_overview", broken)
    called = caf("status", "-p", tmp_path)
    assert called.code == 4
    assert called.err.count("\n") == 1
    assert "KeyError" in called.err
    for words in (("--debug", "status"), ("status", "--debug"), ("status", "show", "--debug")):
        assert "Traceback" in caf(*words, "-p", tmp_path).err


def test_a_reader_that_stops_reading_is_no_error(good):
    process = subprocess.Popen(
        [sys.executable, "-m", "caf_core.cli", "payloads", "-p", good[0], "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    "words", [["status", "-p", "OUT"], ["submit", "-n", "1", "-o", "JOB", "--", "touch", "DONE"]]
)
def test_closed_streams_and_messages_that_cannot_be_written_stop_no_work(good, tmp_path, redirection, words):
    places = {"OUT": str(good[0]), "JOB": str(tmp_path / "job"), "DONE": str(tmp_path / "done")}
    command = [sys.executable, "-m", "caf_core.cli", *(places.get(word, word) for word in words)]
    done = subprocess.run(["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command], capture_output=True)
    assert (done.returncode, done.stderr.count(b"caf: ")) == (0, 0)
    assert (tmp_path / "done").exists() == ("DONE" in words)


def test_plugins_as_table_and_json(caf):
    called = caf("plugins")
    assert called.code == 0
    assert "caf-strategies" in called.out
    assert "SequentialRunByRun" in called.out
    rows = json.loads(caf("plugins", "--json").out)
    assert {"caf-core", "caf-local", "caf-strategies"} <= {row["distribution"] for row in rows}


def test_plugins_says_which_is_broken(monkeypatch, caf):
    from caf_core.plugins.plugin import Source
    from caf_core.plugins.registry import Registry

    def fail():
        raise ImportError("no module named nothing")

    monkeypatch.setattr(
        Registry, "load", classmethod(lambda cls: cls(sources=[Source("caf-broken", "1.0", "x", fail)]))
    )
    called = caf("plugins")
    assert called.code == 1
    assert "no module named nothing" in called.out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (180000, "2 d 2 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_names_are_shown_on_one_line():
    assert shown("größe") == "größe"
    assert shown("a\nb\x1b[0m") == "a\\nb\\x1b[0m"
    assert shown("\udcff") == "\\udcff"


def test_columns_are_aligned_and_never_cut():
    lines = aligned(["a", "b"], [["x" * 200, 1], ["y", "two\nlines"]])
    assert lines[0] == "a" + " " * 201 + "b"
    assert lines[2].endswith("two\\nlines")


def test_no_arguments_show_the_help(caf):
    called = caf()
    assert called.code == 2
    assert "Usage" in called.out + called.err


def test_execute_takes_the_words_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["caf", "--version"])
    assert execute() == 0
    assert capsys.readouterr().out.startswith("caf ")
