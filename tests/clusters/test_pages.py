"""The pages on HTCondor and Slurm work as they are shown, on the real ones."""

import importlib.util
import sys
from pathlib import Path

import pytest

from clusters.conftest import Cluster

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("cluster_pages", ROOT / "tests" / "docs" / "pages.py")
assert _spec is not None and _spec.loader is not None
pages = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = pages
_spec.loader.exec_module(pages)


@pytest.mark.cluster
@pytest.mark.htcondor
def test_the_page_on_htcondor(htcondor_pool: Cluster, tmp_path: Path) -> None:
    pages.execute(ROOT / "docs" / "how-to" / "use-htcondor.md", tmp_path, htcondor_pool.environment)


@pytest.mark.cluster
@pytest.mark.slurm
def test_the_page_on_slurm(slurm_cluster: Cluster, tmp_path: Path) -> None:
    pages.execute(ROOT / "docs" / "how-to" / "use-slurm.md", tmp_path, slurm_cluster.environment)
