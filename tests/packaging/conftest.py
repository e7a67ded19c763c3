"""Building the distributions, and installing them into clean environments."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[2]


def execute(*command, cwd, env=None, check=True):
    """Execute a command away from the repository, so that nothing is imported from there by accident."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "CAF_", "VIRTUAL_"))
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=own | (env or {}),
        capture_output=True,
        text=True,
        timeout=600,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} gave {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@frozen
class Built:
    """What building a distribution gave."""

    sdist: Path
    wheel: Path


@frozen
class Environment:
    """A virtual environment with nothing in it but what is installed by the test."""

    path: Path

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def site(self) -> Path:
        return next(self.path.glob("lib/python*/site-packages"))

    def install(self, *what):
        uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
        if uv:
            execute(uv, "pip", "install", "--quiet", "--python", self.python, *what, cwd=self.path)
        else:
            pip = (sys.executable, "-m", "pip", "--python", self.python)
            execute(*pip, "install", "--quiet", "--disable-pip-version-check", *what, cwd=self.path)

    def execute(self, *arguments, **options):
        """Execute its Python."""
        return execute(self.python, *arguments, cwd=self.path, **options)

    def caf(self, *arguments, **options):
        """Execute its ``caf``."""
        return execute(self.path / "bin" / "caf", *arguments, cwd=self.path, **options)


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Builds a project once: the sdist, and from it the wheel, so that an incomplete sdist shows.

    ``CAF_DIST`` names a folder where all have been built already.
    """
    done = {}

    def build(project: Path) -> Built:
        if project not in done:
            if "CAF_DIST" in os.environ:
                out = Path(os.environ["CAF_DIST"])
            else:
                out = tmp_path_factory.mktemp("dist")
                execute(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, project, cwd=out)
            written = tomllib.loads((project / "pyproject.toml").read_text())
            name = written["project"]["name"].replace("-", "_")
            (sdist,), (wheel,) = out.glob(f"{name}-*.tar.gz"), out.glob(f"{name}-*.whl")
            done[project] = Built(sdist, wheel)
        return done[project]

    return build


@pytest.fixture(scope="session")
def core(build):
    """caf-core, built."""
    return build(ROOT)


@pytest.fixture
def new_environment(tmp_path):
    """Makes empty environments."""

    def make(name="environment"):
        venv.create(tmp_path / name, with_pip=False, symlinks=True)
        return Environment(tmp_path / name)

    return make
