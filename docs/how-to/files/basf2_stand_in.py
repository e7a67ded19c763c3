"""A stand-in for basf2, to try the page where basf2 is not installed: ``python basf2_stand_in.py``.

It makes ``setup.sh``, which a real installation of basf2 takes the place of, some events in ``data/``, and in
``stand-in/`` a ``basf2`` that knows just what the page uses. Its ROOT files are text behind ``root``.
"""

from pathlib import Path

BASF2 = '''
"""The part of basf2 that the page uses."""
import hashlib
from pathlib import Path

EVENT = {}
SAVE = []


class AfterConditionPath:
    END = "end"


class Conditions:
    """Testing payloads, searched from the last one added."""

    def __init__(self):
        self.testing, self.tags = [], []

    def override_globaltags(self, tags):
        self.tags = list(tags)

    def append_testing_payloads(self, name):
        self.testing.append(Path(name))

    def expert_settings(self, save_payloads):
        SAVE[:] = [Path(save_payloads)]

    def find(self, wanted, exp, run):
        for index in reversed(self.testing):
            for line in reversed(index.read_text().splitlines()):
                name, revision, iov = line.split()
                low, low_run, high, high_run = map(int, iov.split(","))
                high, high_run = (n if n >= 0 else 10**9 for n in (high, high_run))
                if name == "dbstore/" + wanted and (low, low_run) <= (exp, run) <= (high, high_run):
                    file = index.parent / f"dbstore_{wanted}_rev_{revision}.root"
                    return float(file.read_text().split()[1])
        return None


conditions = Conditions()


def store(name, value, iov):
    index = SAVE[0]
    index.parent.mkdir(parents=True, exist_ok=True)
    data = f"root {value!r}"
    revision = hashlib.md5(data.encode()).hexdigest()[:6]
    (index.parent / f"dbstore_{name}_rev_{revision}.root").write_text(data)
    with index.open("a") as file:
        print(f"dbstore/{name} {revision} {','.join(map(str, iov))}", file=file)


class Module:
    def __init__(self):
        self.value, self.branch = 1, None

    def initialize(self): ...
    def event(self): ...
    def terminate(self): ...

    def return_value(self, value):
        self.value = int(value)

    def if_value(self, condition, path, after=AfterConditionPath.END):
        self.branch = condition.replace("==", "== ")

    def if_false(self, path, after=AfterConditionPath.END):
        self.if_value("== 0", path, after)


class Known(Module):
    def __init__(self, name, params):
        super().__init__()
        self.name, self.params = name, params

    def event(self):
        if self.name == "TriggerSkim":
            self.return_value(EVENT["line"] in self.params["triggerLines"])
        if self.name == "CaTest":
            offset = conditions.find("Offset", EVENT["exp"], EVENT["run"]) or 0.0
            COLLECTED.append(f"{EVENT['exp']} {EVENT['run']} {EVENT['value'] - offset}")


COLLECTED = []


class Path_:
    def __init__(self):
        self.modules = []

    def add_module(self, module, **params):
        self.modules.append(module if isinstance(module, Module) else Known(module, params))
        return self.modules[-1]


Path_.__name__ = "Path"


def create_path():
    return Path_()


def process(path):
    params = {module.name: module.params for module in path.modules if isinstance(module, Known)}
    for name in params["RootInput"]["inputFileNames"]:
        for line in Path(name).read_text().splitlines():
            exp, run, value, trigger = line.split()
            EVENT.update(exp=int(exp), run=int(run), value=float(value), line=trigger)
            for module in path.modules:
                module.event()
                if module.branch and eval(f"{module.value} {module.branch}"):
                    break
    for module in path.modules:
        module.terminate()
    Path(params["HistoManager"]["histoFileName"]).write_text("root\\n" + "\\n".join(COLLECTED))
'''

ROOT = '''
"""The part of ROOT, and of the C++ of basf2, that the page uses."""
import statistics
from pathlib import Path
from types import SimpleNamespace

import basf2


def vector(_kind):
    return type("vector", (list,), {"push_back": list.append})


def pair(*_kinds):
    return lambda first, second: (first, second)


class EventMetaData:
    getExperiment = staticmethod(lambda: basf2.EVENT["exp"])
    getRun = staticmethod(lambda: basf2.EVENT["run"])


class TestCalibrationAlgorithm:
    """The mean of what was collected, on top of the offset that was known; iterates once."""

    def setInputFileNames(self, names):
        self.names = names

    def execute(self, runs, iteration, iov):
        lines = [line.split() for name in self.names for line in Path(name).read_text().splitlines()[1:]]
        values = [float(value) for exp, run, value in lines if (int(exp), int(run)) in runs]
        if len(values) < 2:
            return 2
        self.made = basf2.conditions.find("Offset", *runs[0]) or 0.0
        self.made, self.iov = self.made + statistics.mean(values), iov
        return 1 if iteration == 0 else 0

    def commit(self):
        basf2.store("Offset", self.made, self.iov)


Belle2 = SimpleNamespace(
    PyStoreObj=lambda _name: SimpleNamespace(obj=EventMetaData),
    IntervalOfValidity=lambda *numbers: numbers,
    TestCalibrationAlgorithm=TestCalibrationAlgorithm,
)
'''

LINE = "software_trigger_cut&skim&accept_mumu_2trk"


def main() -> None:
    """Write everything."""
    home = Path("stand-in").absolute()
    (home / "bin").mkdir(parents=True, exist_ok=True)
    (home / "basf2.py").write_text(BASF2)
    (home / "ROOT.py").write_text(ROOT)
    command = home / "bin" / "basf2"
    command.write_text('#!/bin/sh\nexec python3 "$@"\n')
    command.chmod(0o755)
    Path("setup.sh").write_text(f"export PATH='{home}/bin':$PATH PYTHONPATH='{home}'\n")
    for run in range(1, 6):
        values = [(run + 0.25 * step, LINE) for step in (-1, 0, 1)] + [(99.0, "other")]
        lines = [f"5 {run} {value} {line}" for value, line in values]
        file = Path(f"data/e0005/r{run:05}/raw.root")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
