"""Where the workers of an agent live: their folders, tokens, and what is executed there."""

import os
import shutil
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from attrs import field, frozen

from caf_core.calibration.own_code import own_folders
from caf_core.jobs.task import Resources, TaskSpec
from caf_service.desk import Crew


@frozen(kw_only=True)
class Terms:
    """What an agent keeps to.

    Args:
        interval: How often it looks after its workers when nothing happens [s].
        silence: After so many seconds without a sign of life an executing worker counts as dead.
        farewell: How long workers may take to end by themselves when their calibration has ended [s].
        pending: How long a dead worker's task may take to end before it is cancelled [s].
        retention: How long the logs of workers whose calibration failed are kept [s].
        patience: How long workers wait for a service that is away [s].
        trouble: For how long it is tried to submit workers where something fails that may pass [s].
        places: So many workers may this machine execute; ``None`` for what it has room for.
        resources: What a worker needs, where the calibration says nothing.
    """

    interval: float = 10.0
    silence: float = 300.0
    farewell: float = 120.0
    pending: float = 30.0
    retention: float = 7 * 86400.0
    patience: float = 2700.0
    trouble: float = 300.0
    places: int | None = None
    resources: Resources = field(factory=Resources)


def _absolute(path: Path) -> Path:
    return path.absolute()


@frozen
class Place:
    """Where an agent works, and where its workers find the service.

    Args:
        directory: Its own folder; workers reach it too.
        url: The address of the service, as workers see it.
        certificate: Certificates that workers trust, if need be.
    """

    directory: Path = field(converter=_absolute)  # tasks are executed elsewhere
    url: str
    certificate: Path | None = None


@frozen
class Quarters:
    """The folders of an agent's workers.

    Args:
        place: Where the agent works.
        terms: What it keeps to.
    """

    place: Place
    terms: Terms

    def open(self) -> None:
        """Tell workers, also those of an earlier process, where the service is now."""
        _write(self._url_file, self.place.url, 0o644)

    def home(self, calibration: int) -> Path:
        """The folder of a calibration's workers."""
        return self.place.directory / "calibrations" / str(calibration)

    def write_tokens(self, calibration: int, tokens: Mapping[int, str]) -> None:
        """Put tokens where only workers of the same account find them."""
        folder = self.home(calibration) / "tokens"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for worker, token in tokens.items():
            _write(folder / str(worker), token, 0o600)

    def tasks(self, crew: Crew, resources: Resources) -> list[TaskSpec]:
        """What is executed: one task a worker."""
        home = self.home(crew.calibration)
        env = {"PYTHONPATH": path} if (path := python_path(os.environ)) else {}
        return [
            TaskSpec(
                output_dir=home / "workers" / str(worker),
                argv=tuple(map(str, self._argv(home / "tokens" / str(worker), resources))),
                env=env,
            )
            for worker in range(crew.workers)
        ]

    def _argv(self, token: Path, resources: Resources) -> list[object]:
        argv = [sys.executable, "-P", "-m", "caf_service.worker", "--url-file", self._url_file]
        argv += ["--token-file", token, "--patience", f"{self.terms.patience:g}"]
        if self.place.certificate is not None:
            argv += ["--certificate", self.place.certificate.absolute()]
        if resources.walltime is not None:
            seconds = resources.walltime.total_seconds()
            # Time to say good-bye, before the scheduler ends it without a word.
            argv += ["--time-limit", f"{max(0.9 * seconds, seconds - 120.0):g}"]
        return argv

    def remove(self, calibration: int) -> None:
        """Remove everything of a calibration."""
        shutil.rmtree(self.home(calibration), ignore_errors=True)

    def strip(self, calibration: int) -> None:
        """Remove the tokens, and keep the logs for those who want to know why it failed."""
        shutil.rmtree(self.home(calibration) / "tokens", ignore_errors=True)

    def sweep(self, kept: Collection[int], now: float | None = None) -> None:
        """Remove what was kept for longer than the retention time."""
        now = time.time() if now is None else now
        folder = self.place.directory / "calibrations"
        for home in folder.iterdir() if folder.is_dir() else ():
            known = home.name.isdecimal() and int(home.name) in kept
            if not known and now - home.stat().st_mtime > self.terms.retention:
                shutil.rmtree(home, ignore_errors=True)

    @property
    def _url_file(self) -> Path:
        return self.place.directory.absolute() / "url"


def python_path(environ: Mapping[str, str]) -> str:
    """Where workers find what this process finds: a plan may lie beside the script that has it executed."""
    said = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join(dict.fromkeys([*own_folders(), *said]))


def _write(file: Path, text: str, mode: int) -> None:
    """Write a small file in one step."""
    scratch = file.with_name(f".{file.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    scratch.replace(file)
