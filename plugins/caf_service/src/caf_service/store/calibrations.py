"""Calibrations in the database: what was asked for, where they are, whose they are."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from caf_service.snapshot import Snapshot, State
from caf_service.store.records import Facts, Setup
from caf_service.store.rows import Rows, as_text

_ROWS = 500
"""So many rows are inserted with one command; SQLite limits the number of values."""


class Calibrations(Rows):
    """One row a calibration, and one for each of its workers."""

    def create(
        self, owner: int, key: str, setup: Setup, snapshot: Snapshot, shares: Sequence[Any], now: float
    ) -> int:
        """Write a new calibration down, without its first step."""
        number = int(
            self._m.Calibration.insert(
                owner=owner,
                key=key or None,
                setup=as_text(setup.to_json()),
                route=as_text(
                    [
                        [one.stage, one.phase, one.name, one.max_steps, one.fails_at_maximum]
                        for one in snapshot.route
                    ]
                ),
                workers=snapshot.workers,
                quorum=snapshot.quorum,
                created=now,
                **_changing(snapshot),
            ).execute()
        )
        rows = [{"calibration": number, "number": at, "share": as_text(one)} for at, one in enumerate(shares)]
        for begin in range(0, len(rows), _ROWS):
            self._m.Worker.insert_many(rows[begin : begin + _ROWS]).execute()
        return number

    def with_key(self, owner: int, key: str) -> int | None:
        """The calibration that an owner created with that key."""
        table = self._m.Calibration
        row = table.get_or_none((table.owner == owner) & (table.key == key))
        return int(row.id) if row is not None else None

    def facts(self, calibration: int) -> Facts | None:
        """A calibration beside its snapshot; ``None`` if there is none, or it was cleaned."""
        rows = self._facts(self._m.Calibration.id == calibration)
        return rows[0] if rows else None

    def all_facts(self, owner: int | None = None, states: Iterable[State] = ()) -> list[Facts]:
        """All calibrations, or those of an owner, or in these states; the oldest first."""
        table = self._m.Calibration
        which = table.cleaned == False  # noqa: E712 - peewee makes SQL of it
        if owner is not None:
            which &= table.owner == owner
        if states := list(states):
            which &= table.state.in_([str(one) for one in states])
        return self._facts(which)

    def undismissed(self) -> list[Facts]:
        """The calibrations whose workers may be there."""
        table = self._m.Calibration
        return self._facts((table.dismissed == False) & (table.cleaned == False))  # noqa: E712 - as above

    def ended(self) -> dict[int, float]:
        """The calibrations that have ended and have not been cleaned: number -> when [s since the epoch]."""
        table = self._m.Calibration
        known = table.ended.is_null(False) & (table.cleaned == False)  # noqa: E712 - as above
        return {row.id: row.ended for row in table.select(table.id, table.ended).where(known)}

    def _facts(self, which: Any) -> list[Facts]:
        table, users = self._m.Calibration, self._m.User
        rows = (
            table.select(table, users.name.alias("owner_name"))
            .join(users, on=(users.id == table.owner))
            .where(which)
            .order_by(table.id)
            .objects()
        )
        return [
            Facts(
                row.id,
                row.owner,
                row.owner_name,
                Setup.from_json(json.loads(row.setup)),
                row.output,
                row.job,
                row.dismissed,
                row.created,
                row.ended,
            )
            for row in rows
            if not row.cleaned
        ]

    def save(self, calibration: int, before: Snapshot, after: Snapshot) -> None:
        """Write down what has changed; who has reported is in the results already."""
        old, new = _changing(before), _changing(after)
        values = {name: value for name, value in new.items() if value != old[name]}
        if values:
            self.change(calibration, **values)

    def change(self, calibration: int, **values: Any) -> None:
        """Change columns of a calibration: output, job, dismissed, ended."""
        table = self._m.Calibration
        table.update(**values).where(table.id == calibration).execute()

    def share(self, calibration: int, worker: int) -> Mapping[str, Any]:
        """The share of a worker, as JSON values."""
        table = self._m.Worker
        row = table.get((table.calibration == calibration) & (table.number == worker))
        share: Mapping[str, Any] = json.loads(row.share)
        return share


def _changing(one: Snapshot) -> dict[str, Any]:
    return {
        "state": str(one.state),
        "at": one.at,
        "step": one.step,
        "serial": one.serial,
        "failures": one.failures,
        "resubmissions": one.resubmissions,
        "dead": as_text({str(worker): since for worker, since in one.dead.items()}),
        "excused": as_text({str(worker): serial for worker, serial in one.excused.items()}),
        "message": one.message,
    }
