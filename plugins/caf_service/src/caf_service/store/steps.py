"""The steps of calibrations in the database."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from caf_service.plan import Position, Update
from caf_service.store.records import Step
from caf_service.store.rows import Rows, as_text


class Steps(Rows):
    """One row a step."""

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
            parameters=as_text(parameters),
            began=now,
        ).execute()

    def mark_used(
        self, calibration: int, serial: int, used: Sequence[int], missing: Sequence[int], now: float
    ) -> None:
        """Fix which results the update of a step uses."""
        self._change_step(calibration, serial, used=as_text(used), missing=as_text(missing), quorum_at=now)

    def end_step(self, calibration: int, serial: int, update: Update, now: float) -> None:
        """Write down what the update of a step answered."""
        self._change_step(
            calibration,
            serial,
            ended=now,
            metrics=as_text(update.metrics),
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
