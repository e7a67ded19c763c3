"""What a Slurm installation is like, as far as it matters to its users."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from attrs import evolve, frozen

from caf_core.jobs.batch.dialogue import NOT_FOUND, Command, Dialogue
from caf_core.jobs.findings import Finding, Level
from caf_slurm.clusters import HERE

DEFAULT_MAX_ARRAY_SIZE = 1001
"""Slurm's own default, for a site that did not answer."""

BRIEF = 120.0
"""A site that forgets finished jobs sooner than this may forget them between two questions [s]."""


class Memory(StrEnum):
    """Who remembers jobs that the controller has forgotten."""

    SACCT = "sacct"
    FILETXT = "filetxt"
    NOBODY = "nobody"


@frozen
class Site:
    """What ``scontrol show config`` says.

    Args:
        version: Version of Slurm.
        max_array_size: One more than the largest index of an array.
        max_jobs: How many jobs the controller takes, those of all users together.
        min_job_age: For how long a finished job is known [s].
        message_timeout: How long a command waits for the controller [s].
        default_memory: What a job gets that does not say how much memory it needs, in Slurm's words; empty if
            that is a whole node or nothing is reserved.
        accounting: The kind of accounting.
        completion: The kind of completion record.
        completion_path: Where it lies.
        disk: Whether the site says how large local disks are; where it does not, Slurm refuses any demand.
        memory: Who remembers jobs that the controller has forgotten, as was tried.
        cluster: The cluster's name.
    """

    version: str = ""
    max_array_size: int = DEFAULT_MAX_ARRAY_SIZE
    max_jobs: int | None = None
    min_job_age: float = 300.0
    message_timeout: float = 10.0
    default_memory: str = ""
    accounting: str = ""
    completion: str = ""
    completion_path: str = ""
    disk: bool = True
    memory: Memory = Memory.NOBODY
    cluster: str = ""

    @property
    def has_sacct(self) -> bool:
        """Whether ``sacct`` has something to answer from."""
        return self.accounting.removeprefix("accounting_storage/") not in ("", "none", "(null)")

    @property
    def has_filetxt(self) -> bool:
        """Whether completed jobs are written to a file."""
        return self.completion.removeprefix("jobcomp/") == "filetxt" and self.completion_path.startswith("/")

    @property
    def array_limit(self) -> int:
        """Largest number of tasks in one array."""
        limit = max(1, self.max_array_size)
        return limit if self.max_jobs is None else max(1, min(limit, self.max_jobs - 1))


def read(text: str) -> Site:
    """Read ``scontrol show config``; what is not there or odd is left at its default."""
    values = _values(text)
    parameters = dict(
        part.partition("=")[::2] for part in values.get("SchedulerParameters", "").split(",") if part
    )
    size = _number(values.get("MaxArraySize"), DEFAULT_MAX_ARRAY_SIZE)
    if parameters.get("max_array_tasks", "").isdecimal():
        size = min(size, int(parameters["max_array_tasks"]))
    jobs = _number(values.get("MaxJobCount"), 0)
    return Site(
        version=values.get("SLURM_VERSION", ""),
        max_array_size=size,
        max_jobs=jobs or None,
        min_job_age=float(_number(values.get("MinJobAge"), 300)),
        message_timeout=float(_number(values.get("MessageTimeout"), 10)),
        default_memory=_default_memory(values),
        accounting=values.get("AccountingStorageType", ""),
        completion=values.get("JobCompType", ""),
        completion_path=values.get("JobCompLoc", ""),
        cluster=values.get("ClusterName", ""),
    )


def _values(text: str) -> Mapping[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _number(text: str | None, default: int) -> int:
    """The number at the beginning of such words as ``300 sec``."""
    match = re.match(r"[0-9]+", text or "")
    return int(match[0]) if match else default


def _default_memory(values: Mapping[str, str]) -> str:
    for name, unit in (("DefMemPerCPU", "cpu"), ("DefMemPerNode", "node")):
        if values.get(name, "").isdecimal():
            return f"{values[name]} MB a {unit}"
    return ""


def completing(site: Site, tool: Callable[[str], str]) -> Dialogue[Site]:
    """Find out what the configuration does not say: what nodes offer, and who remembers forgotten jobs.

    Args:
        site: What the configuration says.
        tool: Gives the path of a command of Slurm.
    """
    answer = yield Command((tool("sinfo"), "-a", "-h", "-o", "%d"), env=HERE)
    sizes = answer.stdout.split()
    site = evolve(site, disk=not answer.ok or not sizes or any(size.strip("+") != "0" for size in sizes))
    if site.has_sacct:
        answer = yield Command((tool("sacct"), "-n", "-P", "-X", "-o", "JobID", "-j", "1"), env=HERE)
        if answer.returncode != NOT_FOUND and "disabled" not in answer.stderr:
            return evolve(site, memory=Memory.SACCT)
    if site.has_filetxt:
        answer = yield Command(("grep", "-c", "-m", "1", "-e", "JobId=", "--", site.completion_path))
        if answer.returncode in (0, 1):
            return evolve(site, memory=Memory.FILETXT)
    return site


def described(site: Site) -> dict[str, str]:
    """What was found out about a site, in words."""
    return {
        "version": site.version or "not told",
        "cluster (ClusterName)": site.cluster or "not told",
        "tasks in one array (MaxArraySize, max_array_tasks)": f"at most {site.max_array_size}",
        "jobs of all users that Slurm takes (MaxJobCount)": (
            "not told" if site.max_jobs is None else f"fewer than {site.max_jobs}"
        ),
        "a job is known after its end for (MinJobAge)": f"{site.min_job_age:g} s",
        "a command waits for the controller for (MessageTimeout)": f"{site.message_timeout:g} s",
        "accounting (AccountingStorageType)": site.accounting or "not told",
        "records of ended jobs (JobCompType)": site.completion or "not told",
        "who remembers ended jobs longest": {
            Memory.SACCT: "the accounting, by sacct",
            Memory.FILETXT: f"the records in {site.completion_path}",
            Memory.NOBODY: "the controller",
        }[site.memory],
    }


def findings(site: Site, command_timeout: float) -> Iterator[Finding]:
    """What should be known about a site.

    Args:
        site: The site.
        command_timeout: How long our commands may take [s].
    """
    if site.memory is Memory.NOBODY:
        yield Finding(
            Level.NOTE,
            f"nobody remembers a job for longer than {site.min_job_age:g} s after its end; what ended a task "
            "from outside must be asked until then",
            remedy="ask the site for accounting (sacct)" if site.min_job_age < BRIEF else "",
        )
    if site.default_memory:
        text = f"a task that does not say how much memory it needs gets {site.default_memory}"
    else:
        text = "a task that does not say how much memory it needs may get that of a whole node"
    yield Finding(Level.NOTE, text)
    if not site.disk:
        yield Finding(
            Level.NOTE, "the sizes of local disks are not known, so disk_mb of tasks is not asked for"
        )
    if site.message_timeout >= command_timeout:
        yield Finding(
            Level.WARNING,
            f"commands wait {site.message_timeout:g} s for the controller, "
            f"but are ended after {command_timeout:g} s",
            remedy="let them wait longer",
            settings={"command_timeout": round(site.message_timeout) + 20},
        )
