"""A small calibration on the local backend, executed once for all tests that only look at what it left."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from caf_core.cli.app import execute
from fakes.cluster import Cluster

SCRIPT = '''
"""Two calibrations; the second waits for the first."""
import sys
from pathlib import Path

from caf_core.calibration.algorithm import Metric, Outcome
from caf_core.calibration.calibration import Calibration
from caf_core.control.caf import CAF


class Collector:
    def collect(self, context):
        for name in context.input_files:
            for line in Path(name).read_text().splitlines():
                exp, run, value = line.split()
                context.put((int(exp), int(run)), [float(value)], entries=1)


def fit(context):
    values = context.data().merged()
    print("fitting", len(values), file=sys.stderr)
    if min(values) < 0:
        raise RuntimeError("negative values")
    mean = sum(values) / len(values)
    return Outcome("ok", {f"mean_{context.calibration}": mean}, {"mean": Metric(0.0, 1.0)})


def calibration(name, folder):
    made = Calibration(name, Collector(), [fit], sorted(str(file) for file in folder.iterdir()))
    made.strategies = "SingleIOV"
    made.collections["default"].max_files_per_collector_job = 1
    return made


caf = CAF()
first = calibration("first", Path(sys.argv[1]))
second = calibration("second", Path(sys.argv[1]))
second.depends_on(first)
caf.add_calibration(first)
caf.add_calibration(second)
print("script:", *sys.argv[1:])
caf.run()
print("script: done")
'''

HOSTILE = ("a b'\".txt", "two\nlines.txt", "größe [1].txt", "-o.txt")


class Called:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def caf(capsys):
    """Call ``caf`` in this process: quick, for commands that only read."""

    def call(*words: object) -> Called:
        capsys.readouterr()
        code = execute([str(word) for word in words])
        captured = capsys.readouterr()
        return Called(code, captured.out, captured.err)

    return call


def caf_process(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Call ``caf`` as a user does: a process of its own, its output in pipes."""
    return subprocess.run(
        command_line(words), capture_output=True, text=True, errors="surrogateescape", timeout=300, **options
    )


def command_line(words: Sequence[object]) -> list[str]:
    """The argument list of a ``caf`` process."""
    return [sys.executable, "-m", "caf_core.cli", *map(str, words)]


@pytest.fixture(scope="session")
def run_caf():
    """``caf_process``."""
    return caf_process


@pytest.fixture(scope="session")
def caf_words():
    """``command_line``."""
    return command_line


@pytest.fixture(scope="session")
def script(tmp_path_factory) -> Path:
    """The script, in a folder with a blank."""
    path = tmp_path_factory.mktemp("my scripts") / "calibrate me.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="session")
def good_input(tmp_path_factory) -> Path:
    """Input files with names that break careless programs."""
    folder = tmp_path_factory.mktemp("input")
    for run, name in enumerate(HOSTILE):
        (folder / name).write_text(f"1 {run} {run + 1}.0\n")
    (folder / os.fsdecode(b"\xff.txt")).write_text("1 9 4.0\n")  # a name that is no text at all
    return folder


@pytest.fixture(scope="session")
def good(tmp_path_factory, script, good_input) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """An output directory where everything went well, and what ``caf run`` said."""
    output = tmp_path_factory.mktemp("good") / "out put"
    return output, caf_process("run", "-o", output, script, good_input, "--extra")


@pytest.fixture(scope="session")
def bad(tmp_path_factory, script) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One where a collector task failed."""
    folder = tmp_path_factory.mktemp("bad input")
    (folder / "0.txt").write_text("1 0 1.0\n")
    (folder / "1.txt").write_text("this is no number\n")
    output = tmp_path_factory.mktemp("bad") / "out"
    return output, caf_process("run", "-o", output, script, folder)


@pytest.fixture(scope="session")
def ugly(tmp_path_factory, script) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One where the algorithm raised."""
    folder = tmp_path_factory.mktemp("ugly input")
    (folder / "0.txt").write_text("1 0 -1.0\n")
    output = tmp_path_factory.mktemp("ugly") / "out"
    return output, caf_process("run", "-o", output, script, folder)


SiteMaker = Callable[..., AbstractContextManager[Cluster]]


@pytest.fixture
def make_site(tmp_path, monkeypatch) -> SiteMaker:
    """Makes a folder where ``caf`` finds a plugin with backends, and a fake scheduler for them."""

    @contextmanager
    def made(
        backends: Mapping[str, str],
        modules: Mapping[str, str],
        *,
        folder: str,
        poll_interval: float,
        **scheduler: float,
    ) -> Iterator[Cluster]:
        packages = tmp_path / "packages"
        info = packages / "tiny-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[caf]\ntiny = tiny_plugin\n")
        lines = "".join(f"    register({name!r}, {place!r})\n" for name, place in backends.items())
        (packages / "tiny_plugin.py").write_text(
            "from caf_core.plugins.markers import hookimpl\n\n\n"
            f"@hookimpl\ndef caf_register_backends(register):\n{lines}"
        )
        for name, text in modules.items():
            (packages / f"{name}.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", f"{packages}:{Path(__file__).parents[1]}")
        monkeypatch.delenv("CAF_CONFIG")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        with Cluster("fakes.tiny:Tiny", tmp_path / "cluster", **scheduler) as cluster:
            Path("caf.toml").write_text(
                f'backend = "tiny"\n[backends.tiny]\npath_prefix = {json.dumps(cluster.path_prefix)}\n'
                f"poll_interval = {poll_interval}\ngrace = 60\n"
            )
            yield cluster

    return made


@pytest.fixture
def started(caf_words):
    """Start a ``caf`` process that the test interrupts."""
    processes = []

    def start(*words):
        process = subprocess.Popen(
            caf_words(words),
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=dict(os.environ),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
