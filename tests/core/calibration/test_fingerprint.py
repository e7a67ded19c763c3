"""Fingerprints change when what is computed changes, and else never."""

import collections
import functools
import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from caf_core.calibration.fingerprint import fingerprint

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def copied(value):
    """An equal value that shares nothing with it."""
    if isinstance(value, list):
        return [copied(item) for item in value]
    if isinstance(value, dict):
        return {key: copied(value[key]) for key in reversed(value)}
    return value


@given(PLAIN)
def test_equal_values_have_equal_fingerprints_whatever_they_share(value) -> None:
    assert fingerprint([value, value]) == fingerprint([copied(value), copied(value)])


@given(PLAIN, PLAIN)
def test_other_values_have_other_fingerprints(one, other) -> None:
    if repr(copied(one)) != repr(copied(other)) and one != other:
        assert fingerprint(one) != fingerprint(other)


@define
class Cut:
    low: float
    names: set = field(factory=lambda: {"a", "b", "c"})


class Plain:
    def __init__(self, value):
        self.value = value


class Stateful(Plain):
    def __getstate__(self):
        return {"value": self.value}


class Inherits(Stateful):
    pass


def scale(x, factor):
    return x * factor


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Cut(1.0), Cut(2.0)),
        (Plain(1), Plain(2)),
        (Inherits(1), Inherits(2)),
        (functools.partial(scale, factor=2), functools.partial(scale, factor=3)),
        (functools.partial(scale, 2), functools.partial(len, 2)),
        (collections.deque([1]), collections.deque([2])),
        (collections.OrderedDict(a=1), collections.OrderedDict(a=2)),
        (collections.defaultdict(list, a=1), collections.defaultdict(set, a=1)),
        (Path("/a"), Path("/b")),
        ({1, 2}, {1, 3}),
        (frozenset("ab"), {"a", "b"}),
        (1, True),
        (1, 1.0),
        ("1", 1),
        (Plain(1).__init__, Plain(2).__init__),
        (lambda: 1, lambda: 2),
        (lambda x=1: x, lambda x=2: x),
        (lambda x: ["a" for _ in x], lambda x: ["b" for _ in x]),
        (lambda x: x.real, lambda x: x.imag),
    ],
)
def test_objects_differ_by_what_they_hold(one, other) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_cycles_end() -> None:
    first, second = Plain(None), Plain(None)
    first.value, second.value = first, [second]
    assert fingerprint(first) != fingerprint(second)


def test_what_cannot_be_pickled_does_no_harm() -> None:
    def with_file(name):
        return Plain((name, sys.stderr, logging.getLogger("x"), object()))

    assert fingerprint(with_file("a")) == fingerprint(with_file("a"))
    assert fingerprint(with_file("a")) != fingerprint(with_file("b"))


def test_an_array_counts_by_its_content() -> None:
    numpy = pytest.importorskip("numpy")
    assert fingerprint(numpy.arange(3)) == fingerprint(numpy.arange(3))
    assert fingerprint(numpy.arange(3)) != fingerprint(numpy.arange(3.0))
    assert fingerprint(numpy.arange(3)) != fingerprint(numpy.arange(1, 4))
    assert fingerprint(numpy.array([None, "a"])) == fingerprint(numpy.array([None, "a"]))


SCRIPT = '''
import math
import helper
from attrs import define, field
from helper import gain

OFFSET = 5
UNUSED = 1
TABLE = {"a", "b", "c"}

def correct(x):
    """Apply the offset."""
    return x + OFFSET

def unused(x):
    return x

def make(power):
    def inner(x):
        return x ** power
    return inner

CUBE = make(3)

@define
class Collect:
    cut: float = 2.5
    names: set = field(factory=lambda: {"x", "y"})

    def collect(self, context):
        """Collect."""
        from late import smear
        return [correct(x) * gain(x) + CUBE(x) for x in TABLE if helper.accept(x, limit=10) and math.pi]

class Fit:
    def calibrate(self, context):
        return 1
'''

HELPER = """
def gain(x):
    return level(x)

def level(x):
    return 2

def accept(x, limit):
    return x < limit

def other():
    return 3
"""
LATE = "def smear(x):\n    return x\n"

TAIL = """
from caf_core.calibration.fingerprint import fingerprint
print(fingerprint(Collect(), Fit.__name__))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The fingerprint of the collector in a script with replacements, as another process computes it."""
    known: dict[tuple, str] = {}

    def compute(*changes: tuple[str, str], seed: str = "0", fresh: bool = False) -> str:
        if (changes, seed) in known and not fresh:
            return known[changes, seed]
        folder = tmp_path_factory.mktemp("script")
        texts = {"script.py": SCRIPT + TAIL, "helper.py": HELPER, "late.py": LATE}
        for old, new in changes:
            assert any(old in text for text in texts.values())
            texts = {name: text.replace(old, new, 1) for name, text in texts.items()}
        for name, text in texts.items():
            (folder / name).write_text(text)
        done = subprocess.run(
            [sys.executable, folder / "script.py"],
            env={"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return known.setdefault((changes, seed), done.stdout.strip())

    return compute


def test_it_is_the_same_in_every_process(printed) -> None:
    assert printed() == printed(seed="1") == printed(seed="12345")


@pytest.mark.parametrize(
    "change",
    [
        ("import math\n", "# A comment.\n\n\nimport math\n"),
        ('"""Apply the offset."""', '"""Apply the offset, as measured in 2011."""'),
        ('        """Collect."""\n', ""),
        ("return x + OFFSET", "return x + OFFSET  # in mm"),
        ("UNUSED = 1", "UNUSED = 2"),
        ("def unused(x):\n    return x", "def unused(x):\n    return x + 1"),
        ("        return 1\n", "        return 99\n"),
        ("    return 3\n", "    return 4\n"),
        ("def smear(x):", "# smears\ndef smear(x):"),
    ],
    ids=lambda change: change[1][:25].strip(),
)
def test_what_changes_nothing_does_not_count(printed, change) -> None:
    assert printed(change) == printed()


@pytest.mark.parametrize(
    "change",
    [
        ("OFFSET = 5", "OFFSET = 6"),
        ("return x + OFFSET", "return x - OFFSET"),
        ("cut: float = 2.5", "cut: float = 2.6"),
        ('{"x", "y"}', '{"x", "z"}'),
        ("CUBE = make(3)", "CUBE = make(4)"),
        ('TABLE = {"a", "b", "c"}', 'TABLE = {"a", "b", "d"}'),
        ("limit=10", "limit=11"),
        ("return level(x)", "return -level(x)"),
        ("    return 2\n", "    return 7\n"),
        ("return x < limit", "return x <= limit"),
        ("def smear(x):\n    return x", "def smear(x):\n    return 2 * x"),
        ("math.pi", "math.e"),
    ],
    ids=lambda change: change[1][:25].strip(),
)
def test_what_changes_the_result_counts(printed, change) -> None:
    assert printed(change) != printed()


def test_the_order_of_definitions_does_not_count(printed) -> None:
    moved = "def unused(x):\n    return x\n\n"
    assert printed((moved, ""), ("CUBE = make(3)\n", "CUBE = make(3)\n\n" + moved)) == printed()


def test_a_class_inside_a_function_counts_by_what_it_does() -> None:
    def built(text):
        space = {"__name__": "__main__"}
        exec(compile(textwrap.dedent(text), "script", "exec"), space)
        return fingerprint(space["outer"])

    text = "def outer():\n    class Inner:\n        x = 1\n    return Inner\n"
    assert built(text) == built("\n\n\n" + text)
    assert built(text) != built(text.replace("x = 1", "x = 2"))
