"""What an LSF installation is like, read from what its commands say of it."""

import re

from attrs import frozen

from caf_core.jobs.findings import Finding, Level

DEFAULT_ARRAY_LIMIT = 1000
"""What LSF sets when ``MAX_JOB_ARRAY_SIZE`` is not configured."""

UNITS = {"KB": 1, "MB": 1 << 10, "GB": 1 << 20, "TB": 1 << 30, "PB": 1 << 40, "EB": 1 << 50}
"""Units of memory in KiB."""

CONF = """\
for conf in "${LSF_ENVDIR:-/etc}" "$(dirname -- "$(command -v -- "$0")")/../etc" \\
    "$(dirname -- "$(command -v -- "$0")")/../../../conf"; do
    if [ -r "$conf/lsf.conf" ]; then
        echo "file=$conf/lsf.conf"
        grep -E '^[[:space:]]*LSF_(UNIT_FOR_LIMITS|ENABLE_TMP_UNIT)[[:space:]]*=' "$conf/lsf.conf"
        exit 0
    fi
done
exit 1
"""
"""A script that prints what matters here of ``lsf.conf``, which lies where LSF's commands look for it, or
beside them; its ``$0`` is one of them.
"""


@frozen
class Site:
    """What is known of an installation.

    Args:
        version: What it says it is, such as ``IBM Spectrum LSF 10.1.0.11``.
        ibm: Whether it is IBM's, which has options that the open ones misread.
        array_limit: The largest array; ``None`` if it did not say.
        limit_unit: The unit of ``-M``; ``None`` if it is not known.
        reserve_unit: The unit of ``rusage[mem]``, likewise.
        disk_unit: The unit of ``rusage[tmp]``, likewise.
        per_task: Whether memory is reserved for each processor and not for the whole job.
    """

    version: str = ""
    ibm: bool = False
    array_limit: int | None = None
    limit_unit: str | None = None
    reserve_unit: str | None = None
    disk_unit: str | None = None
    per_task: bool = False


def site_of(version: str, parameters: str, conf: str | None) -> Site:
    """Read the answers.

    Args:
        version: Of ``bjobs -V``.
        parameters: Of ``bparams -l``.
        conf: Lines of lsf.conf, or what ``badmin showconf`` prints; ``None`` if neither could be had.
    """
    name = next((line.strip() for line in version.splitlines() if line.strip()), "")
    openly = re.search("(volclava)|openlava", version, re.IGNORECASE)
    volclava = openly is not None and openly[1] is not None
    ibm = openly is None and re.search(r"\b(IBM|Platform) .*LSF|Spectrum LSF", version) is not None
    array = re.search(r"\bMAX_JOB_ARRAY_SIZE\s*=\s*(\d+)", parameters)
    per_task = re.search(r"\bRESOURCE_RESERVE_PER_(?:TASK|SLOT)\s*=\s*[Yy]", parameters)
    limit = reserve = disk = None
    if conf is not None:
        unit = _setting(conf, "LSF_UNIT_FOR_LIMITS")
        unit = unit and unit.upper()[:1] + "B"
        # Where the site sets no unit, reservations are in MB, and limits in KB; but of Volclava the manual
        # says KB and the sources MB.
        limit, reserve = (unit, unit) if unit in UNITS else (None if volclava else "KB", "MB")
        scaled = volclava or _setting(conf, "LSF_ENABLE_TMP_UNIT")[:1] in ("Y", "y")
        disk = reserve if scaled else "MB"
    return Site(name, ibm, int(array[1]) if array else None, limit, reserve, disk, per_task is not None)


def _setting(conf: str, name: str) -> str:
    """The last value of a setting; empty if there is none."""
    values = re.findall(rf"^\s*{name}\s*=\s*\"?([^\s#\"]*)", conf, re.MULTILINE)
    return values[-1] if values else ""


def described(site: Site) -> dict[str, str]:
    """What was found out about an installation, in words."""
    return {
        "version": site.version or "not told",
        "its options are those of": "IBM's LSF" if site.ibm else "its open descendants",
        "tasks in one array (MAX_JOB_ARRAY_SIZE)": (
            "not told" if site.array_limit is None else f"at most {site.array_limit}"
        ),
        "unit of memory limits (-M)": site.limit_unit or "not known",
        "unit of memory reservations (rusage[mem])": site.reserve_unit or "not known",
        "unit of disk reservations (rusage[tmp])": site.disk_unit or "not known",
        "memory is reserved for": "each processor of a job" if site.per_task else "a whole job",
    }


def findings_of(site: Site) -> list[Finding]:
    """What people should know of an installation beyond its facts."""
    told = []
    if site.array_limit is None:
        text = (
            f"bparams -l does not tell MAX_JOB_ARRAY_SIZE, so arrays have at most {DEFAULT_ARRAY_LIMIT} tasks"
        )
        told.append(Finding(Level.NOTE, text))
    if site.reserve_unit is None:
        text = "neither lsf.conf nor badmin tells the unit of memory, so tasks that ask for some are refused"
        remedy = "ask the site for LSF_UNIT_FOR_LIMITS, and set memory_unit"
        told.append(Finding(Level.WARNING, text, remedy))
    elif site.limit_unit is None:
        text = "the unit of memory limits is not clear here, so memory is reserved but not limited"
        remedy = "set memory_unit if tasks should be ended that take more"
        told.append(Finding(Level.NOTE, text, remedy))
    return told


def amount(megabytes: float, unit: str) -> int:
    """An amount of memory in a unit, rounded up.

    Args:
        megabytes: The amount [MiB].
        unit: The unit.
    """
    return max(1, -int(-megabytes * UNITS["MB"] // UNITS[unit]))


def queue_names(answer: str) -> list[str]:
    """The names of the queues that ``bqueues`` lists."""
    lines = answer.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("QUEUE_NAME")]
    return [line.split()[0] for line in lines[heads[0] + 1 :] if line.strip()] if heads else []
