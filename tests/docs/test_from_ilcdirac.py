"""The table of how-to/from-ilcdirac names what is really there, and every setting."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from caf_pandora.plan import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-ilcdirac.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| **", "| iLCDirac"))
]
OURS = sorted({name for row in ROWS for name in re.findall(r"`(caf_[\w.]+)`", row[1])})
FUNCTIONS = {
    "setConfig",
    "createCalibration",
    "createCalibrationSettings",
    "settingsDict",
    "CalibrationClient",
    "getResult",
    "getUserCalibrationStatuses",
    "killCalibrations",
    "cleanCalibrations",
    "changeDirectoryToCopyTo",
}


def names(column):
    return {name for row in ROWS for name in re.findall(r"`(\w+)`", row[column])}


def test_every_function_and_setting_has_a_row():
    assert names(0) >= FUNCTIONS
    told = {name for row in ROWS for cell in row for name in re.findall(r"`(\w+)`", cell)}
    assert set(SETTINGS) <= told


@pytest.mark.parametrize("name", OURS)
def test_name_of_ours_is_there(name):
    module, *path = name.split(".")
    thing = import_module(module)
    for part in path:
        try:
            thing = getattr(thing, part)
        except AttributeError:
            thing = import_module(f"{thing.__name__}.{part}")
    assert callable(thing)
