"""What a service writes down, and reads back after a restart. Only the thread of the database touches it."""

import json
from types import SimpleNamespace

from caf_service.snapshot import Snapshot, State, Stop
from caf_service.store.calibrations import Calibrations
from caf_service.store.people import People
from caf_service.store.reports import Reports
from caf_service.store.steps import Steps


class Store(Calibrations, Steps, Reports):
    """Everything that a service keeps.

    Args:
        models: The tables.
    """

    def __init__(self, models: SimpleNamespace) -> None:
        super().__init__(models)
        self.people = People(models)

    def claim(self, owner: str) -> str:
        """Write down whose database this is, if that is not known; returns whose it is."""
        self._m.Setting.insert(key="owner", value=owner).on_conflict_ignore().execute()
        known: str = self._m.Setting.get_by_id("owner").value
        return known

    def own(self, owner: str) -> None:
        """Write down whose database this is, in place of what is known."""
        table = self._m.Setting
        table.update(value=owner).where(table.key == "owner").execute()

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

    def clean(self, calibration: int) -> None:
        """Forget a calibration; its number is not given again."""
        for table in (self._m.Worker, self._m.Step, self._m.Result, self._m.Event):
            table.delete().where(table.calibration == calibration).execute()
        self.change(calibration, cleaned=True, dismissed=True, key=None, setup="{}", job="", output="")
