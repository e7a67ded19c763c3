"""What ``caf doctor`` tells of a site of each batch system is in words, whatever the scheduler told."""

import re

import pytest
from attrs import fields

import caf_htcondor.site
import caf_lsf.site
import caf_pbs.site
import caf_slurm.site
from caf_htcondor.backend import HTCondor
from caf_lsf.backend import LSF
from caf_pbs.backend import PBS
from caf_slurm.backend import Slurm

FULL = {
    HTCondor: caf_htcondor.site.Site((23, 9, 6), 20000, 100000, None, "a.org", frozenset({"b.org", "a.org"})),
    LSF: caf_lsf.site.Site("IBM Spectrum LSF 10.1.0.11", True, 1000, "KB", "MB", None, True),
    PBS: caf_pbs.site.Site(history=True, array_limit=5, queue="workq", queue_state="open"),
    Slurm: caf_slurm.site.Site("22.05.8", 1001, 10000, 300.0, memory=caf_slurm.site.Memory.NOBODY),
}
EXPECTED = {
    HTCondor: {
        "version": "23.9.6",
        "jobs in one submission (MAX_JOBS_PER_SUBMISSION)": "at most 20000",
        "jobs of all users in the queue (MAX_JOBS_SUBMITTED)": "no limit is told",
        "machines that execute share files within": "a.org, b.org",
    },
    LSF: {
        "unit of memory limits (-M)": "KB",
        "unit of disk reservations (rusage[tmp])": "not known",
        "memory is reserved for": "each processor of a job",
    },
    PBS: {
        "tasks in one array (max_array_size)": "at most 5",
        "queue": "workq: open",
        "longest time of a job in that queue": "not known",
    },
    Slurm: {
        "tasks in one array (MaxArraySize, max_array_tasks)": "at most 1001",
        "a job is known after its end for (MinJobAge)": "300 s",
        "who remembers ended jobs longest": "the controller",
    },
}


@pytest.mark.parametrize("backend", list(FULL), ids=lambda kind: kind.__name__)
def test_a_site_is_described_in_words_with_units(backend):
    found = backend().described(FULL[backend])
    assert {key: found.get(key) for key in EXPECTED[backend]} == EXPECTED[backend]


@pytest.mark.parametrize("backend", list(FULL), ids=lambda kind: kind.__name__)
def test_a_site_that_told_nothing_is_described_too(backend):
    site = type(FULL[backend])()
    found = backend().described(site)
    assert all(value and value != "None" for value in found.values())
    internal = {field.name for field in fields(type(site)) if "_" in field.name}
    # What the site's people call it may stand in brackets behind the words.
    assert not internal & {re.sub(r" \(.*", "", key).replace(" ", "_") for key in found}
