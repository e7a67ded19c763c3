"""Whole runs in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from caf_core.cli.app import execute as command_line

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def run_numbers(tmp_path: Path) -> Path:
    """A folder of input files: six runs of two experiments, one of them with few numbers."""
    folder = tmp_path / "input"
    folder.mkdir()
    for exp, run, count in [(1, 1, 10), (1, 2, 10), (1, 3, 2), (1, 4, 8), (2, 1, 10), (2, 5, 3)]:
        lines = "".join(f"{exp} {run} {run + exp / 10 + number / 100}\n" for number in range(count))
        (folder / f"run{exp * 10 + run - 9}.txt").write_text(lines)
    return folder


Program = Callable[..., "subprocess.CompletedProcess[str]"]


def execute(program: str, *args: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Execute one of the programs to its end."""
    return subprocess.run(
        [sys.executable, str(PROGRAMS / program), *map(str, args)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def database_content(folder: Path) -> dict[str, bytes]:
    """The lines and the payload files of a database, without what says where they came from."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if "provenance" not in path.name}


@frozen
class Called:
    """How a command line ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def caf(capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Execute a ``caf`` command line in this process."""

    def call(*words: object) -> Called:
        capsys.readouterr()
        code = command_line([str(word) for word in words])
        said = capsys.readouterr()
        return Called(code, said.out, said.err)

    return call
