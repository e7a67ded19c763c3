"""The data behind ``caf plugins``."""

import io
import json

import click
from rich.console import Console

from caf_core import hookimpl
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.plugins import builtin
from caf_core.plugins.listing import as_json, as_table, notes, plugin_rows
from caf_core.plugins.plugin import Source
from caf_core.plugins.registry import Registry

MISSPELT = (
    "there is no hook 'caf_register_strategy' (did you mean caf_register_strategies?); it is never called."
)


class Careless:
    @hookimpl
    def caf_register_strategies(self, register):
        register("Mine", AlgorithmStrategy)
        register("[bold]", "nowhere:X")

    @hookimpl
    def caf_register_strategy(self, register):
        pass

    @hookimpl
    def caf_register_commands(self, cli):
        cli.add_command(click.Command("extra"))


class Twin:
    @hookimpl
    def caf_register_strategies(self, register):
        register("Mine", AlgorithmStrategy)


def failing():
    raise SyntaxError("invalid syntax (module.py, line 1)")


def registry():
    registry = Registry(
        {"caf-core": builtin, "caf-careless": Careless(), "caf-twin": Twin()},
        sources=[
            Source("caf-broken", "1.0", "broken", failing),
            Source("caf-off", "2.0", "off", failing),
        ],
        disabled=["off", "nobody"],
    )
    registry.commands(click.Group("caf"))
    return registry


def test_rows_say_what_each_brings_and_what_is_wrong():
    rows = {row.distribution: row for row in plugin_rows(registry())}
    assert rows["caf-core"].brings["splitter"] == (
        "MaxFilesSplitter",
        "MaxSubjobsSplitter",
        "ArgumentsSplitter",
    )
    assert rows["caf-core"].brings["payload codec"] == ("bytes", "npz", "json")
    assert rows["caf-careless"].brings == {"strategy": ("Mine", "[bold]"), "command": ("extra",)}
    assert rows["caf-careless"].hooks == ("caf_register_strategies", "caf_register_commands")
    assert rows["caf-careless"].problems == (
        MISSPELT,
        "its strategy 'Mine' is also registered by caf-twin.",
    )
    assert rows["caf-twin"].problems == ("its strategy 'Mine' is also registered by caf-careless.",)
    assert (rows["caf-broken"].status, rows["caf-broken"].version) == ("broken", "1.0")
    assert rows["caf-broken"].error == "SyntaxError: invalid syntax (module.py, line 1)"
    assert (rows["caf-off"].status, rows["caf-off"].error) == ("disabled", "")
    assert rows["caf-twin"].status == "ok"


def test_json_has_the_rows():
    rows = plugin_rows(registry())
    data = json.loads(as_json(rows))
    assert [one["distribution"] for one in data] == [row.distribution for row in rows]
    assert data[1]["brings"] == {"strategy": ["Mine", "[bold]"], "command": ["extra"]}
    assert data[3]["status"] == "broken"


def test_table_shows_every_word_even_with_brackets():
    out = io.StringIO()
    Console(file=out, width=200).print(as_table(plugin_rows(registry())))
    for word in (
        "caf-careless",
        "strategy: Mine, [bold]",
        "broken",
        "invalid syntax",
        "did you mean",
        "disabled",
    ):
        assert word in out.getvalue()


def test_names_that_switch_nothing_off_are_noted():
    assert notes(registry()) == ("CAF_DISABLE_PLUGINS names 'nobody', which no plugin has.",)
