"""What workers have reported, and what else has happened, in the database."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import peewee

from caf_service.store.records import Event, Result
from caf_service.store.rows import Rows


class Reports(Rows):
    """One row a result, and one an event; see ``Rows``."""

    def __init__(self, models: SimpleNamespace) -> None:
        super().__init__(models)
        mark = models.Result._meta.database.param
        table = models.Result._meta.table_name
        self._add_result = (
            f"INSERT INTO {table} (calibration, serial, worker, sha256, size, late, time) "  # noqa: S608 - our own names
            f"VALUES ({', '.join([mark] * 7)})"
        )

    def add_result(self, calibration: int, serial: int, result: Result, now: float) -> None:
        """Write a result down, whose file is safe on disk."""
        # Without peewee, which takes its time to make the command anew for each of a thousand workers.
        values = (calibration, serial, result.worker, result.sha256, result.size, result.late, now)
        self._m.Result._meta.database.execute_sql(self._add_result, values)

    def result(self, calibration: int, serial: int, worker: int) -> Result | None:
        """What a worker reported in a step."""
        return next(iter(self._results(calibration, serial, self._m.Result.worker == worker)), None)

    def results(self, calibration: int, serial: int) -> list[Result]:
        """All results of a step."""
        return self._results(calibration, serial)

    def _results(self, calibration: int, serial: int, *more: Any) -> list[Result]:
        table = self._m.Result
        which = (table.calibration == calibration) & (table.serial == serial)
        rows = table.select().where(which, *more)
        return [Result(row.worker, row.sha256, row.size, row.late) for row in rows]

    def late(self, calibration: int) -> Mapping[int, int]:
        """Serial -> how many results were late."""
        table = self._m.Result
        rows = (
            table.select(table.serial, peewee.fn.COUNT(table.worker))
            .where((table.calibration == calibration) & (table.late == True))  # noqa: E712 - peewee makes SQL of it
            .group_by(table.serial)
            .tuples()
        )
        return dict(rows)

    def log(self, calibration: int, kind: str, text: str, now: float) -> None:
        """Write down that something happened."""
        self._m.Event.insert(calibration=calibration, time=now, kind=kind, text=text).execute()

    def events(self, calibration: int, last: int) -> list[Event]:
        """The last events, the oldest first."""
        table = self._m.Event
        rows = table.select().where(table.calibration == calibration).order_by(table.id.desc()).limit(last)
        return [Event(row.time, row.kind, row.text) for row in reversed(list(rows))]
