"""The clusters are there, and the scripts say clearly what they cannot do."""

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def call(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.htcondor
def test_the_pool_claims_to_be_large(htcondor_pool):
    assert call("condor_status", "-af", "TotalCpus").stdout.split()[0] == "24.0"


@pytest.mark.slurm
def test_slurm_claims_to_be_large(slurm_cluster):
    assert call("sinfo", "-h", "-p", "main", "-o", "%c").stdout.split() == ["64"]


@pytest.mark.parametrize("script", ["htcondor-up", "htcondor-down", "slurm-up", "slurm-down"])
def test_a_script_names_what_it_does_not_know(script):
    done = call(str(HERE / script), "--fast")
    assert done.returncode == 1
    assert "there is no option --fast; there are: --" in done.stderr
