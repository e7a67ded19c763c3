"""Full records of jobs, whichever way a version prints them: JSON, XML or text.

All become the same: the names and values of the text form, ``resources_used.mem`` -> ``7400kb``. Released
versions print JSON that is none (numbers with leading zeros, wrong escapes, bytes that are no UTF-8), and an
answer may be cut off in the middle, so that whatever can be read is read, line by line if need be.
"""

import html
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from caf_pbs.site import Format

Record = Mapping[str, str]
"""The attributes of a job."""


def read(text: str, form: Format) -> dict[str, Record]:
    """The jobs of an answer, by the part of their id before the server; those that cannot be read are left
    out.
    """
    reader = {Format.JSON: from_json, Format.XML: from_xml, Format.TEXT: from_text}[form]
    return {name.partition(".")[0]: record for name, record in reader(text).items()}


def from_json(text: str) -> dict[str, Record]:
    """The jobs of ``qstat -f -F json``."""
    content: Any
    try:
        content = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        content = _salvaged(text)
    jobs = content.get("Jobs") if isinstance(content, dict) else None
    if not isinstance(jobs, dict):
        return {}
    return {str(name): _flat(job) for name, job in jobs.items() if isinstance(job, dict)}


def _flat(job: Mapping[str, Any]) -> Record:
    flat: dict[str, str] = {}
    for name, value in job.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{inner}": str(one) for inner, one in value.items()})
        else:
            flat[name] = str(value)
    return flat


_OPENS = re.compile(r'\s*"(.*?)":\s*\{\s*\Z')
_HOLDS = re.compile(r'\s*"(.*?)":\s*(.*?),?\s*\Z')


def _salvaged(text: str) -> dict[str, Any]:
    """What can be read of broken JSON that has one name a line, as all versions print it."""
    root: dict[str, Any] = {}
    path = [root]
    for line in text.splitlines():
        if opened := _OPENS.match(line):
            inner: dict[str, Any] = {}
            path[-1][opened[1]] = inner
            path.append(inner)
        elif line.strip().startswith("}"):
            if len(path) > 1:
                path.pop()
        elif held := _HOLDS.match(line):
            path[-1][held[1]] = _value(held[2])
    return root


def _value(text: str) -> Any:
    with suppress(ValueError):
        return json.loads(text, strict=False)
    return text.strip('"')


def from_xml(text: str) -> dict[str, Record]:
    """The jobs of Torque's ``qstat -x``, also of several documents one after another."""
    found: dict[str, Record] = {}
    for content in re.findall(r"<Job>(.*?)</Job>", text, re.DOTALL):
        job = dict(_leaves(content))
        if name := job.pop("Job_Id", ""):
            found[name] = job
    return found


def _leaves(content: str) -> list[tuple[str, str]]:
    leaves: list[tuple[str, str]] = []
    for name, inner in re.findall(r"<([\w.:-]+)>(.*?)</\1>", content, re.DOTALL):
        if "<" in inner:
            leaves += [(f"{name}.{part}", value) for part, value in _leaves(inner)]
        else:
            leaves.append((name, html.unescape(inner)))
    return leaves


def from_text(text: str) -> dict[str, Record]:
    """The jobs of ``qstat -f``; long values go on in lines that begin with a tab."""
    found: dict[str, Record] = {}
    job: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if line.startswith("Job Id:"):
            job = found.setdefault(line.partition(":")[2].strip(), {})  # type: ignore[assignment]  # made here
            last = ""
        elif line.startswith("\t") and last in job:
            job[last] += line[1:]
        elif " = " in line:
            last, _, value = line.strip().partition(" = ")
            job[last] = value
    return found
