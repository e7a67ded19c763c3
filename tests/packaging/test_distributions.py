"""Every distribution builds, holds what it should, and installs alone."""

import json
import re
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = [
    ROOT,
    *sorted(path.parent for place in ("caf_*", "plugins/*") for path in ROOT.glob(f"{place}/pyproject.toml")),
]

pytestmark = pytest.mark.slow

LISTING = """
import json
from caf_core.plugins.listing import as_json, plugin_rows
from caf_core.plugins.registry import Registry
print(as_json(plugin_rows(Registry.load())))
"""


def named(project):
    return tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"]


def package(project):
    return named(project).replace("-", "_")


def members(archive):
    """The files of an sdist without their common folder, or of a wheel."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return set(wheel.namelist())
    with tarfile.open(archive) as sdist:
        return {name.partition("/")[2] for name in sdist.getnames()}


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


def test_sdist_of_the_core_holds_the_core_only(core):
    tops = {name.split("/")[0] for name in members(core.sdist)}
    assert tops == {
        "caf_core",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "pyproject.toml",
        "PKG-INFO",
        ".gitignore",
    }


@pytest.mark.parametrize("project", PROJECTS, ids=named)
def test_wheel_holds_the_package_typed_and_nothing_else(build, project):
    names = members(build(project).wheel)
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {package(project)}
    assert f"{package(project)}/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]
    sources = {
        path.relative_to(folder).as_posix()
        for folder in (project, project / "src")
        for path in folder.glob(f"{package(project)}/**/*.py")
    }
    assert sources
    assert sources <= names


@pytest.mark.parametrize("project", PROJECTS[1:], ids=named)
def test_a_plugin_needs_the_core_and_no_other_plugin(build, project):
    requires = metadata(build(project).wheel).get_all("Requires-Dist")
    needed = [line for line in requires if "extra ==" not in line]
    ours = {re.match(r"[\w-]+", line)[0] for line in needed} & set(map(named, PROJECTS))
    assert ours == {"caf-core"}


@pytest.mark.parametrize("project", PROJECTS, ids=named)
def test_installs_alone_and_is_listed(build, core, new_environment, project):
    environment = new_environment()
    environment.install(*{core.wheel, build(project).wheel})
    rows = {row["distribution"]: row for row in json.loads(environment.execute("-c", LISTING).stdout)}
    assert set(rows) == {"caf-core", named(project)}
    assert all(row["status"] == "ok" and not row["problems"] for row in rows.values())
    assert any(
        row["brings"] or row["hooks"] for row in rows.values() if row["distribution"] == named(project)
    )
    imported = environment.execute("-c", f"import {package(project)} as p; print(p.__file__)").stdout
    assert Path(imported.strip()).is_relative_to(environment.path)
