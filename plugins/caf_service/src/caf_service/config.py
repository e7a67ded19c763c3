"""How a service is set up."""

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from caf_core.errors import ConfigurationError
from caf_service.limits import Limits, above


def _folders(values: object) -> tuple[Path, ...]:
    return tuple(Path(one) for one in values)  # type: ignore[attr-defined]  # attrs gives what the caller wrote


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        raise ConfigurationError(f'{values!r} is no list of names; write such as ["slurm"].')
    return tuple(values)


def _roots(values: object) -> tuple[str, ...]:
    if isinstance(values, list | tuple):
        values = [str(one) for one in values]
    wrong = [one for one in _names(values) if not one.startswith("/") and "://" not in one]
    if wrong:
        raise ConfigurationError(
            f"the input root {wrong[0]!r} is neither an absolute path nor an address such as root://host//store."
        )
    return _names(values)


def _known_database(_: object, __: object, value: str) -> None:
    if value and not value.startswith("postgresql://"):
        raise ConfigurationError(
            f"the database {value.split('://')[0]!r} is not known; give a URL that begins with "
            "postgresql://, or nothing for SQLite in the data folder."
        )


def _whole(instance: "ServiceConfig", _: object, value: Path | None) -> None:
    if (value is None) != (instance.certificate is None):
        raise ConfigurationError("TLS needs both a certificate and a key; give both or neither.")


@frozen
class ServiceConfig:
    """The configuration of a service.

    Args:
        data: The folder of its files; one service a folder.
        database: ``postgresql://...``, or nothing for SQLite in ``data``.
        host: The address to listen on.
        port: The port; 0 for a free one.
        certificate: File with the TLS certificate chain; without it there is no TLS.
        key: File with its private key.
        plans: Further plans beside those of plugins: name -> ``package.module:PLAN``.
        output_roots: Folders below which users may have results copied to any absolute path.
        input_roots: Folders, and beginnings of addresses such as ``root://host//store``, below which
            users may have input files.
        backend: What executes workers where a calibration says nothing.
        backends: The backends that users may name; by default those that are installed here.
        user_backend_args: Arguments of backends that users may give beside those that backends declare as
            harmless (``Backend.user_args``): ``NAME``, or ``BACKEND.NAME``.
        trusting: Whether users may choose any backend with any arguments, and any input file: where nobody
            uses the service but who started it.
        proxies: Addresses of proxies whose word is taken for where a request comes from.
        retention: How long an ended calibration keeps its files [s].
        max_wait: How long a dead worker waits for others, to be submitted again with them [s].
        update_timeout: How long an update function may take [s].
        updates: So many update functions are executed at a time.
        heartbeat: How often workers are asked for a sign of life [s].
        limits: What clients may ask for.
    """

    data: Path = field(converter=Path)
    database: str = field(default="", validator=_known_database)
    host: str = "127.0.0.1"
    port: int = field(default=0, validator=above(0, whole=True))
    certificate: Path | None = None
    key: Path | None = field(default=None, validator=_whole)
    plans: Mapping[str, str] = field(factory=dict)
    output_roots: tuple[Path, ...] = field(default=(), converter=_folders)
    input_roots: tuple[str, ...] = field(default=(), converter=_roots)
    backend: str = ""
    backends: tuple[str, ...] = field(default=(), converter=_names)
    user_backend_args: tuple[str, ...] = field(default=(), converter=_names)
    trusting: bool = False
    proxies: tuple[str, ...] = field(default=(), converter=_names)
    retention: float = field(default=7 * 86400.0, validator=above(0))
    max_wait: float = field(default=600.0, validator=above(0))
    update_timeout: float = field(default=3600.0, validator=above(0))
    updates: int = field(default=2, validator=above(1, whole=True))
    heartbeat: float = field(default=30.0, validator=above(0.001))
    limits: Limits = field(factory=Limits)
