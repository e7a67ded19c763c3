"""How a job is cut into subjobs."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar

from caf_core.errors import ConfigurationError
from caf_core.jobs import input_names
from caf_core.jobs.arguments import ArgumentsGenerator

if TYPE_CHECKING:
    from caf_core.jobs.model import Job, SubJob

log = logging.getLogger("caf.jobs")


class SubjobSplitter(ABC):
    """Makes the subjobs of a job; the base of every splitter.

    Args:
        arguments_generator: Makes the arguments of each subjob; without it a subjob has those of its job.
    """

    def __init__(self, *, arguments_generator: ArgumentsGenerator | None = None) -> None:
        self.arguments_generator = arguments_generator

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if value is not None)
        return f"{type(self).__name__}({fields})"

    @abstractmethod
    def create_subjobs(self, job: "Job") -> None:
        """Give the job its subjobs by ``job.create_subjob``; called anew whenever the job is split."""

    def create_subjobs_around(self, job: "Job", groups: Sequence[Sequence[str]]) -> None:  # noqa: ARG002 - for those who can
        """As ``create_subjobs``, where some groups of files are done already and should stay subjobs.

        A splitter that does not say how to cut around them cuts as ever; what comes out as it was before is
        done all the same.

        Args:
            job: The job.
            groups: Files that follow one another in the job, in its order.
        """
        self.create_subjobs(job)

    def assign_arguments(self, job: "Job") -> None:
        """Give the subjobs of a job their arguments, in the order of their ids.

        When the generator ends early, the remaining subjobs have no arguments, and an error is logged.
        """
        if self.arguments_generator is None:
            return
        served = 0
        for subjob, arguments in self.arguments_generator.answers(iter(job.subjobs.values())):
            subjob.args = arguments
            served += 1
        left = list(job.subjobs.values())[served:]
        for subjob in left:
            subjob.args = []
        if left:
            log.error(
                "%r ended after %d of the %d subjobs of %r; the others have no arguments",
                self.arguments_generator,
                served,
                len(job.subjobs),
                job.name,
            )


class MaxFilesSplitter(SubjobSplitter):
    """Subjobs with at most so many input files each, in order.

    Args:
        max_files_per_subjob: The largest number of files in a subjob.
        arguments_generator: See ``SubjobSplitter``.
    """

    def __init__(
        self, max_files_per_subjob: int = 1, *, arguments_generator: ArgumentsGenerator | None = None
    ) -> None:
        super().__init__(arguments_generator=arguments_generator)
        self.max_files_per_subjob = _positive("max_files_per_subjob", max_files_per_subjob)

    def create_subjobs(self, job: "Job") -> None:
        """See ``SubjobSplitter``."""
        self._create(job, [(distinct(job.input_files), False)])

    def create_subjobs_around(self, job: "Job", groups: Sequence[Sequence[str]]) -> None:
        """See ``SubjobSplitter``; what lies between the groups is cut by itself."""
        if type(self).create_subjobs is not MaxFilesSplitter.create_subjobs:
            self.create_subjobs(job)
            return
        fitting = [group for group in groups if len(group) <= self.max_files_per_subjob]
        self._create(job, around(distinct(job.input_files), fitting))

    def _create(self, job: "Job", stretches: Sequence[tuple[list[str], bool]]) -> None:
        size = self.max_files_per_subjob
        parts = [files[n : n + size] for files, _ in stretches for n in range(0, len(files), size)]
        for number, files in enumerate(parts):
            job.create_subjob(number, input_files=files)
        self.assign_arguments(job)


class MaxSubjobsSplitter(SubjobSplitter):
    """At most so many subjobs, of nearly the same number of input files: 11 files in 4 subjobs are 3 + 3 + 3
    + 2.

    Args:
        max_subjobs: The largest number of subjobs.
        arguments_generator: See ``SubjobSplitter``.
    """

    default_max_subjobs: ClassVar[int] = 1000

    def __init__(
        self, max_subjobs: int = default_max_subjobs, *, arguments_generator: ArgumentsGenerator | None = None
    ) -> None:
        super().__init__(arguments_generator=arguments_generator)
        self.max_subjobs = _positive("max_subjobs", max_subjobs)

    def create_subjobs(self, job: "Job") -> None:
        """See ``SubjobSplitter``."""
        files = distinct(job.input_files)
        self._create(job, _evenly(files, min(self.max_subjobs, len(files))))

    def create_subjobs_around(self, job: "Job", groups: Sequence[Sequence[str]]) -> None:
        """See ``SubjobSplitter``; what lies between the groups is cut into parts of about the size that all
        would have, and the groups do not count as subjobs."""
        files = distinct(job.input_files)
        size = -(-len(files) // self.max_subjobs)
        parts: list[list[str]] = []
        new = 0
        for stretch, is_group in around(files, groups):
            cut = [stretch] if is_group else _evenly(stretch, -(-len(stretch) // size))
            new += 0 if is_group else len(cut)
            parts += cut
        if new > self.max_subjobs or type(self).create_subjobs is not MaxSubjobsSplitter.create_subjobs:
            self.create_subjobs(job)
        else:
            self._create(job, parts)

    def _create(self, job: "Job", parts: Sequence[list[str]]) -> None:
        for number, files in enumerate(parts):
            job.create_subjob(number, input_files=files)
        self.assign_arguments(job)


class ArgumentsSplitter(SubjobSplitter):
    """As many subjobs as there are arguments, each with all input files of the job.

    Args:
        arguments_generator: Makes the arguments of each subjob.
        max_subjobs: More subjobs than this are an error; it also stops a generator that never ends.
    """

    default_max_subjobs: ClassVar[int] = 100_000

    def __init__(
        self, *, arguments_generator: ArgumentsGenerator | None = None, max_subjobs: int | None = None
    ) -> None:
        super().__init__(arguments_generator=arguments_generator)
        self.max_subjobs = None if max_subjobs is None else _positive("max_subjobs", max_subjobs)

    def create_subjobs(self, job: "Job") -> None:
        """See ``SubjobSplitter``.

        Raises:
            ConfigurationError: If there is no generator, or it makes more than ``max_subjobs`` arguments.
        """
        if self.arguments_generator is None:
            raise ConfigurationError(
                f"the splitter of {job.name!r} needs an arguments_generator; give it one."
            )
        limit = self.default_max_subjobs if self.max_subjobs is None else self.max_subjobs
        made: list[SubJob] = []

        def candidates() -> Iterator["SubJob"]:
            while True:
                yield job.make_subjob(len(made))

        for subjob, arguments in self.arguments_generator.answers(candidates()):
            if len(made) == limit:
                raise ConfigurationError(
                    f"{self.arguments_generator!r} makes more than {limit} subjobs of {job.name!r}; "
                    "let it end earlier, or raise max_subjobs."
                )
            subjob.args = arguments
            made.append(subjob)
        job.subjobs.update((subjob.id, subjob) for subjob in made)


def around(files: Sequence[str], groups: Sequence[Sequence[str]]) -> list[tuple[list[str], bool]]:
    """Files in their order as groups and the stretches between them; which of them are groups."""
    begins = {group[0]: group for group in groups}
    found: list[tuple[list[str], bool]] = []
    place = 0
    while place < len(files):
        group = begins.get(files[place], ())
        if group and list(files[place : place + len(group)]) == list(group):
            found.append((list(group), True))
            place += len(group)
        else:
            if not found or found[-1][1]:
                found.append(([], False))
            found[-1][0].append(files[place])
            place += 1
    return found


def _evenly(files: Sequence[str], number: int) -> list[list[str]]:
    """So many parts of nearly the same size, the larger ones first."""
    sizes = [len(files) // number + (part < len(files) % number) for part in range(number)]
    ends = list(accumulate(sizes))
    return [list(files[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def distinct(files: Sequence[str]) -> list[str]:
    """The files without repetitions, in order; a repetition is logged, also under another name."""
    unique, doubles = input_names.distinct(files)
    if doubles:
        log.warning("%s", input_names.told(doubles))
    elif len(unique) < len(files):
        log.warning("%d input files are given more than once; each is taken once", len(files) - len(unique))
    return unique


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigurationError(f"{name} is {value}; it must be at least 1.")
    return value
