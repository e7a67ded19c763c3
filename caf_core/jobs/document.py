"""A job as a JSON file, with the version of its form."""

import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from attrs import field, frozen
from cattrs import BaseValidationError, transform_error
from cattrs.preconf.json import JsonConverter, make_converter

from caf_core.errors import ConfigurationError
from caf_core.jobs.model import Job
from caf_core.jobs.retry import RetryPolicy
from caf_core.jobs.task import Resources
from caf_core.json_text import exact_json
from caf_core.text import clause

SCHEMA = 1


@frozen
class SubJobDocument:
    """What is kept of a subjob; ``None`` is what it has from its job."""

    id: int
    args: list[str] | None = None
    input_files: list[str] | None = None


@frozen(kw_only=True)
class JobDocument:
    """What is kept of a job."""

    schema: int = SCHEMA
    name: str
    cmd: list[str]
    args: list[str]
    input_files: list[str]
    working_dir: Path | None
    output_dir: Path | None
    output_patterns: list[str]
    setup_cmds: list[str]
    input_sandbox_files: list[str]
    backend_args: dict[str, Any]
    env: dict[str, str]
    resources: Resources
    retry: RetryPolicy = field(factory=RetryPolicy)
    subjobs: list[SubJobDocument] = field(factory=list)


_FIELDS = [name for name in JobDocument.__annotations__ if name not in ("schema", "subjobs")]


@cache
def _converter() -> JsonConverter:
    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(timedelta, lambda value: value.total_seconds())
    converter.register_structure_hook(timedelta, lambda value, _: timedelta(seconds=float(value)))
    return converter


def write_job(job: Job, path: Path) -> None:
    """Write a job to a file, in one step.

    Raises:
        ConfigurationError: If something in it is not JSON.
    """
    subjobs = [
        SubJobDocument(subjob.id, subjob.own_args, subjob.own_input_files) for subjob in job.subjobs.values()
    ]
    document = JobDocument(**{name: getattr(job, name) for name in _FIELDS}, subjobs=subjobs)
    try:
        text = exact_json(_converter().unstructure(document), indent=2)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the job {job.name!r} cannot be written as JSON: {error}; its backend_args must be plain values."
        ) from error
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text + "\n")
    scratch.replace(path)


def read_job(path: Path) -> Job:
    """Read a job from a file.

    Raises:
        ConfigurationError: If the file is not a job, or of a newer version.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the job file {path} cannot be read: {error}.") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, int):
        raise ConfigurationError(f"{path} is not a job file: it has no schema.")
    if schema > SCHEMA:
        raise ConfigurationError(
            f"{path} was written by a newer caf (schema {schema}); read it with that version."
        )
    try:
        document = _converter().structure(content, JobDocument)
    except BaseValidationError as error:
        raise ConfigurationError(
            f"{path} is not a job file: {'; '.join(map(clause, transform_error(error)))}."
        ) from error
    job = Job(**{name: getattr(document, name) for name in _FIELDS})
    for subjob in document.subjobs:
        job.create_subjob(subjob.id, input_files=subjob.input_files, args=subjob.args)
    return job
