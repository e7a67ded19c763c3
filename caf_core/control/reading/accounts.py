"""What the calibrations behind a database have come to: why a run has no constant in it."""

from collections.abc import Mapping
from pathlib import Path

from attrs import evolve

from caf_core.control.account import IGNORED, NO_DATA, Account, Gap, read_account
from caf_core.control.reading.overview import reading
from caf_core.control.store import FILE_NAME
from caf_core.iov import ExpRun, IoV


def accounts_of(database: Path) -> dict[str, Account]:
    """The accounts of the calibrations whose constants a database holds, by name.

    Args:
        database: A folder; one that is not ``outputdb`` of an output directory has none.
    Raises:
        CheckpointError: If the checkpoint beside it cannot be read.
    """
    if database.name != "outputdb":
        return {}
    for directory, only in ((database.parent, ""), (database.parent.parent, database.parent.name)):
        if (directory / FILE_NAME).exists():
            with reading(directory) as store:
                rows = store.rows(_COMPLETED)
            return {
                name: read_account(directory, name, iteration)
                for name, iteration in rows
                if only in ("", name)
            }
    return {}


_COMPLETED = "SELECT name, iteration FROM calibration WHERE state = 'completed' ORDER BY position"


def of_payloads(account: Account, names: frozenset[str]) -> Account:
    """What an account says of some payloads."""
    return evolve(
        account,
        unconverged=tuple(
            one for one in account.unconverged if names.intersection(name for name, _ in one.payloads)
        ),
        gaps=tuple(gap for gap in account.gaps if gap.payload in names or not gap.payload),
    )


def gap_at(accounts: Mapping[str, Account], name: str, run: ExpRun) -> Gap:
    """Why a run has no constant of a name."""
    iov = str(IoV(*run, *run))
    for account in accounts.values():
        for gap in account.gaps:
            if gap.payload in (name, "") and IoV.parse(gap.iov).contains(run):
                return gap
    if any(run in account.ignored for account in accounts.values()):
        return Gap(name, "", iov, IGNORED, "it is among ignored_runs")
    if any(run in account.runs for account in accounts.values()):
        return Gap(name, "", iov, "", "no interval of it holds this run")
    return Gap(name, "", iov, NO_DATA, "no data of it was collected")
