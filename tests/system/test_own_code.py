"""Functions and classes of a script and of the modules beside it, in the script's tasks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAF = Path(sys.executable).with_name("caf")

BEGIN = """\
from caf_core import CAF, Calibration, Outcome
"""


def execute(folder: Path, *words: object, code: int = 0, stdin: str = "") -> str:
    """Execute a command in a folder; what it said."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def payloads(folder: Path) -> str:
    """The payloads that a script left."""
    return execute(folder, CAF, "payloads", "out", "--show")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two input files."""
    for run in (1, 2):
        (tmp_path / f"run_{run}.txt").write_text(f"{run}\n")
    return tmp_path


PARALLEL = """
import enum, functools, multiprocessing, typing
from collections import namedtuple
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from caf_core import CAF, Calibration, Outcome
import helper

Channel = typing.NewType("Channel", int)
Point = namedtuple("Point", "x y")
offset, executors = None, []

class Colour(enum.Enum):
    RED = 1

@dataclass
class Sum:
    total: float
    class Part(Exception):
        pass
    @staticmethod
    def merge(parts):
        return Sum(sum(part.total for part in parts))

@functools.lru_cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

def square(channel: Channel):
    return helper.square(channel)

def remember(value):
    global offset
    offset = value

def add(value):
    return value + offset

class Collector:
    @functools.cached_property
    def factor(self):
        return 2

    def twice(self, value):
        return self.factor * value

    def collect(self, context):
        found = []
        for method in ("fork", "spawn", "forkserver"):
            ways = multiprocessing.get_context(method)
            with ways.Pool(1, remember, (10,)) as pool:
                calls = (square, helper.square, self.twice, add, fibonacci)
                found += [pool.map(call, [1, 2]) for call in calls]
            with ProcessPoolExecutor(1, mp_context=ways) as executor:
                found.append(list(executor.map(square, [3])))
        executors.append(ThreadPoolExecutor(1))
        executors[0].submit(print, "and is not shut down")
        helper.executors = executors
        context.put((1, 1), Sum(float(len(context.input_files))), entries=1)
        for run, item in enumerate((found, [Point(1, Colour.RED)], [Sum.Part("nested")]), 2):
            context.put((1, run), item, entries=1)

def mean(context):
    kept = [item for _, item in context.data().chunks()]
    for method in ("spawn", "forkserver"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as executor:
            assert executor.submit(repr, kept[2:]).result() == repr(kept[2:])
    return Outcome("ok", {"v": [kept[0].total, kept[1] == 3 * EXPECTED, repr(kept[2:])]})

EXPECTED = [[1, 4], [1, 4], [2, 4], [11, 12], [1, 1], [9]]
if __name__ == "__main__":
    calibration = Calibration("c", collector=Collector(), algorithms=[mean], input_files=["run_1.txt"])
    caf = CAF(output_dir="out")
    caf.add_calibration(calibration)
    caf.run()
"""


def test_processes_and_pickles_find_what_is_the_users_own(folder: Path) -> None:
    """Whatever starts the processes; the algorithm mentions none of the classes that it is given."""
    (folder / "helper.py").write_text("def square(value):\n    return value * value\n")
    script = folder / "with-hyphen.py"
    script.write_text(PARALLEL)
    execute(folder, CAF, "run", "-q", script)
    assert "[1.0, True, \"[[Point(x=1, y=<Colour.RED: 1>)], [Part('nested')]]\"]" in payloads(folder)

    # What was collected is used again by a process that has never seen the class.
    script.write_text(PARALLEL.replace('"v": [', '"v": ["again", '))
    execute(folder, sys.executable, script)
    assert "['again', 1.0, True" in payloads(folder)
    assert not (folder / "out/c/0/collector_output/default/0/attempt-2").exists()


MODULES = {
    "options.py": (
        "cut = 1\ntable = {}\nmissing = object()\n\ndef given(x=missing):\n    return x is not missing\n"
    ),
    "settings.py": (
        "import sys\nassert sys.argv[1:] == ['--fast'], sys.argv\ntext = open('settings.txt').read()\n\n"
        "def setting():\n    return text\n"
    ),
    "settings.txt": "setting",
    "statistics.py": "def mean(values):\n    return -1\n",
    "package/__init__.py": "from .guarded import guarded, LOCK\n",
    "package/guarded.py": (
        "import threading\nfrom pathlib import Path\nfrom package import bare\nLOCK = threading.Lock()\n\n"
        "def guarded():\n    from .late import late\n    with LOCK:\n"
        "        return late() + Path(__file__).with_name('data.txt').read_text()\n"
    ),
    "package/late.py": "def late():\n    return 'late '\n",
    "package/bare.py": "",
    "package/data.txt": "data",
    "no_init/inner.py": "def inner():\n    return 'inner'\n",
    "script.py": (
        "import sys\nfrom caf_core import CAF, Calibration, Outcome\n"
        "import options, package, settings, statistics\n"
        "from no_init.inner import inner\n\noptions.cut = 7\noptions.table['key'] = 8\n\n"
        "def collect(context):\n"
        "    found = [options.cut, options.table, options.given(options.missing), options.given(1),\n"
        "             package.guarded(), inner(), statistics.mean([1]), settings.setting()]\n"
        "    assert {'options', 'package.guarded', 'no_init'} <= {*sys.modules}\n"
        "    context.put((1, 1), [found], entries=1)\n\n"
        "def fit(context):\n    return Outcome('ok', {'v': context.data().merged()[0]})\n\n"
        "calibration = Calibration('c', collector=collect, algorithms=[fit], input_files=['run_1.txt'],\n"
        "                          preload=('options', 'statistics'))\n"
        "caf = CAF(output_dir='out')\ncaf.add_calibration(calibration)\ncaf.run()\n"
    ),
}


@pytest.mark.parametrize(
    "words", [("caf", "run", "-q", "script.py", "--fast"), ("python", "-m", "work.script", "--fast")]
)
def test_modules_beside_the_script_are_what_they_were_there(folder: Path, words: tuple[str, ...]) -> None:
    """With their variables as the script set them, objects that are compared by identity, and locks."""
    place = folder / "work" if "-m" in words else folder
    for name, text in MODULES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    if "-m" in words:
        script = (
            (place / "script.py")
            .read_text()
            .replace("import sys\n", "import sys\nsys.path.insert(0, 'work')\n")
        )
        (place / "script.py").write_text(script)
    (folder / "settings.txt").write_text(MODULES["settings.txt"])
    execute(folder, CAF.with_name(words[0]), *words[1:])
    assert "[7, {'key': 8}, False, True, 'late data', 'inner', -1, 'setting']" in payloads(folder)


@pytest.mark.parametrize("edited", ["before it is run", "while it is run"])
def test_a_module_is_used_as_it_was_imported(folder: Path, edited: str) -> None:
    """Two calibrations one after the other in one process share the process that executes tasks."""
    (folder / "helper.py").write_text("def value():\n    return 'nothing'\n")
    (folder / "script.py").write_text(
        BEGIN + "import importlib, sys, helper\nfrom pathlib import Path\nsys.dont_write_bytecode = True\n"
        "def edit():\n    Path(__file__).with_name('helper.py').write_text('edited, and not imported')\n\n"
        "def collect(context):\n    edit()\n    context.put((1, 1), [helper.value()], entries=1)\n\n"
        "def fit(context):\n    return Outcome('ok', {'v': context.data().merged() + [helper.value()]})\n\n"
        "for text in ('first', 'second'):\n"
        "    Path('helper.py').write_text(f'def value():\\n    return {text!r}\\n')\n"
        "    importlib.reload(helper)\n    if sys.argv[1] == 'before it is run':\n        edit()\n"
        "    calibration = Calibration(\n        text, collector=collect, algorithms=[fit],\n"
        "        input_files=['run_1.txt'], preload=('helper',)\n    )\n"
        "    caf = CAF(output_dir='out_' + text)\n    caf.add_calibration(calibration)\n    caf.run()\n"
    )
    execute(folder, sys.executable, "script.py", edited)
    for text in ("first", "second"):
        assert f"['{text}', '{text}']" in execute(folder, CAF, "payloads", f"out_{text}", "--show")


def test_tracebacks_and_the_debugger_show_the_source_that_was_submitted(folder: Path) -> None:
    """Also when the files have been edited since, or are gone."""
    (folder / "helper.py").write_text(
        "def inverse(line):\n    value = float(line)\n    return 1 / (value - 1)\n"
    )
    (folder / "script.py").write_text(
        BEGIN + "from helper import inverse\n\ndef collect(context):\n    for name in context.input_files:\n"
        "        found = [inverse(line) for line in open(name)]\n"
        "calibration = Calibration('c', collector=collect, algorithms=[lambda context: Outcome('ok')],\n"
        "                          input_files=['run_1.txt'])\n"
        "caf = CAF(output_dir='out')\ncaf.add_calibration(calibration)\ncaf.run()\n"
    )
    execute(folder, CAF, "run", "-q", "script.py", code=1)
    (folder / "helper.py").unlink()
    (folder / "script.py").write_text("# edited\n" * 9)
    expected = [
        f'File "{folder}/script.py", line 6, in collect\n',
        "    found = [inverse(line) for line in open(name)]\n",
        f'File "{folder}/helper.py", line 3, in inverse\n',
        "    return 1 / (value - 1)\n",
    ]
    told = (folder / "out/c/0/collector_output/default/0/attempt-1/stderr").read_text()
    again = execute(
        folder, CAF, "debug", "-p", "out", "--pdb", "c", "default/0", code=1, stdin="list\nup\nlist\n"
    )
    for line in expected:
        assert line in told
        assert line in again
    assert "  3  ->\t    return 1 / (value - 1)\n" in again
    assert "  5  \t    for name in context.input_files:\n" in again
