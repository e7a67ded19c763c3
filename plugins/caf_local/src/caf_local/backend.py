"""The backend ``local``."""

from caf_core.jobs.local import ResidentBackend


class Local(ResidentBackend):
    """Executes tasks on this machine, ``max_processes`` at a time.

    A resident process takes the tasks, ends each with everything that it started, and writes its exit record.
    It imports the modules that Python collectors declare once for all of them. It outlives the controller:
    what it was given is finished, and a controller that is started again finds it.

    Args:
        max_processes: How many tasks are executed at the same time; one a processor that may be used, if left
            out; may be changed later.
        residence: The resident process to use; caf gives every output directory one.
        backend_args: Defaults for jobs; this backend knows none.
    """
