"""What a site's PBS is: its family and version, whether it keeps history, and its limits."""

import re
from enum import StrEnum

from attrs import evolve, frozen

from caf_core.jobs.findings import Finding, Level

DEFAULT_ARRAY_LIMIT = 10_000
"""``max_array_size`` of PBS where nobody has set it; a polite limit for Torque, which has none."""

_FIRST_WITH_JSON = 14
"""The major version of PBS Professional that brought ``qstat -F``."""

_FIRST_WITH_ARRAYS = (2, 5)
"""The version of Torque whose arrays are called ``1[]`` and their tasks ``1[0]``."""


_ABSENT = "does not exist"


class Format(StrEnum):
    """How full records of jobs are printed."""

    JSON = "json"
    XML = "xml"
    TEXT = "text"


@frozen
class Site:
    """What was found out about a site.

    Args:
        torque: Whether it is Torque, and not OpenPBS or PBS Professional.
        version: Its version, as it says.
        format: How it prints full records.
        history: Whether it still knows jobs that have ended.
        array_limit: Largest number of tasks in an array; ``None`` if it did not say.
        arrays: Whether arrays can be used at all.
        queue: The queue that will be used; empty if it is not known.
        queue_state: Whether that queue takes and starts jobs, in words; empty if it is not known.
        longest_time: The longest time that the queue allows, as it says.
        most_memory: The most memory, likewise.
    """

    torque: bool = False
    version: str = ""
    format: Format = Format.JSON
    history: bool = False
    array_limit: int | None = None
    arrays: bool = True
    queue: str = ""
    queue_state: str = ""
    longest_time: str = ""
    most_memory: str = ""


def identify(words: str) -> Site:
    """The family, from what ``qstat --version`` says.

    PBS prints ``pbs_version = 23.06.06`` (older ones ``PBSPro_13.0.2.153173``), Torque ``Version: 6.1.2``
    (older ones in lower case) as an error message.
    """
    if found := re.search(r"pbs_version\s*=\s*(\S+)", words):
        version = found[1]
        major = re.search(r"\d+", version)
        old = major is not None and int(major[0]) < _FIRST_WITH_JSON
        return Site(version=version, format=Format.TEXT if old else Format.JSON)
    if found := re.search(r"^\s*version:\s*(\S+)", words, re.IGNORECASE | re.MULTILINE):
        numbers = tuple(int(part) for part in re.findall(r"\d+", found[1])[:2])
        return Site(
            torque=True,
            version=found[1],
            format=Format.XML,
            arrays=not numbers or numbers >= _FIRST_WITH_ARRAYS,
        )
    return Site()


def attributes(text: str) -> dict[str, str]:
    """The attributes of the first server or queue of ``qstat -B -f`` or ``qstat -Q -f``."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"^\s+([\w.]+) = (.*)$", text, re.MULTILINE):
        found.setdefault(name, value.strip())
    return found


def array_limit(*levels: dict[str, str]) -> int | None:
    """The smallest array limit of a server and its queue, under the names of PBS and of Torque."""
    sizes = [
        int(attributes[name])
        for attributes in levels
        for name in ("max_array_size", "max_job_array_size")
        if attributes.get(name, "").isdigit()
    ]
    return min((size for size in sizes if size > 0), default=None)


def with_queue(site: Site, name: str, queue: dict[str, str] | None) -> Site:
    """The site with what ``qstat -Q -f NAME`` said of a queue; ``None`` if there is no such queue."""
    if queue is None:
        return evolve(site, queue=name, queue_state=_ABSENT)
    state = "open"
    if queue.get("enabled") == "False":
        state = "takes no jobs now"
    elif queue.get("started") == "False":
        state = "starts no jobs now"
    unlimited = "not limited by the queue"
    return evolve(
        site,
        queue=name,
        queue_state=state,
        longest_time=queue.get("resources_max.walltime", unlimited),
        most_memory=queue.get("resources_max.mem", unlimited),
    )


def described(site: Site) -> dict[str, str]:
    """What was found out about a site, in words; family and version are among the findings."""
    size = "max_job_array_size" if site.torque else "max_array_size"
    limit = "not told" if site.array_limit is None else f"at most {site.array_limit}"
    told = {
        f"tasks in one array ({size})": limit if site.arrays else "no arrays",
        "full records of jobs are printed as": site.format.upper(),
        "queue": f"{site.queue}: {site.queue_state or 'not told'}" if site.queue else "not known",
        "longest time of a job in that queue": site.longest_time or "not known",
        "most memory of a job in that queue": site.most_memory or "not known",
    }
    if not site.torque:  # which is not asked
        told["jobs that have ended are remembered (job_history_enable)"] = "yes" if site.history else "no"
    return told


def findings_of(site: Site) -> list[Finding]:
    """What people should know of a site."""
    family = "Torque" if site.torque else "OpenPBS or PBS Professional"
    told = [Finding(Level.OK, f"it is {family}, version {site.version or 'unknown'}", section="version")]
    if site.queue_state not in ("", "open"):
        level = Level.PROBLEM if site.queue_state == _ABSENT else Level.WARNING
        told.append(Finding(level, f"the queue {site.queue} {site.queue_state}", "choose another 'queue'"))
    if not (site.torque or site.history):
        text = "jobs that have ended are forgotten at once: only tasks themselves can tell what ended them"
        told.append(Finding(Level.NOTE, text, "ask the site for job_history_enable"))
    if not site.arrays:
        told.append(Finding(Level.WARNING, "this Torque is too old for arrays: every task is a submission"))
    return told
