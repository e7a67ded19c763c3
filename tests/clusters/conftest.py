"""Real batch systems on this machine: started once, used by all tests, left up for the next time."""

import fcntl
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from clusters.experiment import Experiment
from clusters.starting import PORTS, Cluster, NotHere, base, start, stop_all

HERE = Path(__file__).parent


_alone_on: dict[tuple[str, str], TextIO] = {}
"""The instances that this process has to itself, with the file that is locked for each."""


def cluster_or_skip(name: str, instance: str = "main", **settings: str) -> Cluster:
    """Start a cluster; skip where it cannot be, unless it is required.

    All may use ``main`` at the same time. Any other instance belongs to one process, until it leaves
    ``in_environment``: tests disturb it, and those of another clone on this machine must not meet them.
    """
    try:
        if instance != "main" and (name, instance) not in _alone_on:
            base().mkdir(parents=True, exist_ok=True)
            lock = (base() / f"{name}-{instance}.lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            _alone_on[name, instance] = lock
        return start(name, instance, **settings)
    except (NotHere, OSError, subprocess.SubprocessError) as reason:
        _leave(name, instance)
        if os.environ.get("CAF_CLUSTERS_REQUIRED") == "1":
            pytest.fail(f"a real {name} is required: {reason}", pytrace=False)
        pytest.skip(f"no real {name} here: {reason}")


def in_environment(cluster: Cluster) -> Iterator[Cluster]:
    """Let this process and what it starts find the cluster."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in cluster.environment.items():
            patch.setenv(key, value)
        try:
            yield cluster
        finally:
            _leave(cluster.name, cluster.instance)


def _leave(name: str, instance: str) -> None:
    """Let others have an instance; who keeps it by mistake makes them wait for ever."""
    if lock := _alone_on.pop((name, instance), None):
        lock.close()


@pytest.fixture(scope="session")
def htcondor_pool() -> Iterator[Cluster]:
    """A real HTCondor pool; its commands are on the ``PATH``."""
    yield from in_environment(cluster_or_skip("htcondor"))


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Cluster]:
    """A real Slurm with one node; its commands are on the ``PATH``."""
    yield from in_environment(cluster_or_skip("slurm"))


BOTH = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in PORTS]
SECONDS = [
    pytest.param(name, marks=[getattr(pytest.mark, name), pytest.mark.xdist_group(f"second-{name}")])
    for name in PORTS
]
"""Whoever disturbs a cluster is alone on it: such tests follow one another in one process."""


@pytest.fixture(params=BOTH)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Either of them."""
    fixtures = {"htcondor": "htcondor_pool", "slurm": "slurm_cluster"}
    found: Cluster = request.getfixturevalue(fixtures[request.param])
    return found


@pytest.fixture(params=SECONDS)
def second_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Another instance of either, to be stopped, killed and started as one likes; it is found healthy."""
    variable, default = PORTS[request.param]
    port = int(os.environ.get(variable, default)) + 10
    yield from in_environment(cluster_or_skip(request.param, "second", **{variable: str(port)}))


@pytest.fixture
def experiment(cluster: Cluster, tmp_path: Path) -> Experiment:
    """A folder for programs that calibrate on either cluster."""
    return Experiment(cluster.name, tmp_path)


@pytest.fixture
def second_experiment(second_cluster: Cluster, tmp_path: Path) -> Experiment:
    """The same on a cluster that may be disturbed."""
    return Experiment(second_cluster.name, tmp_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here needs a real cluster; what needs one that misbehaves on demand is not for here."""
    wishes = [item for item in items if item.path.is_relative_to(HERE) and _needs_faults(item)]
    config.hook.pytest_deselected(items=wishes)
    left_out = set(wishes)
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)


def _needs_faults(item: pytest.Item) -> bool:
    function = getattr(item, "function", None)
    return str(getattr(function, "__qualname__", "")).startswith("FaultConformance.")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often the controller was killed, and what that did to the tasks."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                total.update(dict(report.user_properties))
    if "kill points" in total:
        terminalreporter.write_line(
            f"{total['kill points']} kill points tried on batch systems: {total['lost']} tasks lost, "
            f"{total['repeated']} repeated"
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop all that runs, if asked to; in the process that is the last to go."""
    if os.environ.get("CAF_CLUSTERS_DOWN") == "1" and not hasattr(session.config, "workerinput"):
        stop_all()
