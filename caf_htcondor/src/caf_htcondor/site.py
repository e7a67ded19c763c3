"""What one pool is like."""

import re
from collections.abc import Iterator

from attrs import frozen

from caf_core.jobs.findings import Finding, Level

_VERSION = re.compile(r"\$CondorVersion: (\d+)\.(\d+)\.(\d+)")
_LIMIT = re.compile(r"^(MAX_JOBS_\w+) = (\d+)\s*$", re.M)
_DOMAIN = re.compile(r"^FILESYSTEM_DOMAIN = (.+)$", re.M | re.I)
_KNOWS_DURATIONS = (9, 5)
_NO_LIMIT = 2**31 - 1


@frozen
class Site:
    """What the commands told of a pool.

    Args:
        version: The version of the commands; empty if it was not told.
        jobs_per_submission: Largest number of jobs in one submission (``MAX_JOBS_PER_SUBMISSION``).
        jobs_per_owner: Largest number of jobs of one user in the queue (``MAX_JOBS_PER_OWNER``).
        jobs_in_all: Largest number of jobs in the queue (``MAX_JOBS_SUBMITTED``).
        domain: Which machines share files with this one, as it believes (``FILESYSTEM_DOMAIN``).
        domains: The same of the first machines of the pool.
    """

    version: tuple[int, ...] = ()
    jobs_per_submission: int | None = None
    jobs_per_owner: int | None = None
    jobs_in_all: int | None = None
    domain: str = ""
    domains: frozenset[str] = frozenset()


def site_of(version: str, config: str, machines: str) -> Site:
    """Read the answers; what is missing is left out.

    Args:
        version: What ``condor_version`` prints.
        config: What ``condor_config_val -dump`` prints.
        machines: The file system domains of machines, one a line.
    """
    told = _VERSION.search(version)
    found = {name: int(value) for name, value in _LIMIT.findall(config) if 0 < int(value) < _NO_LIMIT}
    return Site(
        tuple(map(int, told.groups())) if told else (),
        found.get("MAX_JOBS_PER_SUBMISSION"),
        found.get("MAX_JOBS_PER_OWNER"),
        found.get("MAX_JOBS_SUBMITTED"),
        domain[1].strip() if (domain := _DOMAIN.search(config)) else "",
        frozenset(line.strip() for line in machines.splitlines() if line.strip()) - {"undefined"},
    )


def described(site: Site) -> dict[str, str]:
    """What was found out about a pool, in words."""
    return {
        "version": ".".join(map(str, site.version)) or "not told",
        "jobs in one submission (MAX_JOBS_PER_SUBMISSION)": _at_most(site.jobs_per_submission),
        "jobs of one user in the queue (MAX_JOBS_PER_OWNER)": _at_most(site.jobs_per_owner),
        "jobs of all users in the queue (MAX_JOBS_SUBMITTED)": _at_most(site.jobs_in_all),
        "this machine shares files within (FILESYSTEM_DOMAIN)": site.domain or "not told",
        "machines that execute share files within": ", ".join(sorted(site.domains)) or "not told",
    }


def _at_most(number: int | None) -> str:
    return "no limit is told" if number is None else f"at most {number}"


def findings(site: Site, transfer: bool) -> Iterator[Finding]:
    """What should be known about a pool.

    Args:
        site: The pool.
        transfer: Whether files travel.
    """
    if site.version and site.version < _KNOWS_DURATIONS:
        version = ".".join(map(str, site.version))
        yield Finding(
            Level.NOTE, f"HTCondor {version} has no time limits of its own; tasks still keep theirs"
        )
    if transfer or not site.domain or not site.domains or site.domain in site.domains:
        return
    others = ", ".join(sorted(site.domains)[:3])
    yield Finding(
        Level.PROBLEM,
        "HTCondor believes that no machine shares files with this one: FILESYSTEM_DOMAIN is "
        f"{site.domain} here and {others} there, so no task would ever start",
        remedy="let files travel; or, if the machines do see your files, tell HTCondor so by "
        'requirements = "TARGET.FileSystemDomain =!= undefined"',
        settings={"transfer": True},
    )
