"""What users of iLCDirac give: samples by folders or by name, names of the grid, three dictionaries."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from caf_service.client import files_of

_SAMPLES = {"gamma": "gamma", "photon": "gamma", "mu-": "muon", "mu+": "muon", "mu": "muon", "muon": "muon"}
_SAMPLES |= {"k0l": "kaon", "kaon0l": "kaon", "kaon": "kaon", "zuds": "zuds", "z_uds": "zuds", "uds": "zuds"}
SUFFIXES = (".slcio", ".root")
FORM = ("inputFiles", "numberOfEventsPerFile", "calibSettingsDict")
"""The three dictionaries, in order."""
_GRID = re.compile(r"\s*LFN:", re.IGNORECASE)


def sample_of(name: str) -> str:
    """A sample by any of its names."""
    return _SAMPLES.get(str(name).lower(), name)


def by_name(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A dictionary by the samples' names that plans have.

    Raises:
        ValueError: If two of its keys are one sample.
    """
    named = {sample_of(name): value for name, value in given.items()}
    if len(named) != len(given):
        raise ValueError(f"{what} has a sample twice: {', '.join(map(str, given))}; name each once.")
    return named


def listed(names: Any, sample: str) -> list[str]:
    """The files of a sample, however several names are given.

    Raises:
        ValueError: If they are no names of files.
    """
    if isinstance(names, Iterable) and not isinstance(names, bytes | Mapping):
        found = names if isinstance(names, str) else list(names)
        if all(isinstance(name, str | Path) for name in found):
            return files_of(found)
    elif isinstance(names, Path):
        return files_of(names)
    raise ValueError(f"inputFiles gives {sample} {names!r}; it is a list of names of files.")


def by_sample(places: Iterable[str | Path] | str | Path) -> dict[str, list[str]]:
    """Files by sample, told by the names of the folders above them: ``.../gamma/10`` holds photons.

    Args:
        places: Folders, or files.
    Raises:
        ValueError: If no folder tells the particle, or one has no files.
    """
    found: dict[str, list[str]] = {}
    for place in files_of(places):
        parts = [part.lower() for part in Path(place).parts]
        samples = [_SAMPLES[part] for part in reversed(parts) if part in _SAMPLES]
        if not samples:
            raise ValueError(
                f"{place} does not tell which particles it holds; one folder of its path should be called "
                f"{', '.join(sorted(_SAMPLES))}."
            )
        path = Path(place)
        files = sorted(map(str, path.rglob("*"))) if path.is_dir() else [place]
        chosen = [file for file in files if file.endswith(SUFFIXES)]
        if not chosen:
            raise ValueError(f"{place} holds no files that end with {' or '.join(SUFFIXES)}.")
        found.setdefault(samples[0], []).extend(chosen)
    return found


def energies(places: Iterable[str | Path] | str | Path) -> dict[str, float]:
    """True energies by sample [GeV], where folders tell them: ``.../gamma/10`` holds photons of 10 GeV.

    Args:
        places: Folders, or files.
    Raises:
        ValueError: If a sample has two energies.
    """
    found: dict[str, float] = {}
    for place in files_of(places):
        for name, value in pairwise(Path(place).parts):
            sample = _SAMPLES.get(name.lower())
            if sample is None or not value.replace(".", "", 1).isdecimal():
                continue
            if found.setdefault(sample, float(value)) != float(value):
                raise ValueError(
                    f"the sample {sample} has {found[sample]:g} and {value} GeV; take one of them."
                )
    return found


def refuse_grid(given: Mapping[str, Any]) -> None:
    """Refuse files of the grid, which workers do not reach.

    Args:
        given: What it is -> a name, or several.
    Raises:
        ValueError: If one is an ``LFN:``.
    """
    for what, names in given.items():
        for name in files_of(names) if isinstance(names, str | Path | list | tuple) else ():
            if _GRID.match(name):
                raise ValueError(
                    f"{what} names {name.strip()!r}, a file of the grid, which workers do not reach here; "
                    "copy it to where they do (dirac-dms-get-file), and give its path or its root:// address."
                )


def check_order(dictionaries: Sequence[Any], settings: Iterable[str]) -> None:
    """Refuse dictionaries in another order than theirs.

    Args:
        dictionaries: What was given for the three, in order.
        settings: Names that only settings have.
    Raises:
        ValueError: If one is none, or is another one of the three; it says which is which.
    """
    looks = [_looks_like(one, frozenset(settings)) for one in dictionaries]
    if any(not isinstance(one, Mapping) for one in dictionaries):
        kinds = ", ".join(type(one).__name__ for one in dictionaries)
        raise ValueError(
            f"createCalibration takes the dictionaries {', '.join(FORM)}, and was given {kinds}."
        )
    wrong = [
        f"{expected} looks like {found}"
        for expected, found in zip(FORM, looks, strict=True)
        if found not in ("", expected)
    ]
    if wrong:
        raise ValueError(
            f"the dictionaries are swapped: what is given for {' and for '.join(wrong)}; their order is "
            f"{', '.join(FORM)}."
        )


def _looks_like(given: Any, settings: frozenset[str]) -> str:
    """Which of the three a dictionary is; empty if that is not clear."""
    if not isinstance(given, Mapping):
        return ""
    if settings.intersection(map(str, given)):
        return FORM[2]
    values = [value for name, value in given.items() if str(name).lower() in _SAMPLES]
    if not values:
        return ""
    numbers = all(isinstance(value, int | float) or str(value).isdecimal() for value in values)
    return FORM[1] if numbers else FORM[0]
