"""Objects on their way to another process."""

import json
import os
import subprocess
import sys
import threading
from types import ModuleType

import pytest
from attrs import frozen

from caf_core.calibration.algorithm import Algorithm
from caf_core.calibration.execution import CollectKit
from caf_core.calibration.files import write_atomically
from caf_core.calibration.loaded_algorithm import AlgorithmKit
from caf_core.calibration.own_modules import modules_beside, script_folder
from caf_core.calibration.shipping import pack, unpack
from caf_core.errors import ConfigurationError


class Holds:
    """Holds what it is given."""

    def __init__(self, **things):
        self.__dict__.update(things)

    def collect(self, context):
        """Collects nothing."""

    def calibrate(self, context):
        """Calibrates nothing."""


@frozen
class Nested:
    inner: object


LOCK = threading.Lock()


def uses_a_lock(context):
    """Needs a global that cannot be pickled."""
    with LOCK:
        return


def test_what_was_packed_comes_back(tmp_path) -> None:
    path = tmp_path / "kit.pickle"
    path.write_bytes(pack({"a": [1, 2], "b": (lambda x: x + 1)}, "a test"))
    value = unpack(path)
    assert value["a"] == [1, 2]
    assert value["b"](1) == 2


@pytest.mark.parametrize(
    ("collector", "where"),
    [
        (Holds(name="x", guard=threading.Lock()), "collector.guard"),
        (Holds(tools={"deep": [1, Nested(Holds(stream=sys.stderr))]}), "collector.tools.deep.1.inner.stream"),
        (Nested(threading.Lock()), "collector.inner"),
        ((lambda guard: lambda context: guard)(threading.Lock()), "collector.guard"),
    ],
)
def test_what_cannot_be_pickled_is_named_with_the_way_to_it(collector, where) -> None:
    kit = CollectKit(collector, {}, "alignment", "cosmics")
    with pytest.raises(ConfigurationError) as caught:
        kit.pack()
    text = str(caught.value)
    assert text.startswith(
        "the collector of calibration 'alignment', collection 'cosmics', cannot be sent to another process: "
        f"{where} ("
    )
    assert text.endswith(
        "create it inside collect() or calibrate() instead, or leave it out with __getstate__."
    )


def test_the_parameters_of_an_algorithm_are_searched_too() -> None:
    kit = AlgorithmKit(Algorithm(Holds(), "fit"), {"table": threading.Lock()}, None, "alignment")
    with pytest.raises(
        ConfigurationError, match=r"algorithm 'fit' of calibration 'alignment'.* params\.table \(lock\)"
    ):
        kit.pack()


def test_another_python_is_refused_before_anything_is_unpickled(tmp_path) -> None:
    path = tmp_path / "kit.pickle"
    header, body = pack([1], "the collector of calibration 'x'").split(b"\n", 1)
    changed = {**json.loads(header), "python": "2.7"}
    path.write_bytes(json.dumps(changed).encode() + b"\n" + b"this is no pickle")
    assert body
    with pytest.raises(
        ConfigurationError, match=r"packed by Python 2\.7 and this is Python .*use the same Python"
    ):
        unpack(path)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_code_that_others_may_write_is_refused_before_anything_is_unpickled(tmp_path, mode) -> None:
    path = tmp_path / "kit.pickle"
    before = os.umask(0o000)
    try:
        write_atomically(path, pack([1], "the collector of calibration 'x'"), own=True)
    finally:
        os.umask(before)
    assert unpack(path) == [1]
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"kit\.pickle holds pickled code, and others may write it"):
        unpack(path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_code_of_another_user_is_refused(tmp_path) -> None:
    path = tmp_path / "kit.pickle"
    path.write_bytes(pack([1], "the collector of calibration 'x'"))
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigurationError, match=r"kit\.pickle .* belongs to another user \(12345\)"):
        unpack(path)


def test_modules_beside_the_script_travel_with_it(tmp_path) -> None:
    """The other process has neither the script nor the module beside it."""
    (tmp_path / "helper.py").write_text("FACTOR = 3\n\ndef triple(x):\n    return FACTOR * x\n")
    (tmp_path / "script.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom helper import triple\nimport helper\n"
        "from caf_core.calibration.shipping import pack\n\n"
        "class Tool:\n    def work(self, x):\n        return triple(x) + helper.FACTOR\n\n"
        "Path(sys.argv[1]).write_bytes(pack(Tool(), 'a tool'))\n"
    )
    kit = tmp_path / "elsewhere" / "kit.pickle"
    kit.parent.mkdir()
    subprocess.run([sys.executable, tmp_path / "script.py", kit], check=True, timeout=60)
    code = (
        "from pathlib import Path\nfrom caf_core.calibration.shipping import unpack\n"
        f"print(unpack(Path({str(kit)!r})).work(2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=kit.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("9\n", "")


@pytest.mark.parametrize("path", [[""], []])
def test_without_a_script_it_is_the_current_folder_if_modules_are_looked_for_there(
    monkeypatch, tmp_path, path
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    monkeypatch.setattr(sys, "path", path)
    monkeypatch.chdir(tmp_path)
    assert script_folder() == (tmp_path if path else None)
    assert modules_beside(script_folder()) == ()
