"""Names that come with distributions we know of; only errors read this table, to say what to install."""

from caf_core.plugins.plugin import Kind

BROUGHT_BY = {
    (Kind.BACKEND, "local"): "caf-local",
    (Kind.BACKEND, "lsf"): "caf-lsf",
    (Kind.BACKEND, "pbs"): "caf-pbs",
    (Kind.BACKEND, "htcondor"): "caf-htcondor",
    (Kind.BACKEND, "slurm"): "caf-slurm",
    (Kind.STRATEGY, "SingleIOV"): "caf-strategies",
    (Kind.STRATEGY, "SequentialRunByRun"): "caf-strategies",
    (Kind.STRATEGY, "SimpleRunByRun"): "caf-strategies",
    (Kind.STRATEGY, "SequentialBoundaries"): "caf-strategies",
    (Kind.CODEC, "root"): "caf-root",
    (Kind.PLAN, "pandora"): "caf-pandora",
    (Kind.PLAN, "pandora-standin"): "caf-pandora",
}
"""(kind, name) -> the distribution that brings it."""

_SEQUENTIAL = ("SequentialRunByRun", "SequentialBoundaries")
STRATEGY_PARAMETERS = {
    "apply_iov": ("SingleIOV",),
    "iov_coverage": _SEQUENTIAL,
    "keep_boundaries": _SEQUENTIAL,
    "on_failure": (*_SEQUENTIAL, "SimpleRunByRun"),
    "on_short": ("SequentialBoundaries",),
    "payload_boundaries": ("SequentialBoundaries",),
    "step_size": ("SequentialRunByRun",),
}
"""The parameters of well-known strategies; given to another one they would be taken for the algorithm's."""


def known_name(kind: Kind, name: str) -> tuple[str, str] | None:
    """The well-known name that was meant, whatever its upper and lower case, and its distribution."""
    for (known_kind, known), distribution in BROUGHT_BY.items():
        if known_kind is kind and known.lower() == name.lower():
            return known, distribution
    return None
