"""The command side of a fake scheduler, and what a dialect is.

A dialect is a class in a module of this folder:

    from fakes.engine import Answer, Dialect, command

    class Tiny(Dialect):
        '''Tiny: ``tsub FILE`` prints a number, ``tstat`` a line a job, ``tdel NUMBER`` ends one.'''

        submits = ("tsub",)     # which commands submit, ask, cancel: faults are aimed by these names
        asks = ("tstat",)
        cancels = ("tdel",)

        @command
        def tsub(self, call):
            options, files = call.options("N:t:")          # as getopt; {"-N": "name"}
            script = call.read(files[0]) if files else call.stdin
            number = self.store.submit(script, name=options.get("-N", "job"), cwd=call.cwd)
            return Answer(f"{number}\\n")

        @command
        def tstat(self, call):
            return Answer("".join(f"{job.number} {job.state}\\n" for job in self.store.jobs()))

        def environment(self, job):
            return {"TINY_ID": str(job.number)}

Commands are methods marked with ``@command`` (``@command("b-sub")`` for other names); each is executed in a
transaction, so it reads and changes ``self.store`` (see ``store.Store``: ``submit``, ``jobs``, ``cancel``,
``hold``, ``release``, ``requeue``) as if it were alone. It returns an ``Answer``; ``Refusal`` may be raised
instead from anywhere. Behave as the real commands were seen to behave, in exit codes and words. A command is
a process of its own and starts in 40 ms, so import nothing slow at the top (no dataclasses, no argparse, no
subprocess, no typing).

States are ``PENDING RUNNING HELD SUSPENDED ENDED`` of ``store``; an ended job has ``ending`` (``EXIT``,
``CANCELLED``, ``WALLTIME``, ``MEMORY``, ``NODE``), ``exit_code`` and ``signal``. A job with a ``reason``
stays pending: ``self.store.change(job, reason="...")``. Whatever keywords ``submit`` gets are
``job.spec["..."]`` later. The settings of a site are ``self.store["name"]``, a dialect's own ones too: a test
sets them by ``Cluster(..., name=value)``; defaults stand in ``Dialect.settings``.

Forgotten jobs: ``store.jobs()`` does not list them once ``keep`` seconds have passed, ``jobs(history=True)``
does. An array has one job an index; a plain job has the index ``None``.
"""

# ruff: noqa: PTH109, PTH110, PTH123
# pathlib takes longer to import than a command may take to start, and os serves as well.

import getopt
import os
import sys
import time

from fakes.store import (
    CANCELLED,
    ENDED,
    EXIT,
    HELD,
    MEMORY,
    NODE,
    PENDING,
    RUNNING,
    SUSPENDED,
    WALLTIME,
    Job,
    Store,
)

__all__ = [
    "CANCELLED",
    "ENDED",
    "EXIT",
    "HELD",
    "MEMORY",
    "NODE",
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "WALLTIME",
    "Answer",
    "Call",
    "Dialect",
    "Job",
    "Refusal",
    "Store",
    "command",
    "main",
]

FOREVER = 900.0
"""Longer than any client in a test waits [s]; what a killed test leaves behind ends by itself."""


class Answer:
    """What a command prints and exits with."""

    def __init__(self, stdout="", stderr="", rc=0):
        self.stdout, self.stderr, self.rc = stdout, stderr, rc


class Refusal(Exception):
    """A command says no; the transaction is taken back."""

    def __init__(self, stderr, rc=1, stdout=""):
        super().__init__(stderr)
        self.answer = Answer(stdout, stderr if stderr.endswith("\n") else f"{stderr}\n", rc)


class Call:
    """How a command was called."""

    def __init__(self, name, args):
        self.name, self.args = name, list(args)
        self.cwd = os.getcwd()
        self._stdin = None

    @property
    def stdin(self):
        """All of its standard input, as text."""
        if self._stdin is None:
            self._stdin = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        return self._stdin

    def read(self, path):
        """The text of a file; ``Refusal`` if there is none."""
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                return stream.read()
        except OSError as error:
            raise Refusal(f"{self.name}: {path}: {error.strerror}") from error

    def options(self, short, args=None, many=""):
        """Split arguments, as ``getopt``.

        Args:
            short: The letters, with a colon after each that has a value.
            args: Other arguments than the call's, such as those of a script's directives.
            many: The letters that may be given several times: their values become a list.
        Returns:
            The options (``{"-N": "name", "-h": ""}``) and the other arguments.
        """
        try:
            pairs, rest = getopt.gnu_getopt(self.args if args is None else args, short)
        except getopt.GetoptError as error:
            raise Refusal(f"{self.name}: {error}", 2) from error
        options = {}
        for name, value in pairs:
            if name[1:] in many:
                options.setdefault(name, []).append(value)
            else:
                options[name] = value
        return options, rest


def command(method):
    """Mark a method of a dialect as a command; ``command("other-name")`` gives it another name."""
    if isinstance(method, str):

        def mark(function):
            function.command = method
            return function

        return mark
    method.command = method.__name__
    return method


class Dialect:
    """How one scheduler's commands read and answer; see the module for an example."""

    submits = ()
    """The commands that submit."""
    asks = ()
    """The commands that ask for states."""
    searches = ()
    """Further commands by which jobs are found."""
    cancels = ()
    """The commands that end jobs."""
    settings = {}  # noqa: RUF012 - a dialect without its own settings
    """Defaults of the dialect's own settings, and of those in ``store.DEFAULTS`` that it wants otherwise."""

    def __init__(self, store):
        self.store = store

    @classmethod
    def commands(cls):
        """The commands, name -> method name."""
        names = (name for name in dir(cls) if callable(getattr(cls, name)))
        return {getattr(cls, name).command: name for name in names if hasattr(getattr(cls, name), "command")}

    def environment(self, job):
        """The variables that a job finds on the node, besides HOME, PATH and those of its spec."""
        return {}

    def output(self, job, stream):
        """Where a job's ``stdout`` or ``stderr`` goes; the text is appended. Nowhere if it is empty, or if
        the folder is missing.
        """
        return job.spec[stream]

    def identity(self, job):
        """The id of a job as the scheduler's users know it."""
        return job.key

    def down(self, call):
        """What a command does while the daemons are down: an ``Answer``, or ``None`` for hanging."""
        return


def load(place):
    """The dialect class at ``module:Class``."""
    module, _, name = place.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name)


def main(place, name, args):
    """Execute one command.

    Args:
        place: ``module:Class`` of the dialect.
        name: The command; ``pump`` for making jobs start only.
        args: Its arguments.
    """
    dialect = load(place)
    folder = os.environ["CAF_FAKE_STATE"]
    if name == "pump":
        answer, fault = Answer(), {}
    else:
        answer, fault = _carry_out(dialect, Store(folder), Call(name, args))
    from fakes.pump import ensure

    ensure(dialect, folder)
    end = time.monotonic() + fault.get("hang", 0.0)
    while time.monotonic() < end and not ("until" in fault and os.path.exists(fault["until"])):
        time.sleep(0.02 if "until" in fault else end - time.monotonic())
    _print(answer, fault)


def _carry_out(dialect, store, call):
    with store.transaction():  # whoever sees that it was called may change all that decides what it does
        fault, down = store.called(call.name, call.args), store["down"]
    answer = Answer()
    if down:
        answer = dialect(store).down(call)
        if answer is None:
            answer, fault = Answer(), {"hang": FOREVER}
    elif fault.get("act", True):
        store.submission_delay = fault.get("late", 0.0)
        store.submission_copies = fault.get("copies", 1)
        store.listing_copies = fault.get("listed", 1)
        known = dialect.commands()
        try:
            with store.transaction():
                answer = getattr(dialect(store), known[call.name])(call)
        except Refusal as refusal:
            answer = refusal.answer
    store.close()
    return answer, fault


def _print(answer, fault):
    stdout, stderr = (
        fault.get(stream, getattr(answer, stream)).encode("utf-8", "surrogateescape")
        * fault.get("printed", 1)
        for stream in ("stdout", "stderr")
    )
    if fault.get("invalid"):
        middle = len(stdout) // 2
        stdout = stdout[:middle] + b"\xff\xfe\xc3" + stdout[middle:]
    if fault.get("half"):
        stdout = stdout[: len(stdout) // 2]
    for number, data in ((1, stdout), (2, stderr)):
        while data:
            data = data[os.write(number, data) :]
    os._exit(fault.get("rc", answer.rc))
