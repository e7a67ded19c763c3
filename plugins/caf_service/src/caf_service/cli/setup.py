"""How a service is set up, kept in ``service.json`` of its data folder."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import fields

from caf_core.errors import ConfigurationError

Function = TypeVar("Function", bound=Callable[..., Any])

FILE = "service.json"
BESIDE = ("url", "backend")
"""What is kept there beside the fields of ``ServiceConfig``."""

_PATHS = ("certificate", "key")


def setup_options(function: Function) -> Function:
    """What both ``init`` and ``start`` may be told."""
    for option in (
        click.option("--backend", metavar="NAME", help="What executes workers where nothing is said."),
        click.option("--url", metavar="URL", help="The service's address as workers see it."),
        click.option("--max-wait", type=float, metavar="S", help="How long a dead worker waits for company."),
        click.option("--retention", type=float, metavar="S", help="How long results are kept."),
        click.option(
            "--output-root",
            "output_roots",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Results may be put below it; may be given several times.",
        ),
        click.option(
            "--plan",
            "plans",
            multiple=True,
            metavar="NAME=MODULE:PLAN",
            help="A plan that no plugin brings; may be given several times.",
        ),
        click.option("--key", type=click.Path(path_type=Path), help="The private key of the certificate."),
        click.option("--certificate", type=click.Path(path_type=Path), help="Serve over TLS."),
        click.option("--database", metavar="URL", help="postgresql://...; SQLite if left out."),
        click.option("--port", type=click.IntRange(0, 65535), help="Where to listen.  [default: 8443]"),
        click.option("--host", help="Where to listen.  [default: 127.0.0.1]"),
    ):
        function = option(function)
    return function


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a command line says, as it is kept.

    Raises:
        ConfigurationError: If a plan has no name.
    """
    from caf_core.jobs.config.typed import pairs

    said = {name: value for name, value in options.items() if value not in (None, ())}
    if "plans" in said:
        said["plans"] = pairs(said["plans"], "--plan")
    if "output_roots" in said:
        said["output_roots"] = [str(root.absolute()) for root in said["output_roots"]]
    return {name: str(value.absolute()) if name in _PATHS else value for name, value in said.items()}


def read_setup(data: Path) -> dict[str, Any]:
    """What was kept.

    Raises:
        ConfigurationError: If there is nothing, or it cannot be read.
    """
    file = data / FILE
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{data} holds no service; make one with: caf service init {data}."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is no JSON ({error}); correct it.") from error
    return found


def write_setup(data: Path, setup: Mapping[str, Any]) -> None:
    """Keep it."""
    (data / FILE).write_text(json.dumps(dict(setup), indent=2) + "\n", encoding="utf-8")


def make_config(data: Path, setup: Mapping[str, Any]) -> Any:
    """The service's configuration.

    Raises:
        ConfigurationError: If there is something in it that nobody knows, or that cannot be.
    """
    from caf_service.config import ServiceConfig
    from caf_service.limits import Limits

    known = {one.name for one in fields(ServiceConfig)} - {"data"}
    unknown = set(setup) - known - set(BESIDE)
    if unknown:
        raise ConfigurationError(
            f"{data / FILE}: there is no setting {', '.join(sorted(unknown))}; there are: "
            f"{', '.join(sorted(known | set(BESIDE)))}."
        )
    values = {name: value for name, value in setup.items() if name not in BESIDE}
    values |= {name: Path(values[name]) for name in _PATHS if values.get(name)}
    try:
        if "limits" in values:
            values["limits"] = Limits(**values["limits"])
        return ServiceConfig(data=data.absolute(), **{"port": 8443, **values})
    except TypeError as error:
        raise ConfigurationError(f"{data / FILE}: {error}; correct it.") from error
