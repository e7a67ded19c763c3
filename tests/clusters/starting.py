"""Starting real batch systems on this machine, with the scripts in this folder."""

import os
import subprocess
from pathlib import Path

from attrs import field, frozen

HERE = Path(__file__).parent
PATIENCE = 900
"""The first start fetches packages; this long may it take [s]."""
PORTS = {"htcondor": ("CAF_HTCONDOR_PORT", 21618), "slurm": ("CAF_SLURM_PORT", 21817)}
"""The variable with the port of each, and the scripts' default."""


@frozen
class Cluster:
    """A batch system that is up.

    Args:
        name: Its name as a backend.
        instance: Which of several; see the scripts.
        environment: The variables with which its commands find it, ``PATH`` among them.
        settings: The variables that its script was given.
    """

    name: str
    instance: str
    environment: dict[str, str]
    settings: dict[str, str] = field(factory=dict)

    @property
    def place(self) -> Path:
        """The folder with its configuration, state and logs."""
        variable = "CONDOR_CONFIG" if self.name == "htcondor" else "SLURM_CONF"
        return Path(self.environment[variable]).parents[1]


class NotHere(Exception):
    """A cluster cannot be started on this machine."""


def start(name: str, instance: str = "main", **settings: str) -> Cluster:
    """Start a cluster, if it is not up already.

    Args:
        name: ``htcondor`` or ``slurm``.
        instance: Tests that disturb a cluster use one of their own.
        settings: Variables for the script.
    Raises:
        NotHere: With the script's own words.
    """
    done = subprocess.run(
        [HERE / f"{name}-up", instance],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise NotHere(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{name}-up failed")
    exports = (line.removeprefix("export ").partition("=") for line in done.stdout.splitlines())
    path = os.environ["PATH"]
    found = {key: value.replace("$PATH", path) for key, _, value in exports}
    return Cluster(name, instance, found, settings)


def base() -> Path:
    """Where everything lies, as the scripts have it."""
    return Path(os.environ.get("CAF_CLUSTERS_DIR") or f"/var/tmp/caf-clusters-{os.getuid()}")


def stop_all() -> None:
    """Stop every instance that was ever started here."""
    for name in PORTS:
        for config in (*base().glob(f"{name}-*/etc/condor_config"), *base().glob(f"{name}-*/etc/slurm.conf")):
            instance = config.parents[1].name.removeprefix(f"{name}-")
            subprocess.run([HERE / f"{name}-down", instance], capture_output=True, timeout=120, check=False)
