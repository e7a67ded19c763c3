"""The table of how-to/from-basf2-caf names all that basf2's documentation names, and what really is on our
side."""

import re
from importlib import import_module
from pathlib import Path

import attrs
import click
import pytest

import caf_core
from caf_core import former
from caf_core.cli.app import make_app
from caf_core.errors import ConfigurationError
from caf_core.jobs.local import ResidentBackend

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


OBJECTS = {
    "CAF": lambda: caf_core.CAF(),
    "Calibration": lambda: caf_core.Calibration("c"),
    "Collection": lambda: caf_core.Collection(),
    "Algorithm": lambda: caf_core.Algorithm(print),
    "Job": lambda: caf_core.Job("j"),
    "Backend": lambda: ResidentBackend(1),
    "Batch": lambda: ResidentBackend(1),
    "Local": lambda: ResidentBackend(1),
}
SETTINGS = [
    name for part in ("framework", "backends") for name in NAMED[part] if name.split(".")[0] in OBJECTS
]


@pytest.mark.parametrize("name", [name for name in SETTINGS if "." in name])
def test_a_setting_of_theirs_works_or_is_refused_with_the_remedy(name):
    kind, _, setting = name.partition(".")
    thing, value = OBJECTS[kind](), object()
    try:
        setattr(thing, setting, value)
    except (ConfigurationError, AttributeError, TypeError) as error:
        said = str(error)
    else:
        assert getattr(thing, setting) is value
        return
    if hasattr(type(thing), setting) or hasattr(thing, setting):
        return  # it is there, and this is no value for it
    remedy = {"CAF": former.CAF, "Calibration": former.CALIBRATION, "Collection": former.COLLECTION}
    remedy |= {"Algorithm": former.ALGORITHM, "Job": former.JOB}
    assert remedy.get(kind, former.BACKEND)[setting] in said


@pytest.mark.parametrize(
    "hints", [former.CALIBRATION, former.COLLECTION, former.CAF, former.JOB, former.BACKEND]
)
def test_remedies_name_what_is_there(hints):
    """Whatever looks like code in a remedy is."""
    for said in hints.values():
        for name in re.findall(r"(?<!\.)\b(?:context|calibration|collection|job|subjob)\.(\w+)", said):
            assert any(
                hasattr(kind, name) or name in {field.name for field in attrs.fields(kind)}
                for kind in (
                    caf_core.Calibration,
                    caf_core.Collection,
                    caf_core.AlgorithmContext,
                    caf_core.Job,
                )
                if attrs.has(kind)
            ) or hasattr(caf_core.SubJob("j", 0), name), said
        for option in re.findall(r"--\w+", said):
            command_is_there(["run", option])


def test_a_former_setting_is_explained_as_argument_and_when_it_is_read():
    for make in (caf_core.Collection, lambda **more: caf_core.Calibration("c", **more)):
        with pytest.raises(ConfigurationError, match=r"'pre_collector_path': .*CommandCollector\(\['basf2'"):
            make(pre_collector_path=[])
    with pytest.raises(ConfigurationError, match=r"a CAF has no setting 'output'; do you mean 'output_dir'"):
        caf_core.CAF(output="x")
    with pytest.raises(AttributeError, match="setup_cmds"):
        caf_core.Job("j").append_current_basf2_setup_cmds()
    with pytest.raises(AttributeError, match=r"CAF\.run\(\) returns a report"):
        _ = caf_core.Calibration("c").results
    with pytest.raises(ConfigurationError, match="a module of basf2 is added by a steering file"):
        caf_core.Calibration("c", "CaTest", print, "a").check()
    with pytest.raises(ConfigurationError, match="names a global tag and no database"):
        caf_core.Calibration("c").use_central_database("data_reprocessing_prompt")


def test_resolving_finds_mistakes():
    """A checker that takes everything would be of no use."""
    for name in ("Calibration.max_iteration", "caf_core.iov.gap", "caf_core.nowhere.Thing", "Calibrations"):
        with pytest.raises((AssertionError, AttributeError)):
            resolve(name)
    with pytest.raises(AssertionError):
        command_is_there(["state"])
