"""The input files by sample, and which worker gets which events of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

from attrs import field, frozen

from caf_core.errors import ConfigurationError

SAMPLES = ("gamma", "kaon", "muon", "zuds")
"""Photons, long-lived neutral kaons, muons, and Z decays to light quarks."""
ENERGIES: Mapping[str, float] = MappingProxyType({"gamma": 10.0, "kaon": 50.0, "muon": 10.0, "zuds": 200.0})
"""True energy of each sample [GeV]: of the particle, and of the whole event for ``zuds``."""
KAON_MASS = 0.497672
"""Mass of the K0L [GeV], as the original takes it."""


@frozen
class Share:
    """The events of one worker: a stretch of the files laid end to end.

    Args:
        files: The files that it touches, in order.
        skip: How many events of the first file belong to workers before it.
        events: How many events it has.
    """

    files: tuple[str, ...]
    skip: int
    events: int

    @property
    def records(self) -> int:
        """What Marlin's ``MaxRecordNumber`` has to be.

        Every file begins with a run header, which counts as a record; skipping events passes the first one.
        """
        return self.events + len(self.files) - bool(self.skip)

    @classmethod
    def of(cls, pieces: Sequence[tuple[str, int, int]]) -> Self:
        """The share that consists of pieces of files: file, first event, number of events.

        Raises:
            ConfigurationError: If there are none, or one but the first begins within its file: Marlin skips
                events once.
        """
        if not pieces or any(first for _file, first, _events in pieces[1:]):
            raise ConfigurationError(
                "a share of events is one stretch of its files; only its first piece may begin within a file."
            )
        return cls(
            tuple(file for file, _first, _events in pieces),
            pieces[0][1],
            sum(events for *_, events in pieces),
        )

    def pieces(self, events_per_file: int) -> tuple[tuple[str, int, int], ...]:
        """Its pieces of files: file, first event, number of events."""
        pieces, left = [], self.events
        for file, first in zip(self.files, [self.skip, *[0] * len(self.files)], strict=False):
            pieces.append((file, first, min(left, events_per_file - first)))
            left -= pieces[-1][2]
        return tuple(pieces)


@frozen
class Inputs:
    """The files of every sample; make one with ``Inputs.of``.

    Args:
        files: Sample -> files.
        events_per_file: Sample -> events in each of its files.
        energies: Sample -> true energy [GeV].
    """

    files: Mapping[str, tuple[str, ...]]
    events_per_file: Mapping[str, int]
    energies: Mapping[str, float] = field(default=ENERGIES)

    @classmethod
    def of(
        cls,
        files: Mapping[str, Sequence[str]],
        events_per_file: Mapping[str, Any],
        energies: Mapping[str, float] | None = None,
        samples: Sequence[str] = SAMPLES,
    ) -> Self:
        """Check what the user gives; upper and lower case of the samples' names do not matter.

        Args:
            files: Sample -> files.
            events_per_file: Sample -> events in each of its files.
            energies: Sample -> true energy [GeV], where it is not the usual one.
            samples: The samples that there have to be.
        Raises:
            ConfigurationError: If a sample is missing, unknown, named twice or without files, if a file is
                named twice or has a blank in its name, or if a number of events is no whole number above 0.
        """
        named = _by_sample(files, "the input files", samples)
        numbers = _by_sample(events_per_file, "numberOfEventsPerFile", samples)
        for sample in samples:
            if isinstance(named[sample], str) or not named[sample]:
                raise ConfigurationError(f"the sample {sample} needs a list of at least one file.")
            if len(set(named[sample])) != len(named[sample]):
                raise ConfigurationError(f"a file of the sample {sample} is named twice; name each once.")
            blank = next((name for name in named[sample] if len(str(name).split()) != 1), None)
            if blank is not None:
                raise ConfigurationError(
                    f"the file {str(blank)!r} of the sample {sample} has a blank in its name, and Marlin "
                    "separates names by blanks; rename it."
                )
            if type(numbers[sample]) is not int or numbers[sample] < 1:
                raise ConfigurationError(
                    f"numberOfEventsPerFile of {sample} is {numbers[sample]!r} and should be a whole number "
                    "from 1 on."
                )
        return cls(
            {sample: tuple(map(str, named[sample])) for sample in samples},
            {sample: numbers[sample] for sample in samples},
            {**ENERGIES, **(energies or {})},
        )

    def events(self, sample: str) -> int:
        """How many events a sample has."""
        return len(self.files[sample]) * self.events_per_file[sample]

    def shares(self, sample: str, workers: int) -> tuple[Share, ...]:
        """The events of every worker; see ``share_out``."""
        return share_out(self.files[sample], self.events_per_file[sample], workers)

    def check_workers(self, workers: int) -> None:
        """Refuse more workers than a sample has events.

        Raises:
            ConfigurationError: If a worker would be left without events.
        """
        fewest = min(self.files, key=self.events)
        if workers > self.events(fewest):
            raise ConfigurationError(
                f"numberOfJobs is {workers} and the sample {fewest} has {self.events(fewest)} events: "
                "take fewer jobs or more events."
            )


def share_out(files: Sequence[str], events_per_file: int, workers: int) -> tuple[Share, ...]:
    """Share events out evenly: every event to one worker, their numbers differing by at most one.

    Args:
        files: The files, laid end to end in this order.
        events_per_file: How many events each has.
        workers: How many workers there are; not more than events.
    """
    total = len(files) * events_per_file
    if not 1 <= workers <= total:
        raise ConfigurationError(f"{total} events cannot be shared out over {workers} workers.")
    shares = []
    for worker in range(workers):
        first, last = worker * total // workers, (worker + 1) * total // workers
        touched = files[first // events_per_file : (last - 1) // events_per_file + 1]
        shares.append(Share(tuple(touched), first % events_per_file, last - first))
    return tuple(shares)


def _by_sample(given: Mapping[str, Any], what: str, samples: Sequence[str]) -> dict[str, Any]:
    names = [str(name).lower() for name in given]
    missing = [sample for sample in samples if sample not in names]
    superfluous = [str(name) for name in given if str(name).lower() not in SAMPLES]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [f"missing: {', '.join(missing)}"] * bool(missing)
    problems += [f"superfluous: {', '.join(superfluous)}"] * bool(superfluous)
    problems += [f"named twice: {', '.join(twice)}"] * bool(twice)
    if problems:
        raise ConfigurationError(
            f"{what} cannot be used ({'; '.join(problems)}); the samples are {', '.join(SAMPLES)}."
        )
    return {str(name).lower(): value for name, value in given.items()}
