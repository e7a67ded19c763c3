"""Loading plugins one by one, and asking for what they bring."""

import logging
import subprocess
import sys

import click
import pytest

from caf_core import hookimpl
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.errors import (
    CafError,
    ConfigurationError,
    DuplicatePluginError,
    PluginError,
    PluginLoadError,
    UnknownPluginError,
)
from caf_core.iov import IoV
from caf_core.jobs.backend import Backend
from caf_core.plugins import builtin
from caf_core.plugins.known import BROUGHT_BY
from caf_core.plugins.plugin import Kind, Source
from caf_core.plugins.registry import Registry


class Mine(AlgorithmStrategy):
    def plan(self, runs, past):
        raise NotImplementedError


class Other(Mine):
    pass


def strategies(**named):
    """A plugin that brings strategies."""

    class Plugin:
        @hookimpl
        def caf_register_strategies(self, register):
            for name, value in named.items():
                register(name, value)

    return Plugin()


def source(distribution, load, entry_point=None):
    return Source(distribution, "1.2", entry_point or distribution, load)


def failing():
    raise ImportError("no libFoo.so")


def test_a_name_gives_its_class():
    registry = Registry([strategies(Mine=Mine)])
    assert registry.strategy("Mine") is Mine
    assert registry.names("strategy") == ("Mine",)
    assert registry.names("backend") == ()


def test_a_string_is_imported_only_when_asked(tmp_path, monkeypatch):
    (tmp_path / "lazy_backend.py").write_text(
        "from caf_core.jobs.backend import Backend\nclass Lazy(Backend):\n    class Inner(Backend): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    class Plugin:
        @hookimpl
        def caf_register_backends(self, register):
            register("lazy", "lazy_backend:Lazy")
            register("inner", "lazy_backend:Lazy.Inner")

    registry = Registry([Plugin()])
    assert "lazy_backend" not in sys.modules
    assert issubclass(registry.backend("lazy"), Backend)
    assert registry.backend("inner").__qualname__ == "Lazy.Inner"


def test_a_plan_is_no_class_but_a_value():
    class Plugin:
        @hookimpl
        def caf_register_plans(self, register):
            register("energy", plan)

    plan = object()
    registry = Registry([Plugin()])
    assert registry.get(Kind.PLAN, "energy") is plan
    with pytest.raises(UnknownPluginError, match="pandora comes with caf-pandora"):
        registry.get(Kind.PLAN, "pandora")


def test_resolve_takes_names_classes_and_instances():
    registry = Registry([strategies(Mine=Mine)])
    instance = Mine()
    assert registry.resolve("strategy", "Mine") is Mine
    assert registry.resolve("strategy", Other) is Other
    assert registry.resolve("strategy", instance) is instance
    with pytest.raises(ConfigurationError, match=r"no strategy.*AlgorithmStrategy"):
        registry.resolve("strategy", dict)
    with pytest.raises(ConfigurationError, match="no strategy"):
        registry.resolve("strategy", 3)


def test_unknown_name_says_what_exists_and_what_was_meant():
    registry = Registry([strategies(Mine=Mine, Other=Other)])
    with pytest.raises(UnknownPluginError, match=r"available: Mine, Other\. Did you mean 'Mine'\?") as error:
        registry.strategy("mine")
    assert (error.value.kind, error.value.name, error.value.available) == (
        "strategy",
        "mine",
        ("Mine", "Other"),
    )
    with pytest.raises(UnknownPluginError, match="caf plugins"):
        registry.strategy("Quite something else")


def test_unknown_name_says_which_distribution_brings_it():
    with pytest.raises(UnknownPluginError, match=r"SingleIOV comes with caf-strategies \(pip install"):
        Registry().strategy("SingleIOV")
    with pytest.raises(UnknownPluginError, match="local comes with caf-local"):
        Registry().backend("Local")


def test_unknown_name_of_a_distribution_that_is_switched_off_or_old():
    off = Registry(sources=[source("caf-local", failing, "local")], disabled=["CAF_Local"])
    assert off.plugins[0].disabled
    with pytest.raises(UnknownPluginError, match=r"caf-local, which CAF_DISABLE_PLUGINS switches off"):
        off.backend("local")
    old = Registry(sources=[source("caf-local", lambda: strategies())])
    with pytest.raises(UnknownPluginError, match=r"should come with caf-local 1\.2"):
        old.backend("local")


def test_duplicates_name_both_distributions_when_asked_for():
    registry = Registry({"caf-a": strategies(Mine=Mine, Other=Other), "caf-b": strategies(Mine=Other)})
    assert registry.strategy("Other") is Other
    with pytest.raises(
        DuplicatePluginError, match=r"'Mine' is registered by caf-a and by caf-b; .*CAF_DISABLE"
    ):
        registry.strategy("Mine")


def test_same_name_twice_in_one_plugin_breaks_it():
    class Twice:
        @hookimpl
        def caf_register_strategies(self, register):
            register("Mine", Mine)
            register("Mine", Other)

    registry = Registry([Twice()])
    assert registry.names("strategy") == ()
    assert "twice" in str(registry.plugins[0].error)


@pytest.mark.parametrize(
    "error", [ImportError("no libFoo.so"), SyntaxError("bad"), SystemExit(3), KeyError("x")]
)
def test_a_broken_plugin_is_recorded_and_raised_only_when_the_name_could_be_its_own(error):
    def load():
        raise error

    registry = Registry({"caf-a": strategies(Mine=Mine)}, sources=[source("caf-broken", load)])
    assert registry.strategy("Mine") is Mine
    assert registry.plugins[1].error is error
    with pytest.raises(PluginLoadError, match=r"caf-broken 1\.2 \(" + type(error).__name__) as raised:
        registry.strategy("Unheard")
    assert raised.value.__cause__ is error
    with pytest.raises(UnknownPluginError, match="Did you mean"):
        registry.strategy("MINE")
    with pytest.raises(UnknownPluginError, match="comes with caf-strategies"):
        registry.strategy("SingleIOV")


def test_a_well_known_name_whose_distribution_is_broken():
    registry = Registry(sources=[source("caf-local", failing), source("caf-x", failing)])
    with pytest.raises(PluginLoadError, match=r"caf-local 1\.2 \(ImportError: no libFoo\.so\)") as error:
        registry.backend("local")
    assert "caf-x" not in str(error.value)


def test_a_plugin_that_raises_while_registering_brings_nothing():
    class Halfway:
        @hookimpl
        def caf_register_strategies(self, register):
            register("Mine", Mine)

        @hookimpl
        def caf_register_runners(self, register):
            raise RuntimeError("halfway")

    registry = Registry([Halfway(), strategies(Other=Other)])
    assert registry.names("strategy") == ("Other",)
    assert str(registry.plugins[0].error) == "halfway"
    assert registry.plugins[0].hooks == ()


def test_an_implementation_with_a_parameter_that_no_hook_has_is_broken():
    class Wrong:
        @hookimpl
        def caf_register_strategies(self, registry):
            pass

    registry = Registry([Wrong(), strategies(Mine=Mine)])
    assert "registry" in str(registry.plugins[0].error)
    assert registry.names("strategy") == ("Mine",)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no_such_module_anywhere:X", "ModuleNotFoundError"),
        ("caf_core.errors:NoSuch", "AttributeError"),
        ("caf_core.errors", "package.module:Thing"),
        ("caf_core.errors:CafError", "no class derived from caf_core.calibration.strategy.AlgorithmStrategy"),
        (dict, "no class derived from"),
        (Mine(), "no class derived from"),
    ],
)
def test_a_registered_value_that_is_no_strategy_names_the_distribution(value, text):
    registry = Registry({"caf-a": strategies(Mine=value)})
    with pytest.raises(PluginLoadError, match=r"the strategy 'Mine' of caf-a .*uninstall caf-a") as error:
        registry.strategy("Mine")
    assert text in str(error.value)


def test_misspelt_and_unmarked_hooks_are_problems_but_the_rest_works():
    class Careless:
        @hookimpl
        def caf_register_strategy(self, register):
            register("Lost", Mine)

        def caf_register_backends(self, register):
            register("lost", Backend)

        def caf_helper(self):
            pass

        @hookimpl(optionalhook=True)
        def caf_hook_of_a_later_version(self):
            pass

        @hookimpl(specname="caf_register_strategies")
        def mine(self, register):
            register("Mine", Mine)

    plugin = Registry([Careless()]).plugins[0]
    assert plugin.error is None
    assert plugin.hooks == ("caf_register_strategies",)
    assert [one.name for one in plugin.registrations] == ["Mine"]
    unmarked, misspelt = plugin.problems
    assert unmarked == "caf_register_backends is not marked with @hookimpl; it is never called."
    assert misspelt.startswith(
        "there is no hook 'caf_register_strategy' (did you mean caf_register_strategies?)"
    )


def test_environment_variable_switches_plugins_off(monkeypatch):
    everything = {plugin.source.distribution for plugin in Registry.load().plugins}
    assert "caf-core" in everything
    monkeypatch.setenv("CAF_DISABLE_PLUGINS", " caf_core , nobody,")
    registry = Registry.load()
    assert [plugin.source.entry_point for plugin in registry.plugins if plugin.disabled] == ["builtin"]
    assert registry.unmatched == ("nobody",)
    assert registry.names("splitter") == ()


def test_codecs_of_plugins_come_first_and_broken_ones_are_left_out(caplog):
    class Text:
        name = "text"

    class Plugin:
        @hookimpl
        def caf_register_payload_codecs(self, register):
            register("text", Text)
            register("lost", "no_such_module_anywhere:X")

    class Core:
        @hookimpl
        def caf_register_payload_codecs(self, register):
            register("plain", dict)

    with caplog.at_level(logging.WARNING):
        codecs = Registry({"caf-core": Core(), "caf-text": Plugin()}).codecs()
    assert [type(codec) for codec in codecs] == [Text, dict]
    assert "'lost' is left out" in caplog.text


def test_conditions_are_opened_by_scheme_and_imported_only_then():
    class Plugin:
        @hookimpl
        def caf_register_conditions(self, register):
            register("http", "urllib.parse:urlsplit")
            register("lost", "no_such_module_anywhere:open")

    openers = Registry({"caf-web": Plugin()}).conditions_openers()
    assert sorted(openers) == ["http", "lost"]
    assert openers["http"]("http://host/db").hostname == "host"
    with pytest.raises(PluginLoadError, match="conditions scheme 'lost' of caf-web"):
        openers["lost"]("lost://")


def test_a_reader_that_fails_is_heard_only_if_nobody_else_knows():
    class Failing:
        @hookimpl(tryfirst=True)
        def caf_iov_of_file(self, path):
            raise OSError("truncated")

    class Refusing:
        @hookimpl
        def caf_iov_of_file(self, path):
            raise CafError(f"file {path} is empty.")

    class Reader:
        @hookimpl
        def caf_iov_of_file(self, path):
            return IoV(1, 2, 1, 3)

    assert Registry([Reader(), Failing()]).iov_of_file("f") == IoV(1, 2, 1, 3)
    with pytest.raises(PluginError, match="Failing cannot tell the runs in 'f': OSError: truncated"):
        Registry([Failing()]).iov_of_file("f")
    # A sentence of caf's own is neither called by its class nor ended twice.
    with pytest.raises(PluginError, match=r"in 'f': file f is empty; repair"):
        Registry([Refusing()]).iov_of_file("f")
    assert Registry().iov_of_file("f") is None


def test_commands_are_added_but_never_replace_others():
    @click.command()
    def extra():
        pass

    class Plugin:
        @hookimpl
        def caf_register_commands(self, cli):
            cli.add_command(extra)
            cli.add_command(extra, "run")

    class Failing:
        @hookimpl
        def caf_register_commands(self, cli):
            raise OSError("no")

    run = click.Command("run")
    cli = click.Group("caf", commands={"run": run})
    registry = Registry([Plugin(), Failing()])
    registry.commands(cli)
    assert cli.commands == {"run": run, "extra": extra}
    assert registry.plugins[0].commands == ["extra"]
    assert "'run' is left out" in registry.plugins[0].problems[0]
    assert registry.plugins[1].problems == ["its commands are left out: OSError: no"]


def test_loading_imports_no_heavy_module():
    """Ten distributions must not slow every command down; what entry modules import is what counts."""
    code = (
        "import sys; from caf_core.plugins.registry import Registry; Registry.load();"
        "print(' '.join(sorted(sys.modules)))"
    )
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "caf_core.plugins.builtin" in modules
    heavy = {
        "numpy",
        "uproot",
        "peewee",
        "cattrs",
        "rich",
        "click",
        "psutil",
        "caf_core.jobs",
        "caf_core.calibration",
    }
    assert not heavy.intersection(modules)


def test_everything_that_the_core_registers_is_there():
    registry = Registry([builtin])
    registrations = registry.plugins[0].registrations
    assert {one.kind for one in registrations} == set(Kind) - {Kind.BACKEND, Kind.STRATEGY, Kind.PLAN}
    for one in registrations:
        assert callable(registry.get(one.kind, one.name)), one
    for codec in registry.codecs():
        assert codec.name in registry.names("payload codec")


def test_well_known_names_are_those_of_our_distributions():
    """What the table says of a distribution that is installed is true, and nothing of it is missing."""
    registry = Registry.load()
    brought = {
        (one.kind, one.name): one.source.distribution
        for plugin in registry.plugins
        for one in plugin.registrations
        if one.source.distribution != "caf-core"
    }
    installed = {plugin.source.distribution for plugin in registry.plugins}
    assert {key: home for key, home in BROUGHT_BY.items() if home in installed} == {
        key: home for key, home in brought.items() if home in set(BROUGHT_BY.values())
    }
