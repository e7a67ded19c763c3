"""The entry module: it names what there is, and imports none of it."""

from caf_core import hookimpl


@hookimpl
def caf_register_backends(register):
    """Every task a process of its own."""
    register("example", "caf_example.backend:ExampleBackend")


@hookimpl
def caf_register_splitters(register):
    """Input files dealt out like cards."""
    register("DealingSplitter", "caf_example.splitter:DealingSplitter")


@hookimpl
def caf_register_strategies(register):
    """A payload for every few runs."""
    register("EveryFewRuns", "caf_example.strategy:EveryFewRuns")


@hookimpl
def caf_register_runners(register):
    """Two parts at a time."""
    register("pairs", "caf_example.runner:PairsRunner")


@hookimpl
def caf_register_commands(cli):
    """``caf example``."""
    import click

    @cli.command("example")
    def example():
        """Say hello from a plugin."""
        click.echo("hello from caf-example")
