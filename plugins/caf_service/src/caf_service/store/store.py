"""What a service writes down, and reads back after a restart. Only the thread of the database touches it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import peewee

from caf_service.engine import Snapshot, State, Stop
from caf_service.plan import Position, Update
from caf_service.store.people import People
from caf_service.store.records import Event, Facts, Result, Setup, Step

_ROWS = 500
"""So many rows are inserted with one command; SQLite limits the number of values."""


class Store:
    """The calibrations of a service.

    Args:
        models: The tables.
    """

    def __init__(self, models: SimpleNamespace) -> None:
        self.people = People(models)
        self._m = models
        mark = models.Result._meta.database.param
        table = models.Result._meta.table_name
        self._add_result = (
            f"INSERT INTO {table} (calibration, serial, worker, sha256, size, late, time) "  # noqa: S608 - our own names
            f"VALUES ({', '.join([mark] * 7)})"
        )

    # Calibrations

    def create(
        self, owner: int, key: str, setup: Setup, snapshot: Snapshot, shares: Sequence[Any], now: float
    ) -> int:
        """Write a new calibration down, without its first step."""
        number = int(
            self._m.Calibration.insert(
                owner=owner,
                key=key or None,
                setup=_text(setup.to_json()),
                route=_text(
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
        rows = [{"calibration": number, "number": at, "share": _text(one)} for at, one in enumerate(shares)]
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

    def ended_before(self, then: float) -> list[int]:
        """The calibrations that ended before then and have not been cleaned."""
        table = self._m.Calibration
        rows = table.select(table.id).where((table.ended < then) & (table.cleaned == False))  # noqa: E712 - as above
        return [row.id for row in rows]

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

    def snapshot(self, calibration: int) -> Snapshot:
        """The calibration as the engine needs it."""
        row = self._m.Calibration.get_by_id(calibration)
        step = self.step(calibration, row.serial)
        reported = [one.worker for one in self.results(calibration, row.serial) if not one.late]
        return Snapshot(
            route=tuple(Stop(*one) for one in json.loads(row.route)),
            workers=row.workers,
            quorum=row.quorum,
            state=State(row.state),
            at=row.at,
            step=row.step,
            serial=row.serial,
            reported=frozenset(reported),
            used=step.used if step else (),
            failures=row.failures,
            resubmissions=row.resubmissions,
            dead={int(worker): since for worker, since in json.loads(row.dead).items()},
            excused={int(worker): serial for worker, serial in json.loads(row.excused).items()},
            message=row.message,
        )

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

    def clean(self, calibration: int) -> None:
        """Forget a calibration; its number is not given again."""
        for table in (self._m.Worker, self._m.Step, self._m.Result, self._m.Event):
            table.delete().where(table.calibration == calibration).execute()
        self.change(calibration, cleaned=True, dismissed=True, key=None, setup="{}", job="", output="")

    # Steps

    def begin_step(
        self, calibration: int, at: int, position: Position, parameters: Mapping[str, Any], now: float
    ) -> None:
        """Write a step down."""
        self._m.Step.insert(
            calibration=calibration,
            serial=position.serial,
            at=at,
            stage=position.stage,
            phase=position.phase,
            step=position.step,
            parameters=_text(parameters),
            began=now,
        ).execute()

    def mark_used(
        self, calibration: int, serial: int, used: Sequence[int], missing: Sequence[int], now: float
    ) -> None:
        """Fix which results the update of a step uses."""
        self._change_step(calibration, serial, used=_text(used), missing=_text(missing), quorum_at=now)

    def end_step(self, calibration: int, serial: int, update: Update, now: float) -> None:
        """Write down what the update of a step answered."""
        self._change_step(
            calibration,
            serial,
            ended=now,
            metrics=_text(update.metrics),
            converged=update.converged,
            message=update.message,
        )

    def _change_step(self, calibration: int, serial: int, **values: Any) -> None:
        table = self._m.Step
        table.update(**values).where((table.calibration == calibration) & (table.serial == serial)).execute()

    def step(self, calibration: int, serial: int) -> Step | None:
        """One step."""
        table = self._m.Step
        return next(iter(self._steps((table.calibration == calibration) & (table.serial == serial))), None)

    def steps(self, calibration: int) -> list[Step]:
        """All steps, in order."""
        return self._steps(self._m.Step.calibration == calibration)

    def _steps(self, which: Any) -> list[Step]:
        return [
            Step(
                row.serial,
                row.at,
                row.stage,
                row.phase,
                row.step,
                json.loads(row.parameters),
                tuple(json.loads(row.used)),
                tuple(json.loads(row.missing)),
                row.began,
                row.quorum_at,
                row.ended,
                json.loads(row.metrics),
                row.converged,
                row.message,
            )
            for row in self._m.Step.select().where(which).order_by(self._m.Step.serial)
        ]

    # Results

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

    # Events

    def log(self, calibration: int, kind: str, text: str, now: float) -> None:
        """Write down that something happened."""
        self._m.Event.insert(calibration=calibration, time=now, kind=kind, text=text).execute()

    def events(self, calibration: int, last: int) -> list[Event]:
        """The last events, the oldest first."""
        table = self._m.Event
        rows = table.select().where(table.calibration == calibration).order_by(table.id.desc()).limit(last)
        return [Event(row.time, row.kind, row.text) for row in reversed(list(rows))]


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _changing(one: Snapshot) -> dict[str, Any]:
    return {
        "state": str(one.state),
        "at": one.at,
        "step": one.step,
        "serial": one.serial,
        "failures": one.failures,
        "resubmissions": one.resubmissions,
        "dead": _text({str(worker): since for worker, since in one.dead.items()}),
        "excused": _text({str(worker): serial for worker, serial in one.excused.items()}),
        "message": one.message,
    }
