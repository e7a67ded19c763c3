"""What every splitter must keep: no file lost, none twice, and the same again when asked again."""

# ruff: noqa: S101 - a suite is made of assertions

from copy import copy
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.jobs.arguments import ArgumentsGenerator, range_arguments
from caf_core.jobs.model import Job
from caf_core.jobs.splitters import SubjobSplitter
from caf_core.testing.plans import SETTINGS

NAMES = st.lists(st.sampled_from([f"/data/file-{i}.root" for i in range(30)]), min_size=1, max_size=40)
"""Input files in any order; some are given more than once."""

Parts = dict[int, list[str]]


class SplitterConformance:
    """Holds a splitter to what jobs rely on; override ``splitter``.

    Args:
        shares_files: Whether each subjob gets all the files, as it is for splitters that go by arguments.
    """

    shares_files: ClassVar[bool] = False

    @pytest.fixture
    def splitter(self) -> SubjobSplitter:
        """The splitter, an instance."""
        raise NotImplementedError("override the fixture `splitter`: it returns an instance of your splitter")

    @SETTINGS
    @given(files=NAMES)
    def test_every_file_reaches_one_subjob(self, splitter: SubjobSplitter, files: list[str]) -> None:
        """No file is lost, invented or executed twice; each counts once, and no subjob is without any."""
        parts = self._split(splitter, files)
        wanted = sorted(set(files))
        if self.shares_files:
            assert all(sorted(set(part)) == wanted for part in parts.values())
            return
        assert sorted(file for part in parts.values() for file in part) == wanted
        assert all(parts.values()), "a subjob without a file has nothing to do"

    @SETTINGS
    @given(files=NAMES)
    def test_subjobs_are_numbered_from_0(self, splitter: SubjobSplitter, files: list[str]) -> None:
        """Directories, names and arguments go by these numbers."""
        parts = self._split(splitter, files)
        assert list(parts) == list(range(len(parts)))

    @SETTINGS
    @given(files=NAMES)
    def test_the_same_job_is_split_in_the_same_way(self, splitter: SubjobSplitter, files: list[str]) -> None:
        """After a restart a task must be what it was before."""
        assert self._split(splitter, files) == self._split(splitter, files)

    @SETTINGS
    @given(files=NAMES)
    def test_every_subjob_gets_its_arguments(self, splitter: SubjobSplitter, files: list[str]) -> None:
        """A generator of arguments serves the subjobs in the order of their numbers."""
        if splitter.arguments_generator is None:
            splitter = copy(splitter)
            splitter.arguments_generator = ArgumentsGenerator(range_arguments)
            job = self._job(splitter, files)
            wanted = [[str(number)] for number in range(len(job.subjobs))]
        else:
            job = self._job(splitter, files)
            answers = splitter.arguments_generator.answers(iter(job.subjobs.values()))
            wanted = [arguments for _, arguments in answers]
        assert [subjob.args for subjob in job.subjobs.values()] == wanted

    def _job(self, splitter: SubjobSplitter, files: list[str]) -> Job:
        job = Job("conformance", cmd=["true"], input_files=files, splitter=splitter)
        job.split()
        assert job.input_files == files, "the job itself stays as it was"
        return job

    def _split(self, splitter: SubjobSplitter, files: list[str]) -> Parts:
        return {
            number: list(subjob.input_files) for number, subjob in self._job(splitter, files).subjobs.items()
        }
