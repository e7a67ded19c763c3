"""The hook specifications: documented, typed, in a pinned order, and each of them called."""

import inspect

import click
import pytest

from caf_core import hookimpl
from caf_core.iov import IoV
from caf_core.plugins import hooks
from caf_core.plugins.observers import Observers
from caf_core.plugins.registry import Registry

ORDER = [
    "caf_register_backends",
    "caf_register_splitters",
    "caf_register_strategies",
    "caf_register_runners",
    "caf_register_payload_codecs",
    "caf_register_conditions",
    "caf_register_plans",
    "caf_register_commands",
    "caf_iov_of_file",
    "caf_calibration_state_changed",
    "caf_jobs_changed",
    "caf_iteration_finished",
    "caf_process_finished",
]


def specs() -> dict[str, object]:
    return {name: spec for name, spec in vars(hooks).items() if name.startswith("caf_")}


def test_hooks_are_declared_in_the_order_in_which_they_are_called():
    assert list(specs()) == ORDER


@pytest.mark.parametrize("name", ORDER)
def test_hook_is_documented_and_typed(name):
    spec = specs()[name]
    text = inspect.getdoc(spec)
    assert "Called " in text, "the docstring says when the hook is called"
    signature = inspect.signature(spec)
    assert signature.return_annotation is not inspect.Signature.empty
    assert ("Returns:" in text) == (signature.return_annotation is not None)
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert f"    {parameter.name}: " in text, f"{name} does not describe {parameter.name}"


class Everything:
    """Implements every hook and notes the calls."""

    def __init__(self):
        self.calls = []


def _noting(name, parameters):
    source = f"def {name}(self, {', '.join(parameters)}): self.calls.append('{name}')"
    namespace = {}
    exec(source, namespace)
    return hookimpl(namespace[name])


for _name, _spec in specs().items():
    setattr(Everything, _name, _noting(_name, inspect.signature(_spec).parameters))


def test_every_hook_is_called_once_and_in_this_order():
    plugin = Everything()
    registry = Registry([plugin])
    registry.commands(click.Group("caf"))
    assert registry.iov_of_file("file") is None
    observers = Observers(registry)
    observers.state_changed("a", 0, "init", "running_collector", 1.0)
    observers.jobs_changed([_Update()])
    observers.iteration_finished("a", 0, "ok", {})
    observers.process_finished(True, {"a": "completed"})
    assert observers.close(10.0)
    assert plugin.calls == ORDER


class _Update:
    changes = ()


def test_an_implementation_may_leave_parameters_out():
    class Brief:
        @hookimpl
        def caf_process_finished(self, success):
            seen.append(success)

    seen = []
    observers = Observers(Registry([Brief()]))
    observers.process_finished(False, {})
    assert observers.close(10.0)
    assert seen == [False]


def test_first_answer_about_a_file_counts_and_trylast_is_respected():
    class Late:
        @hookimpl(trylast=True)
        def caf_iov_of_file(self, path):
            return IoV(9, 9, 9, 9)

    class Early:
        @hookimpl
        def caf_iov_of_file(self, path):
            return IoV(1, 1, 1, 1) if path.endswith(".root") else None

    registry = Registry([Early(), Late()])
    assert registry.iov_of_file("a.root") == IoV(1, 1, 1, 1)
    assert registry.iov_of_file("a.txt") == IoV(9, 9, 9, 9)
