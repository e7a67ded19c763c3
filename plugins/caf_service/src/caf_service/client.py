"""The service's users' side in Python."""

import contextlib
import json
import os
import re
import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import evolve, frozen

from caf_core.errors import ConfigurationError
from caf_core.jobs.tokens import new_token
from caf_service.listeners import OWNER
from caf_service.patience import Patience
from caf_service.snapshot import State
from caf_service.transport import Address, ServiceError, Transport, quoted

URL, TOKEN, CERTIFICATE = "CAF_SERVICE_URL", "CAF_SERVICE_TOKEN", "CAF_SERVICE_CERTIFICATE"
SETTINGS = "caf/service.json"
"""Where ``{"url", "token", "certificate", "owner"}`` stand, below ``$XDG_CONFIG_HOME`` or ``~/.config``."""

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*:/")
"""The beginning of ``root://...`` and the like."""

WATCH = 25.0
"""How long one request of a live view waits [s]."""

Status = Mapping[str, Any]
"""What the service tells of a calibration; see its description of the API."""


def find_address(url: str = "", token: str = "", environ: Mapping[str, str] | None = None) -> Address:
    """The service that is meant: what is said here, else the environment, else the user's file.

    Raises:
        ConfigurationError: If nothing says where the service is.
    """
    environ = os.environ if environ is None else environ
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    home = base if base.is_absolute() else Path(environ.get("HOME", "~")).expanduser() / ".config"
    file = home / SETTINGS
    kept: Mapping[str, Any] = {}
    if file.exists():
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"{file} is no JSON ({error}); correct it.") from error
    url = url or environ.get(URL, "") or str(kept.get("url", ""))
    token = token or environ.get(TOKEN, "") or str(kept.get("token", ""))
    certificate = environ.get(CERTIFICATE, "") or str(kept.get("certificate") or "")
    if not url:
        raise ConfigurationError(
            f"nothing says where the service is; give its address, set {URL} and {TOKEN}, or write them into "
            f"{file}."
        )
    owner = environ.get(OWNER, "") or str(kept.get("owner") or "")
    return Address(url, token, Path(certificate) if certificate else None, owner)


@frozen
class Made:
    """A calibration that was created.

    Args:
        id: Its number.
        warnings: What the service finds odd about it.
    """

    id: int
    warnings: tuple[str, ...] = ()


class Client:
    """Asks a service; for one thread.

    A service that is away is waited for; what the service refuses is raised as ``RefusedError``.

    Args:
        url: Where it is; with the token, from the environment or ``~/.config/caf/service.json`` if left out.
        token: The user's token.
        certificate: Certificates that are trusted, for a service with its own.
        patience: For how long the service may be away [s].
        notice: Told of what is waited for, when that takes longer than a moment.
    """

    def __init__(
        self,
        url: str = "",
        token: str = "",
        *,
        certificate: Path | None = None,
        patience: float = 60.0,
        notice: Callable[[ServiceError], object] = lambda _: None,
    ) -> None:
        address = find_address(url, token)
        if certificate is not None:
            address = evolve(address, certificate=certificate)
        self._transport = Transport(address)
        self._patience = Patience(patience, notice=notice, trusting=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def create_calibration(
        self,
        plan: str,
        *,
        workers: int,
        settings: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Iterable[str | Path] | str | Path] | None = None,
        files: Mapping[str, str | bytes | Path] | None = None,
        key: str = "",
        **more: Any,
    ) -> Made:
        """Begin a calibration.

        Args:
            plan: The plan's name.
            workers: How many workers it gets.
            settings: The plan's settings.
            inputs: Sample -> files, or one file, that the workers find too; relative paths begin here.
            files: Small files that come along, such as a steering file: name -> path, or content.
            key: The same key again gives the same calibration; made up if left out.
            more: ``quorum``, ``start``, ``stop``, ``output_dir``, ``backend``, ``backend_args``, ``name``.
        Returns:
            Its number, and warnings.
        Raises:
            RefusedError: With one sentence that says everything that is wrong.
        """
        content = {
            "plan": plan,
            "workers": workers,
            "settings": dict(settings or {}),
            "inputs": {
                sample: [located(name) for name in files_of(names)]
                for sample, names in (inputs or {}).items()
            },
            "files": {name: _packed(content) for name, content in (files or {}).items()},
            "key": key or new_token(),
            **{name: value for name, value in more.items() if value is not None},
        }
        told = self._patience.ask(lambda: self._transport.post("/calibrations", content))
        return Made(told["id"], tuple(told.get("warnings", ())))

    def statuses(self, state: State | str | None = None) -> list[Status]:
        """One's own calibrations; an administrator's are everybody's."""
        asked = None if state is None else str(state)
        return list(self._get("/calibrations", state=asked))

    def status(self, calibration: int) -> Status:
        """Where a calibration is, with all its steps."""
        found: Status = self._get(f"/calibrations/{calibration}")
        return found

    def watch(self, calibration: int) -> Iterator[Status]:
        """Where a calibration is, now and whenever that changes, until it has ended."""
        status = self.status(calibration)
        yield status
        while not State(status["state"]).ended:
            seen = status["version_seen"]
            status = self._get(f"/calibrations/{calibration}", wait=WATCH, seen=seen)
            if status["version_seen"] != seen:
                yield status

    def wait(self, calibration: int, timeout: float | None = None) -> Status:
        """Wait until a calibration has ended.

        Raises:
            TimeoutError: If that takes longer than ``timeout`` [s].
        """
        until = None if timeout is None else time.monotonic() + timeout
        status = self.status(calibration)
        while not State(status["state"]).ended:
            left = WATCH if until is None else min(WATCH, until - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"calibration {calibration} has not ended within {timeout:g} s")
            seen = status["version_seen"]
            status = self._get(f"/calibrations/{calibration}", wait=max(left, 0.01), seen=seen)
        return status

    def kill(self, calibration: int) -> Status:
        """End a calibration; one that has ended stays as it is."""
        found: Status = self._post(f"/calibrations/{calibration}/kill")
        return found

    def clean(self, calibration: int) -> None:
        """Forget an ended calibration with all its files in the service."""
        self._post(f"/calibrations/{calibration}/clean")

    def change_output_dir(self, calibration: int, path: str | Path) -> Status:
        """Let the service put the result somewhere else."""
        found: Status = self._post(f"/calibrations/{calibration}/output", {"path": str(path)})
        return found

    def get_result(self, calibration: int, folder: str | Path | None = None) -> Path:
        """Fetch the result of a calibration that has finished.

        Args:
            calibration: Its number.
            folder: Where to; ``calibration-NUMBER`` in the current directory if left out.
        Returns:
            The folder.
        """
        target = Path(f"calibration-{calibration}" if folder is None else folder)
        known = target.exists()
        target.mkdir(parents=True, exist_ok=True)
        try:
            with TemporaryDirectory(prefix="caf-result-", dir=target) as scratch:
                file = Path(scratch) / "result.zip"
                path = f"/calibrations/{calibration}/result"
                self._patience.ask(lambda: self._transport.get_file(path, file))
                with zipfile.ZipFile(file) as archive:
                    archive.extractall(target)
        except BaseException:
            if not known:
                with contextlib.suppress(OSError):  # something of the result is in it
                    target.rmdir()
            raise
        return target

    def parameters(self, calibration: int) -> Mapping[str, Any]:
        """The constants of a calibration: the final ones, or those of the present step while it goes on."""
        status = self.status(calibration)
        if not status["result"]:
            found: Mapping[str, Any] = status["parameters"]
            return found
        with TemporaryDirectory(prefix="caf-result-") as scratch:
            file = self.get_file(calibration, "parameters.json", Path(scratch) / "parameters.json")
            kept: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return kept

    def files(self, calibration: int) -> list[Mapping[str, Any]]:
        """The files of a calibration's result and of its steps: name and size."""
        return list(self._get(f"/calibrations/{calibration}/files"))

    def get_file(self, calibration: int, name: str, target: Path) -> Path:
        """Fetch one of them."""
        path = f"/calibrations/{calibration}/files{quoted(name)}"
        return self._patience.ask(lambda: self._transport.get_file(path, target))

    def plans(self) -> list[Mapping[str, Any]]:
        """The plans that there are, with their settings."""
        return list(self._get("/plans"))

    def me(self) -> Mapping[str, str]:
        """Who asks: name and role."""
        found: Mapping[str, str] = self._get("/me")
        return found

    # For administrators

    def users(self) -> list[Mapping[str, Any]]:
        """The users."""
        return list(self._get("/users"))

    def add_user(self, name: str, role: str = "user") -> str:
        """Add a user; returns the token."""
        return str(self._transport.post("/users", {"name": name, "role": role})["token"])

    def new_token(self, name: str) -> str:
        """One more token of a user."""
        return str(self._transport.post(f"/users{quoted(name)}/tokens")["token"])

    def revoke(self, name: str) -> int:
        """End all tokens of a user; tells how many."""
        return int(self._post(f"/users{quoted(name)}/revoke")["revoked"])

    def _get(self, path: str, **query: Any) -> Any:
        return self._patience.ask(lambda: self._transport.get(path, **query))

    def _post(self, path: str, content: Mapping[str, Any] | None = None) -> Any:
        return self._patience.ask(lambda: self._transport.post(path, content))


def files_of(names: Iterable[str | Path] | str | Path) -> list[str]:
    """The files of a sample; a text is one file, and not its letters."""
    return [str(names)] if isinstance(names, str | Path) else [str(file) for file in names]


def located(name: str) -> str:
    """Where a file is, as others find it: a relative path begins here; an address stays as it is."""
    return name if _ADDRESS.match(name) else str(Path(name).absolute())


def _packed(content: str | bytes | Path) -> dict[str, str]:
    """A file as it travels."""
    if isinstance(content, str):
        return {"text": content}
    data = content.read_bytes() if isinstance(content, Path) else content
    try:
        return {"text": data.decode("utf-8")} if b"\r" not in data else {"base64": b64encode(data).decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
