"""``caf tidy``: remove what the next start does not need."""

import click

from caf_core.cli.base import Command, Settings, json_option, path_option, say, shown
from caf_core.cli.exits import Exit
from caf_core.json_text import json_text


@click.command("tidy", cls=Command)
@path_option
@json_option
@click.option("--final", is_flag=True, help="Keep constants, the checkpoint and lists of missing runs only.")
@click.option("--dry-run", is_flag=True, help="Tell what would be removed, and remove nothing.")
@click.option("--take-over", is_flag=True, help="Declare a controller on another host dead.")
@click.pass_obj
def command(settings: Settings, final: bool, dry_run: bool, take_over: bool) -> int:
    """Remove files of calibrations that have completed.

    What is kept is enough to find that nothing has changed, to execute changed algorithms again on the
    collected data of iteration 0, and to go on where a calibration has not converged. With --final only
    constants and their provenance stay: what changes then is collected again. What was removed is written
    down, and does not count as lost.
    """
    from caf_core.control.tidying import tidy_directory

    found = tidy_directory(settings.path, final=final, dry_run=dry_run, take_over=take_over)
    if settings.json:
        import attrs

        print(json_text([attrs.asdict(one) for one in found], indent=2))
        return Exit.OK
    for one in found:
        if one.state != "completed":
            say(f"{shown(one.calibration)}: kept as it is, since it has not completed ({one.state})")
        elif not one.entries:
            say(f"{shown(one.calibration)}: there is nothing to remove")
        else:
            what = f"{one.entries:,} files and folders, {one.size / 1e6:.1f} MB"
            say(f"{shown(one.calibration)}: {'would remove' if dry_run else 'removed'} {what}")
    return Exit.OK
