"""The table of how-to/from-basf2-caf names all that basf2's documentation names, and what really is on our
side."""

import re
from importlib import import_module
from pathlib import Path

import attrs
import click
import pytest

import caf_core
from caf_core.cli.app import make_app

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-basf2-caf.md"
NAMES = Path(__file__).with_name("basf2_names.ini")
ROWS = [
    tuple(cell.strip() for cell in line.strip("| \n").replace("||", "| |").split(" | ", 2))
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| **", "| basf2"))
]
OURS = sorted({name for row in ROWS for name in re.findall(r"`([^`]+)`", row[1])})

# What the documentation of basf2's CAF names, part by part.
NAMED = {
    part: body.split()
    for part, body in re.findall(
        r"^\[(.+)\]\n([^\[]+)", NAMES.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
}


def theirs():
    names = set()
    for row in ROWS:
        for span in re.findall(r"`([^`]+)`", row[0]):
            names |= {span, span.split("(")[0], span.split(" ")[0]}
    return names


@pytest.mark.parametrize("part", NAMED)
def test_every_name_of_theirs_has_a_row(part):
    assert set(NAMED[part]) - theirs() == set()


def test_the_tools_have_rows():
    assert {"b2caf-status", "b2caf-filemap"} <= theirs()


def test_a_row_without_an_equal_says_why():
    rows = [row for row in ROWS if row[1] == "–"]
    assert rows
    assert [row[0] for row in rows if not row[2].strip(" |")] == []


@pytest.mark.parametrize("name", OURS)
def test_name_of_ours_is_there(name):
    if name.startswith("caf "):
        command_is_there(name.split()[1:])
    else:
        resolve(name)


def command_is_there(words):
    command = make_app()
    command.forget_plugins()
    for word in words:
        context = click.Context(command)
        if word.startswith("--"):
            assert word in {option for parameter in command.get_params(context) for option in parameter.opts}
        else:
            command = command.get_command(context, word)
            assert command is not None, word


def resolve(name):
    """Follow a dotted name, from the longest module that its beginning names."""
    parts = name.split(".")
    thing = caf_core
    if parts[0].startswith("caf_"):
        for size in range(len(parts), 0, -1):
            try:
                thing = import_module(".".join(parts[:size]))
            except ModuleNotFoundError:
                continue
            parts = parts[size:]
            break
    for part in parts:
        thing = follow(thing, part)


def follow(thing, part):
    """An attribute of a module or class; a field counts, though the class itself may not have it."""
    if isinstance(thing, type) and not hasattr(thing, part):
        fields = {field.name for field in attrs.fields(thing)} if attrs.has(thing) else set()
        declared = {name for kind in thing.__mro__ for name in getattr(kind, "__annotations__", {})}
        makers = [vars(kind).get("__init__") for kind in thing.__mro__]
        stored = {name for maker in makers if hasattr(maker, "__code__") for name in maker.__code__.co_names}
        assert part in fields | declared | stored, f"{thing.__name__} has no {part}"
        return None
    assert hasattr(thing, part), f"{getattr(thing, '__name__', thing)} has no {part}"
    return getattr(thing, part)


def test_resolving_finds_mistakes():
    """A checker that takes everything would be of no use."""
    for name in ("Calibration.max_iteration", "caf_core.iov.gap", "caf_core.nowhere.Thing", "Calibrations"):
        with pytest.raises((AssertionError, AttributeError)):
            resolve(name)
    with pytest.raises(AssertionError):
        command_is_there(["state"])
