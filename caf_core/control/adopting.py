"""At which backend a job of an earlier process is followed: where it was submitted."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from caf_core.control.context import Workshop
from caf_core.control.outstanding import EXECUTIONS
from caf_core.control.store.store import StoredJob
from caf_core.errors import CheckpointError, ConfigurationError
from caf_core.jobs.requests import JobRequest


def where_it_is(shop: Workshop, request: JobRequest) -> JobRequest:
    """The request with which an earlier job is taken up.

    What may go on at a backend is followed there, and what is tried again stays there too. Where nothing
    goes on, the job belongs to the backend that is wanted now.

    Args:
        shop: The controller's tools.
        request: The job as it would be submitted now.
    Raises:
        ConfigurationError: If it is at a backend that is not to be had here.
    """
    before = shop.store.backend_of(request.key)
    if before == request.backend:
        return request
    if not shop.store.is_busy(request.key):
        shop.store.give_job(request.key, request.backend)
        return request
    backend = shop.service.backends.get(before)
    if backend is None:
        raise ConfigurationError(
            f"tasks of {request.name!r} are at the backend {before!r}, where an earlier start submitted "
            f"them, and there is no such backend here now; make it available, or end them with caf cancel."
        )
    args: Mapping[str, Any] = request.backend_args
    try:
        backend.check_args({**backend.backend_args, **args})
    except ConfigurationError:
        args = {}  # they are for the backend that is wanted now
    return evolve(request, backend=before, backend_args=args)


def tell_place(shop: Workshop, job: StoredJob, request: JobRequest, wanted: str) -> None:
    """Say that a job that was taken up stays at another backend than the one that is wanted now."""
    if request.backend != wanted:
        places = ["this machine" if name == EXECUTIONS else name for name in (request.backend, wanted)]
        shop.say(
            f"{job.calibration}: the tasks of {job.name!r} go on at {places[0]}, where an earlier start "
            f"submitted them; to have them at {places[1]}, stop, end them with caf cancel, and start again."
        )


def end_earlier(shop: Workshop, job: StoredJob) -> None:
    """End what may be going on of a job of an earlier process, as nobody wants it any more."""
    request = JobRequest(
        key=job.key,
        name=f"{job.calibration}_{job.name}",
        directory=job.directory,
        backend=shop.store.backend_of(job.key),
    )
    try:
        if shop.service.resume(request) and not shop.service.status(job.key).ended:
            shop.service.cancel(job.key)
    except (ConfigurationError, CheckpointError) as error:
        shop.say(f"{job.calibration}: tasks of {job.name!r} that are not wanted may go on: {error}")
