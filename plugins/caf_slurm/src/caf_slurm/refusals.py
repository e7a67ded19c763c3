"""What ``sbatch`` means when it does not print an id."""

import re

from caf_core.errors import SubmissionError
from caf_core.jobs.batch.dialogue import NOT_FOUND, doubtful, refused, sole
from caf_core.processes.command import CommandResult

_ID = re.compile(r"([1-9][0-9]*)(?:;(\S*))?", re.ASCII)

_SILENCE = re.compile(
    r"timed out|unable to contact slurm controller|connect(ion)? (failure|refused|reset)|zero bytes"
    r"|standby mode|unexpected message|incomplete|resource temporarily unavailable|temporarily unable"
    r"|communication|transport endpoint|broken pipe|no route to host|network is|slurmctld|unable to confirm"
    r"|can't find an address|name or service|job credential",
    re.IGNORECASE,
)
"""The controller may have taken the job all the same, or will take it later."""

_CREDENTIALS = re.compile(
    r"munge|invalid authentication credential|authentication credential|protocol authentication|auth_g_|jwt"
    r"|token has expired|kerberos|afs token",
    re.IGNORECASE,
)
"""It does not believe who we are."""

_FULL = re.compile(r"maxsubmit", re.IGNORECASE)
"""The user has as many jobs as a limit allows; a job that asks for too much fails other limits."""

_REMEDIES = tuple(
    (re.compile(pattern, re.IGNORECASE), remedy)
    for pattern, remedy in (
        (
            "invalid partition|group not permitted|partition not available|not in partition",
            "give a partition that `sinfo -s` lists as backend argument partition",
        ),
        ("invalid account|account.*not", "give one of your accounts as backend argument account"),
        ("invalid qos", "give a quality of service that you may use as backend argument qos"),
        (
            "memory specification|temporary disk|node configuration is not available|more processors"
            "|node count specification|cpu count",
            "ask for no more than a node has; `sinfo -o '%P %c %m %d %f'` lists cpus, memory [MB], disk [MB] "
            "and features of nodes",
        ),
        ("invalid feature", "give features that `sinfo -o '%P %f'` lists as backend argument constraint"),
        ("time limit", "ask for less time; `sinfo -o '%P %l'` lists the limits of partitions"),
        ("job array specification", "set the backend argument array_limit to what the site allows"),
        ("reservation", "`scontrol show reservation` lists reservations"),
        ("license", "`scontrol show licenses` lists licences"),
        (
            "accounting/qos policy|submit limit",
            "you have as many jobs as you may have, or ask for more than one may get; set global_job_limit",
        ),
        ("unrecognized option|invalid option|unknown option|ambiguous", "look at extra_args and extra_lines"),
        ("command not found|no such file", ""),
    )
)


def problem(answer: CommandResult) -> SubmissionError:
    """The error for a submission that was not answered with an id."""
    said = answer.stderr + answer.stdout
    if answer.returncode is None or answer.returncode <= 0 or not said.strip():
        return doubtful(answer)
    if answer.returncode == NOT_FOUND:
        return refused(answer)
    if _CREDENTIALS.search(said):
        return refused(answer, credentials=True)
    if _FULL.search(said):
        return refused(answer, full=True)
    if _SILENCE.search(said):
        return doubtful(answer)
    for pattern, remedy in _REMEDIES:
        if pattern.search(said):
            return refused(answer, remedy=remedy)
    return refused(answer)


def accepted(answer: CommandResult) -> tuple[str, str] | None:
    """The id and the cluster in the answer of ``sbatch --parsable``; ``None`` if it has none, or two.

    It prints ``ID`` or ``ID;CLUSTER``. Sites let ``sbatch`` say more, which may look like an id: then the job
    is searched by its name.
    """
    if answer.returncode != 0:
        return None
    lines = (line.strip() for line in answer.stdout.splitlines())
    match = sole(found.groups() for line in lines if (found := _ID.fullmatch(line)))
    return None if match is None else (match[0], match[1] or "")
