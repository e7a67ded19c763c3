"""Asking the plugins for the runs of files, in a process of the resident kind: nothing is imported before
that."""

TYPE_CHECKING = False  # the real one would import typing, in every worker
if TYPE_CHECKING:
    from collections.abc import Sequence


def iovs(names: "Sequence[str]", experiment: int | None) -> list[list[str]]:
    """``caf_core.calibration.filemap.by_metadata`` of these files."""
    from caf_core.processes.zygote import enable_site

    enable_site()
    from caf_core.calibration.filemap import by_metadata

    return by_metadata(names, experiment)
