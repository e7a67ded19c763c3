"""What an agent does with backends that cannot work: for good, or for a while."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from caf_core.jobs.backend import Capabilities
from caf_core.plugins.markers import hookimpl
from caf_core.plugins.registry import Registry
from caf_local import Local
from service.rig import LIMIT, LONG, QUICK, Rig, rigged, use_plans


class Unmade(Local):
    """Its library is not installed, which shows when it is made."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("No module named 'the_scheduler'")


class Moody(Local):
    """Fails in a way that may pass, and does so after a while."""

    fails = 0

    def capabilities(self) -> Capabilities:
        """What it can do, when it can."""
        if self.fails:
            self.fails -= 1
            raise OSError(28, "No space left on device")
        return super().capabilities()


class Backends:
    """A plugin with backends of these names."""

    def __init__(self, **backends: str | type) -> None:
        self._backends = backends

    @hookimpl
    def caf_register_backends(self, register: Callable[[str, Any], None]) -> None:
        """Register them."""
        for name, backend in self._backends.items():
            register(name, backend)


REGISTRY = Registry(
    [Backends(elsewhere="no_such_module:Backend", nameless="caf_local:Nothing", unmade=Unmade)]
)


def failed(rig: Rig, **more: Any) -> str:
    """Why a calibration with such a backend has failed; nobody waits for its workers."""
    number = rig.create(workers=2, **more)
    status = rig.client.wait(number, LIMIT)
    assert status["state"] == "failed"
    assert "result" in status
    rig.dismissed()
    return str(status["message"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("elsewhere", "cannot be imported from 'no_such_module:Backend': "),
        ("nameless", "cannot be imported from 'caf_local:Nothing': "),
        ("unmade", "ModuleNotFoundError: No module named 'the_scheduler'"),
        ("unheard-of", "unheard-of"),
    ],
)
def test_a_backend_that_is_not_there_ends_the_calibration_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    use_plans(monkeypatch)
    names = ("local", "elsewhere", "nameless", "unmade", "unheard-of")
    with rigged(tmp_path, registry=REGISTRY, backends=names) as rig:
        message = failed(rig, backend=name)
        assert message.startswith("its workers cannot be submitted: ")
        assert said in message
        # The others are not disturbed.
        number = rig.create(workers=1, settings={"rounds": 1})
        assert rig.client.wait(number, LIMIT)["state"] == "finished"
        rig.dismissed()


def test_a_default_backend_that_is_not_there_harms_only_those_who_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plans(monkeypatch)
    registry = Registry([Backends(elsewhere="no_such_module:Backend", local=Local)])
    with rigged(tmp_path, registry=registry, backend="elsewhere") as rig:
        assert "no_such_module" in failed(rig)
        number = rig.create(workers=1, settings={"rounds": 1}, backend="local")
        assert rig.client.wait(number, LIMIT)["state"] == "finished"
        rig.dismissed()


def test_what_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    backend = Moody()
    backend.fails = 2
    with rigged(tmp_path, backend=backend) as rig:
        number = rig.create(workers=1, settings={"rounds": 1})
        assert rig.client.wait(number, LIMIT)["state"] == "finished"
        assert backend.fails == 0
        rig.dismissed()


def test_what_does_not_pass_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plans(monkeypatch)
    backend = Moody()
    backend.fails = 10**6
    with rigged(tmp_path, backend=backend, terms=evolve(QUICK, trouble=1.0)) as rig:
        message = failed(rig)
        assert message == "its workers cannot be submitted: OSError: [Errno 28] No space left on device"


def test_a_calibration_that_has_ended_does_not_wait_for_a_backend_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plans(monkeypatch)
    before = Registry([Backends(other=Local)])
    with rigged(tmp_path, registry=before, backends=("other",)) as rig:
        number = rig.create(workers=1, backend="other", settings={"seconds": LONG})
        rig.executes(number, 1)
        pid = rig.pids(number)[0]
        rig.agent.stop()
        rig.client.kill(number)
    after = Registry([Backends(other="no_such_module:Backend")])
    with rigged(tmp_path, registry=after) as rig:
        # Its worker hears of the end from the service.
        rig.dismissed()
        rig.gone(pid)
