"""The fits of a step as JSON: small, and enough to draw them later, elsewhere, and all at once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from attrs import asdict, evolve, field, frozen

from caf_core.conditions import plain
from caf_core.json_text import exact_json
from caf_pandora.errors import ResultFileError
from caf_pandora.gaussian import GaussianFit
from caf_pandora.histogram import Histogram
from caf_pandora.line import LineFit
from caf_pandora.outcome import Fit
from caf_pandora.peaks import Peak
from caf_pandora.record import Step

MOST_POINTS = 5000
"""More points of a scatter plot tell nothing and make large files."""
_KINDS: Mapping[str, type[Fit]] = {"gaussian": GaussianFit, "line": LineFit, "peak": Peak}


@frozen
class Sketch:
    """What a picture of a step shows.

    Args:
        stage: 1 to 3.
        phase: The phase's number.
        name: The phase's name.
        step: Steps of a phase count from 0.
        fits: What was fitted, by name.
    """

    stage: int
    phase: int
    name: str
    step: int
    fits: Mapping[str, Fit] = field(repr=False)

    @classmethod
    def of(cls, step: Step) -> Self:
        """What a step leaves."""
        return cls(step.stage, step.phase.number, step.phase.name, step.number, step.outcome.fits)

    @property
    def stem(self) -> str:
        """What files of it are called, without a suffix."""
        return f"stage{self.stage}_phase{self.phase}_{self.name}_step{self.step}"

    def write(self, directory: Path) -> Path:
        """Write it as JSON; the numbers are exact."""
        path = directory / f"{self.stem}.json"
        told = {name: {"kind": _kind(fit), **_plain(fit)} for name, fit in self.fits.items()}
        content = {"stage": self.stage, "phase": self.phase, "name": self.name, "step": self.step}
        # In the order of the fits, which is that of their pictures.
        path.write_text(exact_json(plain.to_plain({**content, "fits": told})), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote.

        Raises:
            ResultFileError: If the file is something else.
        """
        try:
            told = plain.from_plain(json.loads(path.read_bytes()))
            fits = {name: _fit(one) for name, one in told.pop("fits").items()}
            return cls(**told, fits=fits)
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise ResultFileError(path, f"has no fits of a step ({problem!r}).") from problem


def _kind(fit: Fit) -> str:
    return next(kind for kind, one in _KINDS.items() if isinstance(fit, one))


def _plain(fit: Fit) -> dict[str, Any]:
    if isinstance(fit, LineFit):
        fit = evolve(fit, points=fit.points[:, :MOST_POINTS])
    return asdict(fit, value_serializer=lambda _fit, _name, value: _listed(value))


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _fit(told: dict[str, Any]) -> Fit:
    values = dict(told)
    kind = _KINDS[values.pop("kind")]
    if "histogram" in values:
        edges, counts = (np.array(values["histogram"][name]) for name in ("edges", "counts"))
        values["histogram"] = Histogram(edges, counts)
    if "points" in values:
        values["points"] = np.array(values["points"])
    return kind(**values)
