"""What the core itself brings, through the same hooks as everybody else."""

from typing import Any

from caf_core.plugins.hooks import Register
from caf_core.plugins.markers import hookimpl


@hookimpl
def caf_register_splitters(register: Register[Any]) -> None:
    """The three ways to cut a job into subjobs."""
    for name in ("MaxFilesSplitter", "MaxSubjobsSplitter", "ArgumentsSplitter"):
        register(name, f"caf_core.jobs.splitters:{name}")


@hookimpl
def caf_register_runners(register: Register[Any]) -> None:
    """Plans carried out one request after the other, or independent parts side by side."""
    register("sequential", "caf_core.calibration.runner:SequentialRunner")
    register("parallel", "caf_core.calibration.runner:ParallelRunner")


@hookimpl
def caf_register_payload_codecs(register: Register[Any]) -> None:
    """Plain bytes, numpy arrays, plain values; they are asked in this order."""
    register("bytes", "caf_core.conditions.codecs:BytesCodec")
    register("npz", "caf_core.conditions.npz:NpzCodec")
    register("json", "caf_core.conditions.codecs:JsonCodec")


@hookimpl
def caf_register_conditions(register: Register[Any]) -> None:
    """The central database in an SQLite file."""
    register("sqlite", "caf_core.conditions.central:open_sqlite")
