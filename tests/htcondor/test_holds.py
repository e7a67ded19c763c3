"""What a hold means, by its code and its words."""

import pytest

from caf_htcondor.holds import failure_of_hold, failure_of_removal


@pytest.mark.parametrize(
    ("code", "subcode", "reason", "failure"),
    [
        (1, 0, "via condor_hold (by user me)", None),
        (15, 0, "submitted on hold at user's request", None),
        (16, 0, "Spooling input data files", None),
        (34, 102, "Job has gone over cgroup memory limit of 128 megabytes.", "out_of_memory"),
        (34, 104, "Job has exceeded its disk usage of 10 MB", "disk"),
        (26, 0, "The system macro SYSTEM_PERIODIC_HOLD expression 'ResidentSetSize > 9' evaluated to TRUE",
         "out_of_memory"),
        (26, 0, "Job ran for longer than the MaxRuntime of the queue", "walltime"),
        (26, 0, "expression 'time() - JobStartDate > 3600' evaluated to TRUE", "walltime"),
        (3, 7, "The job attribute OnExitHold expression 'ExitCode == 3' evaluated to TRUE", "held"),
        (13, 28, "Transfer input files failure: (errno 28) No space left on device", "disk"),
        (12, 122, "Transfer output files failure: (errno 122) Disk quota exceeded", "disk"),
        (14, 2, "Cannot access initial working directory /x: No such file or directory", "submission"),
        (6, 13, "Failed to execute '/bin/x': Permission denied", "submission"),
        (4, 0, "Corrupted credential", "credentials"),
        (22, 0, "The X.509 proxy has expired", "credentials"),
        (47, 0, "The job exceeded allowed execute duration of 00:02", "walltime"),
        (0, 0, "Cannot expand $$ expression (x).", "held"),
        (99, 0, "", "held"),
    ],
)  # fmt: skip
def test_failures(code, subcode, reason, failure):
    assert failure_of_hold(code, subcode, reason) == failure


@pytest.mark.parametrize(
    ("reason", "failure"),
    [
        ("via condor_rm (by user me)", "cancelled"),
        ("The system macro SYSTEM_PERIODIC_REMOVE expression 'MemoryUsage > 4000' evaluated to TRUE",
         "out_of_memory"),
        ("The job attribute PeriodicRemove expression 'RemoteWallClockTime > 60' evaluated to TRUE",
         "walltime"),
        ("", "cancelled"),
    ],
)  # fmt: skip
def test_removals(reason, failure):
    assert failure_of_removal(reason) == failure
