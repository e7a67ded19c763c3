"""How a job is cut into subjobs."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from caf_core.errors import ConfigurationError
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
        size = self.max_files_per_subjob
        files = distinct(job.input_files)
        for number, first in enumerate(range(0, len(files), size)):
            job.create_subjob(number, input_files=files[first : first + size])
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
        number = min(self.max_subjobs, len(files))
        begin = 0
        for subjob in range(number):
            end = begin + len(files) // number + (subjob < len(files) % number)
            job.create_subjob(subjob, input_files=files[begin:end])
            begin = end
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


def distinct(files: Sequence[str]) -> list[str]:
    """The files without repetitions, in order; a repetition is logged."""
    unique = list(dict.fromkeys(files))
    if len(unique) < len(files):
        log.warning("%d input files are given more than once; each is taken once", len(files) - len(unique))
    return unique


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigurationError(f"{name} is {value}; it must be at least 1.")
    return value
