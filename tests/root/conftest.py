"""What the tests of caf-root share."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

WriteRoot = Callable[..., Path]


@pytest.fixture
def write_root(tmp_path: Path) -> WriteRoot:
    """A function that writes trees into a ROOT file in the test's directory."""

    def write(name: str, **trees: Mapping[str, Any]) -> Path:
        path = tmp_path / name
        with path.open("w+b") as stream, uproot.recreate(stream) as directory:
            for tree, columns in trees.items():
                arrays = {column: np.asarray(values) for column, values in columns.items()}
                directory.mktree(
                    tree,
                    {name: np.dtype((part.dtype, part.shape[1:])) for name, part in arrays.items()},
                )
                directory[tree].extend(arrays)
        return path

    return write


@pytest.fixture
def run_file(write_root: WriteRoot) -> Path:
    """Three runs of two experiments in one file, with a branch ``x``."""
    return write_root(
        "runs.root",
        events={
            "experiment": np.array([1, 1, 1, 2, 2], dtype=np.int32),
            "run": np.array([7, 3, 7, 1, 1], dtype=np.int32),
            "event": np.array([10, 11, 12, 1, 2], dtype=np.int64),
            "x": np.array([0.5, 1.5, 2.5, 3.5, 4.5], dtype=np.float32),
        },
    )


@pytest.fixture(scope="session")
def zmumu_files() -> list[str]:
    """The real collision data, when the environment says where they are."""
    folder = os.environ.get("CAF_ZMUMU_DATA")
    if not folder:
        pytest.skip("real data are needed: set CAF_ZMUMU_DATA to the folder with their ROOT files")
    files = sorted(str(path) for path in Path(folder).glob("*.root"))
    assert files, f"CAF_ZMUMU_DATA={folder} holds no ROOT files"
    return files
