"""One cluster at a time: what would send a job to another one is refused, for nobody would follow it there.

With ``--clusters`` (or its variables) ``sbatch --parsable`` answers ``ID;CLUSTER``, and every later question
about the job must name the cluster. A heterogeneous job is several jobs under one id (``123+0``, ``123+1``).
See https://slurm.schedmd.com/multi_cluster.html and https://slurm.schedmd.com/heterogeneous_jobs.html.
"""

import re
from collections.abc import Iterable, Mapping
from shlex import split
from typing import Any

VARIABLES = ("SBATCH_CLUSTERS", "SLURM_CLUSTERS")
"""The variables that send jobs, and questions about them, elsewhere."""

HERE: Mapping[str, str | None] = dict.fromkeys(VARIABLES)
"""The environment in which every command speaks to its own cluster."""

_CLUSTERS = re.compile(r"-M.*|--cl[a-z-]*(=.*)?", re.DOTALL)  # options may be shortened
_HETEROGENEOUS = ("hetjob", "packjob", ":")

REMEDY = (
    "caf follows jobs of one cluster, that of the machine where it is started: start it on a submit node of "
    "the other one"
)


def unfollowed(args: Mapping[str, Any]) -> str:
    """What of the arguments makes a job that could not be followed, in words; empty if nothing does.

    Args:
        args: ``extra_args`` and ``extra_lines`` of a submission.
    """
    words = [str(word) for word in args.get("extra_args") or ()]
    if found := _found(words):
        return f"{found!r} in extra_args"
    for line in args.get("extra_lines") or ():
        if str(line).startswith("#SBATCH") and (found := _found(_words(str(line)[len("#SBATCH") :]))):
            return f"{found!r} in the line {line!r} of extra_lines"
    return ""


def _found(words: Iterable[str]) -> str:
    return next((word for word in words if _CLUSTERS.fullmatch(word) or word in _HETEROGENEOUS), "")


def _words(line: str) -> list[str]:
    try:
        return split(line, comments=True)
    except ValueError:  # a quotation without end, of which Slurm complains
        return line.split()


def sent_away(environment: Mapping[str, str], own: str) -> str:
    """Which variable sends jobs to another cluster than ``own``, as ``NAME=VALUE``; empty if none does."""
    for name in VARIABLES:
        value = environment.get(name, "")
        if value not in ("", own):
            return f"{name}={value}"
    return ""
