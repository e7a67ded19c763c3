"""How a service is set up, kept in ``service.json`` of its data folder."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click
from attrs import Attribute, fields

from caf_core.cli.base import UserPath
from caf_core.errors import CafError, ConfigurationError
from caf_core.json_text import exact_json
from caf_core.text import clause

if TYPE_CHECKING:
    from caf_service.plans import Catalogue

Function = TypeVar("Function", bound=Callable[..., Any])

FILE = "service.json"
BESIDE = ("url",)
"""What is kept there beside the fields of ``ServiceConfig``."""

_PATHS = ("certificate", "key")


def setup_options(function: Function) -> Function:
    """What both ``init`` and ``start`` may be told."""
    for option in (
        click.option(
            "--backend", metavar="NAME", help="What executes workers where a calibration says nothing."
        ),
        click.option(
            "--url", metavar="URL", help="The service's address as workers see it, if that differs."
        ),
        click.option(
            "--max-wait",
            type=float,
            metavar="S",
            help="How long a dead worker waits for others, to be submitted with them.  [default: 600]",
        ),
        click.option(
            "--retention",
            type=float,
            metavar="S",
            help="How long ended calibrations keep their files.  [default: 604800]",
        ),
        click.option(
            "--output-root",
            "output_roots",
            multiple=True,
            type=UserPath(),
            metavar="DIR",
            help="Users may have results copied below it; may be given several times.",
        ),
        click.option(
            "--proxy",
            "proxies",
            multiple=True,
            metavar="ADDRESS",
            help="A proxy that is believed where requests come from; may be given several times.",
        ),
        click.option(
            "--input-root",
            "input_roots",
            multiple=True,
            metavar="DIR|URL",
            help="Users may have input files below it; may be given several times.",
        ),
        click.option(
            "--plan",
            "plans",
            multiple=True,
            metavar="NAME=MODULE:PLAN",
            help="A plan that no plugin brings; may be given several times.",
        ),
        click.option("--key", type=UserPath(), help="The private key of the certificate."),
        click.option("--certificate", type=UserPath(), help="Serve over TLS."),
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
    if "input_roots" in said:
        said["input_roots"] = [
            one if "://" in one else str(Path(one).absolute()) for one in said["input_roots"]
        ]
    return {name: str(value.absolute()) if name in _PATHS else value for name, value in said.items()}


def read_setup(data: Path) -> dict[str, Any]:
    """What was kept.

    Raises:
        ConfigurationError: If there is nothing, or it cannot be read.
    """
    file = data / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{data} holds no service; make one with: caf service init {data}."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is no JSON ({error}); correct it.") from error
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"{file} holds a {type(found).__name__}, and no settings by name; correct it."
        )
    return found


def write_setup(data: Path, setup: Mapping[str, Any]) -> None:
    """Keep it."""
    file = data / FILE
    file.touch(mode=0o600)  # the URL of a database holds a password
    file.write_text(exact_json(dict(setup), indent=2) + "\n", encoding="utf-8")


def make_config(data: Path, setup: Mapping[str, Any]) -> Any:
    """The service's configuration.

    Raises:
        ConfigurationError: If there is something in it that nobody knows, or that cannot be.
    """
    from caf_service.config import ServiceConfig
    from caf_service.limits import Limits

    kept = [one for one in fields(ServiceConfig) if one.name != "data"]
    _known(setup, kept, str(data / FILE), BESIDE)
    values = {name: value for name, value in setup.items() if name not in BESIDE}
    values |= {name: Path(values[name]) for name in _PATHS if values.get(name)}
    try:
        if "limits" in values:
            values["limits"] = Limits(**_known(values["limits"], fields(Limits), f"{data / FILE}: limits"))
        return ServiceConfig(data=data.absolute(), **{"port": 8443, **values})
    except TypeError as error:
        raise ConfigurationError(f"{data / FILE}: {clause(error)}; correct it.") from error


def _known(
    values: Any, attributes: "Iterable[Attribute[Any]]", where: str, more: Iterable[str] = ()
) -> Mapping[str, Any]:
    """Settings by name, all of which there are."""
    known = sorted({*(one.name for one in attributes), *more})
    if not isinstance(values, Mapping) or (unknown := sorted(set(values) - set(known))):
        what = f"no setting {', '.join(unknown)}" if isinstance(values, Mapping) else "nothing by name"
        raise ConfigurationError(f"{where}: there is {what}; there are: {', '.join(known)}.")
    return values


def address_for_workers(setup: Mapping[str, Any], host: str, url: str) -> str:
    """Where workers are told to find the service: one that listens everywhere is found by its machine's name.

    Args:
        setup: What was said.
        host: Where it listens.
        url: The same as an address.
    """
    if setup.get("url"):
        return str(setup["url"])
    return url.replace(host, gethostname(), 1) if host == "0.0.0.0" else url  # noqa: S104 - compared only


def absent(setup: Mapping[str, Any]) -> str:
    """What is to be said if there is no such backend; calibrations may name another one."""
    from caf_core.jobs.config.reading import load_config
    from caf_core.plugins.registry import Registry

    try:
        Registry.load().backend(setup.get("backend") or load_config().default_backend or "local")
    except CafError as error:
        return f"calibrations that name no backend will fail: {error}"
    return ""


def unreachable(setup: Mapping[str, Any], url: str) -> str:
    """What is to be said if workers are submitted to other machines, and told an address of this one."""
    from caf_core.jobs.config.reading import load_config

    backend = setup.get("backend") or load_config().default_backend or "local"
    if backend == "local" or urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        return ""
    return (
        f"workers of the backend {backend} on other machines do not find {url}; listen with --host 0.0.0.0, "
        "and say with --url where they find it."
    )


def broken_plans(catalogue: "Catalogue") -> Iterator[str]:
    """What is wrong with plans that cannot be imported, in one sentence each."""
    for name in catalogue.names():
        try:
            catalogue.find(name)
        except CafError as error:
            yield f"the plan {name!r} is not offered: {error}"
