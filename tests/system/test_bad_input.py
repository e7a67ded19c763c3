"""Bad input: one clear sentence on stderr, the remedy, a non-zero exit code, and nothing lost.

After everything that goes wrong, the cure is applied and the same command completes.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import define

from caf_core.conditions.local import LocalDatabase
from caf_core.control.lease import Lease
from caf_core.control.store.migrations import SCHEMA_VERSION
from caf_core.control.store.opening import FILE_NAME

SCRIPT = """
import os
import signal
import sys
import threading
from pathlib import Path
from caf_core import CAF, Algorithm, Calibration, Collection, Outcome

HERE = Path(__file__).parent

class Collect:
    def collect(self, context):
        with open(HERE / "collected", "a") as counts:
            counts.write("x")
        # collect
        context.put((1, 1), [1.0], entries=1)

def fit(context):
    # fit
    return Outcome("ok", {"x": context.data().merged()})

cal = Calibration("cal", Collect(), [Algorithm(fit, "fit")], str(HERE / "in" / "*"))
caf = CAF(HERE / "out")
caf.add_calibration(cal)
# settings
caf.run()
"""


@define
class Desk:
    """Where a user writes a script and starts it."""

    folder: Path
    call: object

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, *options, collect="", fit="", settings=""):
        """Execute the script with some lines added."""
        text = SCRIPT
        for name, lines in (("collect", collect), ("fit", fit), ("settings", settings)):
            blanks = {"collect": 8, "fit": 4, "settings": 0}[name] * " "
            text = text.replace(
                f"{blanks}# {name}\n", "".join(f"{blanks}{line}\n" for line in lines.split("; "))
            )
        (self.folder / "script.py").write_text(text)
        return self.call("run", *options, self.folder / "script.py")

    def refused(self, code, *words, **lines) -> str:
        """Execute the script, which must end with this exit code and one sentence that has these words."""
        done = self.run(**lines)
        assert done.code == code, done.err
        sentences = [line for line in done.err.splitlines() if line.startswith("caf: ")]
        assert len(sentences) == 1, done.err
        assert done.err.endswith(sentences[0] + "\n")
        assert "Traceback" not in done.err
        assert len(sentences[0]) < 1200
        for word in words:
            assert word in sentences[0]
        return sentences[0]

    def completes(self, **lines) -> None:
        """Execute the script without the fault: it goes on, and there are constants."""
        done = self.run(**lines)
        assert done.code == 0, done.err
        assert [entry.name for entry in LocalDatabase(self.out / "outputdb").entries()] == ["x"]


@pytest.fixture
def desk(tmp_path, caf) -> Desk:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file.txt").touch()
    return Desk(tmp_path, caf)


FAULTS = {
    "raises": ("raise ValueError('no tracks')", "ValueError: no tracks"),
    "exits": ("sys.exit(3)", "exit code 3"),
    "exits with words": ("sys.exit('no beam today')", "no beam today"),
    "exits as if all were well": ("sys.exit(0)", "ended without returning"),
    "leaves at once": ("os._exit(0)", "ended without returning"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "crashes": ("os.abort()", "SIGABRT"),
    "prints a megabyte": ("print('x' * 10**6); sys.stderr.write('y' * 10**6); sys.exit(1)", "exit code 1"),
    "prints what is no text": (
        r"sys.stderr.buffer.write(b'\xff\x1b[31m\x00 broken\n'); sys.exit(1)",
        "broken",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_collector_that_breaks(desk, fault) -> None:
    lines, words = FAULTS[fault]
    said = desk.refused(1, "collection 'default'", words, "start again", collect=lines)
    assert said.isprintable()
    desk.completes()


@pytest.mark.parametrize("fault", FAULTS)
def test_an_algorithm_that_breaks(desk, fault) -> None:
    lines, words = FAULTS[fault]
    said = desk.refused(1, "algorithm 'fit'", words, "start again", fit=lines)
    assert said.isprintable()
    desk.completes()
    assert (desk.folder / "collected").read_text() == "x"


def test_a_megabyte_on_the_way_does_no_harm(desk) -> None:
    desk.completes(collect="print('x' * 10**6)", fit="print('y' * 10**6); sys.stderr.write('z' * 10**6)")
    logs = sorted(path.stat().st_size for log in ("stdout", "stderr") for path in desk.out.rglob(log))
    assert logs[-2:] == [10**6 + 1, 2 * 10**6 + 1]


def test_a_collector_that_leaves_nothing(desk) -> None:
    desk.refused(1, "found no run that is wanted in 1 task(s)", "caf why cal default/0", collect="return")
    desk.completes()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("return None", "returned NoneType; calibrate() returns an Outcome"),
        ("return Outcome('fine')", "'fine' is no result of an algorithm; it can be 'ok', 'iterate'"),
        ("return Outcome('ok', 'x')", "'x' is no payload; give {name: content}, or a list of Payload(name"),
        ("return Outcome('ok', [('x', 1)])", "('x', 1) is no payload"),
        ("return Outcome('ok', {}, None)", "the metrics are None; give {name: Metric(value, tolerance)}"),
        ("return Outcome('not_enough_data')", "too few data"),
        ("return Outcome('failure', message='no peak')", "no peak"),
        ("return Outcome('ok', {'x': object()})", "payload 'x'"),
        ("return Outcome('ok', {'x': [threading.Lock()]})", "payload 'x'"),
        ("return Outcome('ok', {'a/b': 1})", "'a/b'"),
        ("return Outcome('ok', {'x': 1}, {'shift': 0.5})", "'shift' is 0.5; give Metric(value, tolerance)"),
        ("context.data(collection='muons')", "there is no collection 'muons'; there are: default"),
        ("context.conditions.get('alignment', (1, 1))", "alignment"),
    ],
)
def test_an_answer_that_is_none(desk, line, words) -> None:
    desk.refused(1, "algorithm 'fit'", words, fit=line)
    desk.completes()
    assert (desk.folder / "collected").read_text() == "x"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"settings": "cal.collector.lock = threading.Lock()"}, "collector.lock (lock)"),
        ({"settings": "cal.algorithms[0].params['stream'] = sys.stderr"}, "params.stream ("),
    ],
)
def test_what_cannot_be_pickled_is_named(desk, lines, words) -> None:
    desk.refused(2, words, "create it inside collect() or calibrate()", **lines)
    desk.completes()


def test_collected_data_that_cannot_be_pickled(desk) -> None:
    desk.refused(
        1, "collection 'default'", "pickle", collect="context.put((1, 1), threading.Lock(), entries=1)"
    )
    desk.completes()


CONFIGURATION = {
    "two calibrations of one name": (
        "caf.add_calibration(Calibration('cal'))",
        "two calibrations are called 'cal'",
    ),
    "a cycle": (
        "b = Calibration('b', cal.collector, [fit]); b.depends_on(cal); cal.depends_on(b); "
        "caf.add_calibration(b)",
        "cal -> b -> cal; remove one depends_on",
    ),
    "a strategy that is unknown": (
        "cal.strategies = 'SingelIOV'",
        "there is no strategy called 'SingelIOV'; available:",
    ),
    "a backend that is unknown": (
        "cal.backend = 'condor'",
        "there is no backend called 'condor'; available:",
    ),
    "a runner that is unknown": ("cal.runner = 'fast'", "there is no runner called 'fast'; available:"),
    "a splitter that is unknown": (
        "cal.collections['default'].splitter = 'x'",
        "there is no splitter called 'x'",
    ),
    "a granularity that does not fit": (
        "cal.collections['default'].granularity = 'all'; cal.strategies = 'SequentialRunByRun'",
        "needs granularity 'run'",
    ),
    "a parameter that does not fit": (
        "cal.strategies = 'SequentialRunByRun'; cal.algorithms[0].params['step_size'] = 0",
        "step_size is 0",
    ),
    "a parameter that is misspelt": (
        "cal.strategies = 'SequentialRunByRun'; cal.algorithms[0].params['stepsize'] = 2",
        "do you mean 'step_size'?",
    ),
    "a parameter of another strategy": (
        "cal.algorithms[0].params['payload_boundaries'] = [(1, 1)]",
        "payload_boundaries is a parameter of SequentialBoundaries, and its strategy is SingleIOV",
    ),
    "parameters that are no table": ("cal.algorithms[0].params = [1]", "params is [1]"),
    "a coverage without what is requested": (
        "cal.strategies = 'SequentialRunByRun'; cal.algorithms[0].params['iov_coverage'] = (7, 0, 7, -1); "
        "caf.run(iov=(1, 0, 2, -1))",
        "only runs in 1,0,2,-1 are requested",
    ),
    "a coverage that leaves a file out": (
        "cal.strategies = 'SequentialRunByRun'; cal.algorithms[0].params['iov_coverage'] = (7, 0, 7, -1); "
        "from caf_core import IoV; "
        "cal.files_to_iovs = {str(name): IoV(1, 1, 1, 9) for name in (HERE / 'in').iterdir()}",
        "has data of run 1,1; widen it",
    ),
    "no algorithm": ("cal.algorithms = []", "has no algorithms"),
    "a file that does not exist": ("cal.input_files = [HERE / 'gone.root']", "gone.root"),
    "an interval that is none": ("caf.run(iov=(1, 2, 3))", "is not an IoV"),
}


@pytest.mark.parametrize("fault", CONFIGURATION)
def test_a_configuration_that_cannot_work_starts_nothing(desk, fault) -> None:
    settings, words = CONFIGURATION[fault]
    desk.refused(2, words, settings=settings)
    assert not desk.out.exists()
    desk.completes()


def test_a_second_controller(desk) -> None:
    (desk.out / ".caf").mkdir(parents=True)
    lease = Lease(desk.out / ".caf")
    desk.refused(3, "is driven by another controller", f"pid {os.getpid()}", "wait for it, or stop it")
    lease.release()
    desk.completes()


def test_a_checkpoint_that_is_damaged(desk) -> None:
    desk.completes()
    good = (desk.out / FILE_NAME).read_bytes()
    (desk.out / FILE_NAME).write_bytes(b"\0" * 5000)
    desk.refused(3, FILE_NAME, "damaged", "restore it from a backup, or move it away")
    (desk.out / FILE_NAME).write_bytes(good)
    desk.completes()
    assert (desk.folder / "collected").read_text() == "x"
    (desk.out / FILE_NAME).rename(desk.out / "old")
    desk.completes()


def test_a_checkpoint_of_a_newer_caf(desk) -> None:
    import sqlite3

    desk.completes()
    connection = sqlite3.connect(desk.out / FILE_NAME)
    connection.execute("UPDATE setting SET value = '999' WHERE key = 'schema'")
    connection.commit()
    desk.refused(3, "written by a newer caf", "upgrade caf-core")
    connection.execute(f"UPDATE setting SET value = '{SCHEMA_VERSION}' WHERE key = 'schema'")
    connection.commit()
    connection.close()
    desk.completes()


HOSTILE = [
    "with space",
    "quote'\"both",
    "line\nbreak",
    "ümläut-日本",
    "[a]*?",
    "$(id);&",
    "-o",
    "no-text-\udcff",
]


def test_hostile_file_names_reach_python_collectors_as_they_are(desk) -> None:
    for name in HOSTILE:
        (desk.folder / "in" / name).write_text("1")
    (desk.folder / "in" / "file.txt").write_text("1")
    desk.completes(
        collect="assert [int(open(n).read()) for n in context.input_files] == [1]",
        settings="cal.collections['default'].max_files_per_collector_job = 1",
    )
    assert len((desk.folder / "collected").read_text()) == len(HOSTILE) + 1


def test_words_that_are_no_text_are_kept_escaped(desk) -> None:
    r"""A message, a metric's name and an exception with ``\udcff`` in it, as names of files have."""
    metric = r"'no-text-\udcff': Metric(0.0, 1.0)"
    desk.completes(
        fit="from caf_core import Metric; "
        rf"return Outcome('ok', {{'x': 1}}, {{{metric}}}, 'made of no-text-\udcff')",
    )
    assert "made of no-text-\\\\udcff" in desk.call("payloads", "-p", desk.out, "--json").out
    desk.refused(1, "made of no-text-", fit=r"raise ValueError('made of no-text-\udcff')")
    assert desk.call("status", "-p", desk.out).code == 0
    desk.completes()


def test_hostile_names_reach_commands_as_they_are(desk) -> None:
    for name in HOSTILE:
        (desk.folder / "in" / name).write_text("1")
    program = (
        "import json; names = json.load(open('input_files.json'));"
        "json.dump([[1, 1, sum(int(open(name).read() or 0) for name in names)]], open('runs.json', 'w'))"
    )
    (desk.folder / "command.py").write_text(program)
    desk.completes(
        settings="from caf_core.calibration.collector import CommandCollector; "
        "cal.collector = CommandCollector([sys.executable, HERE / 'command.py'])",
        fit=f"assert context.data().entries == {len(HOSTILE)}; return Outcome('ok', {{'x': 1}})",
    )


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_of_a_missing_file_stays_in_one_line(desk, name) -> None:
    said = desk.refused(2, "do not exist", settings=f"cal.input_files = [HERE / {name + '-gone'!r}]")
    assert said.isprintable()


@pytest.mark.parametrize("name", ["out with space", "out'\"", "ümläut", "line\nbreak"], ids=ascii)
def test_hostile_output_directories(desk, name) -> None:
    done = desk.run(settings=f"caf.output_dir = HERE / {name!r}")
    assert done.code == 0, done.err
    assert LocalDatabase(desk.folder / name / "outputdb").entries()


def test_an_output_directory_that_is_a_file(desk) -> None:
    desk.out.touch()
    desk.refused(3, "cannot be made", "choose another one")
    desk.out.unlink()
    desk.completes()


AS_NOBODY = """
import os, sys
from pathlib import Path
from caf_core.cli.app import execute
from caf_core import CAF, Algorithm, Calibration, Collection, Outcome
from caf_core.control import session, checking
import caf_core.cli.run, caf_core.cli.progress, caf_core.cli.checked, caf_core.cli.script
import caf_core.control.store.store
from caf_core.plugins.registry import Registry
registry = Registry.load()
for name in registry.names("strategy"): registry.strategy(name)
registry.backend("local"); registry.codecs(); registry.conditions_openers()
for name in registry.names("runner"): registry.runner(name)
from importlib.metadata import version; version("caf-core")
os.setgid(65534); os.setuid(65534)
sys.exit(execute(["run", sys.argv[1]]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("mode", [0o755, 0o555])
def test_an_output_directory_that_may_not_be_written(caf, mode) -> None:
    folder = (
        Path("/tmp") / f"caf-readonly-{os.getpid()}-{mode}"
    )  # every folder above has to be open to others
    folder.mkdir(mode=0o755)
    try:
        desk = Desk(folder, caf)
        (folder / "in").mkdir()
        (folder / "in" / "file.txt").touch()
        (folder / "script.py").write_text(SCRIPT)
        desk.out.mkdir(mode=mode)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, folder / "script.py"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 3, done.stderr
        assert done.stderr.startswith("caf: the output directory")
        assert "choose another one" in done.stderr
        assert done.stderr.count("\n") == 1
        assert list(desk.out.iterdir()) == []
        desk.completes()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of half a megabyte, and a function that makes it larger."""
    mount = tmp_path / "disk"
    mount.mkdir()

    def remount(options: str) -> int:
        words = ["mount", "-t", "tmpfs", "-o", options, "none", str(mount)]
        return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode

    if os.geteuid() != 0 or remount("size=512k") != 0:
        pytest.skip("mounting a small filesystem is not allowed here")
    yield mount, lambda: remount("remount,size=64m")
    subprocess.run(["umount", "-l", mount], timeout=30, check=False)


@pytest.mark.parametrize("who", ["collect", "fit"])
def test_a_full_output_directory(desk, small_disk, who) -> None:
    mount, enlarge = small_disk
    fills = {
        "collect": "context.put((1, 1), b'x' * 3000000, entries=1)",
        "fit": "Path('big').write_bytes(b'x' * 3000000)",
    }
    settings = f"caf.output_dir = Path({str(mount)!r})"
    done = desk.run(settings=settings, **{who: fills[who]})
    assert done.code in (1, 3, 4), done.err
    assert "No space left on device" in done.err or "full" in done.err
    assert "Traceback" not in done.err
    assert enlarge() == 0
    done = desk.run(settings=settings)
    assert done.code == 0, done.err


def test_an_output_directory_that_is_full_from_the_beginning(desk, small_disk) -> None:
    mount, enlarge = small_disk
    with (mount / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    settings = f"caf.output_dir = Path({str(mount)!r})"
    desk.refused(3, "free some space", settings=settings)
    assert enlarge() == 0
    done = desk.run(settings=settings)
    assert done.code == 0, done.err


@pytest.fixture
def root_files(desk):
    """A good ROOT file, and ways to spoil it."""
    numpy, uproot = pytest.importorskip("numpy"), pytest.importorskip("uproot")
    (desk.folder / "in" / "file.txt").unlink()
    with uproot.recreate(desk.folder / "in" / "good.root") as file:
        file["events"] = {"run": numpy.full(100, 7), "x": numpy.linspace(0.0, 1.0, 100)}
    return (desk.folder / "in" / "good.root").read_bytes()


READS = (
    "from caf_root import read_chunks; "
    "[context.put((1, 7), [float(c['x'].sum())], entries=len(c['x'])) "
    "for c in read_chunks(context.input_files, 'events', ['run', 'x'])]; return"
)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path, good: path.write_bytes(b""), "empty"),
        (lambda path, good: path.write_bytes(good[: len(good) // 2]), "bad.root"),
        (lambda path, good: path.write_text("exp run x\n1 7 0.5\n" * 99), "bad.root"),
        (lambda path, good: path.mkdir(), "bad.root"),
    ],
    ids=["empty", "truncated", "not ROOT", "a folder"],
)
def test_a_root_file_that_is_none(desk, root_files, spoil, words) -> None:
    bad = desk.folder / "in" / "bad.root"
    spoil(bad, root_files)
    one_each = "cal.collections['default'].max_files_per_collector_job = 1"
    desk.refused(1, "1 of 2 task(s) failed", words, "bad.root", collect=READS, settings=one_each)
    bad.rmdir() if bad.is_dir() else bad.unlink()
    done = desk.run(collect=READS, settings=one_each)
    assert done.code == 0, done.err
    assert (desk.folder / "collected").read_text() == "xx"  # the good one was not read again


def test_a_root_file_that_vanishes(desk, root_files) -> None:
    gone = "Path(context.input_files[0]).unlink(missing_ok=True); " + READS
    desk.refused(1, "good.root", collect=gone)
    (desk.folder / "in" / "good.root").write_bytes(root_files)
    assert desk.run(collect=READS).code == 0
