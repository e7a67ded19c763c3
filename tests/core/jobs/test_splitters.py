"""How jobs are cut, and where subjobs get their arguments."""

import logging
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_core.jobs.arguments import ArgumentsGenerator, range_arguments
from caf_core.jobs.model import Job
from caf_core.jobs.splitters import ArgumentsSplitter, MaxFilesSplitter, MaxSubjobsSplitter

names = st.lists(st.text("abc", min_size=1, max_size=2), max_size=30)


def split(splitter, files=()):
    job = Job("job", cmd=["true"], input_files=files, splitter=splitter)
    splitter.create_subjobs(job)
    return job


def parts(job):
    return [subjob.input_files for subjob in job.subjobs.values()]


def test_eleven_files_in_four_subjobs():
    job = split(MaxSubjobsSplitter(4), [f"f{i}" for i in range(11)])
    assert [len(part) for part in parts(job)] == [3, 3, 3, 2]


@given(names, st.integers(1, 12))
def test_max_subjobs(files, number):
    job = split(MaxSubjobsSplitter(number), files)
    sizes = [len(part) for part in parts(job)]
    assert list(chain.from_iterable(parts(job))) == list(dict.fromkeys(files))
    assert len(sizes) == min(number, len(set(files)))
    assert sizes == sorted(sizes, reverse=True)
    assert not sizes or sizes[0] - sizes[-1] <= 1


@given(names, st.integers(1, 12))
def test_max_files(files, number):
    job = split(MaxFilesSplitter(number), files)
    assert list(chain.from_iterable(parts(job))) == list(dict.fromkeys(files))
    assert all(len(part) == number for part in parts(job)[:-1])
    assert all(1 <= len(part) <= number for part in parts(job))
    assert list(job.subjobs) == list(range(len(job.subjobs)))


@given(st.integers(0, 30), st.data(), st.integers(1, 8), st.booleans())
def test_groups_that_are_done_stay_together(count, data, number, by_files):
    """The order of the files stays, the groups stay, and what is between them is cut by itself."""
    files = [f"f{i}" for i in range(count)]
    ends = sorted(data.draw(st.sets(st.integers(0, count), max_size=10)))
    groups = [files[a:b] for a, b in pairwise(ends) if data.draw(st.booleans())]
    splitter = MaxFilesSplitter(number) if by_files else MaxSubjobsSplitter(number)
    job = Job("job", cmd=["true"], input_files=files, splitter=splitter)
    splitter.create_subjobs_around(job, groups)
    assert list(chain.from_iterable(parts(job))) == files
    assert all(parts(job)), "a subjob without a file has nothing to do"
    assert list(job.subjobs) == list(range(len(job.subjobs)))
    if by_files:
        assert all(len(part) <= number for part in parts(job))
        assert all(group in parts(job) for group in groups if len(group) <= number)
    elif parts(job) != parts(split(splitter, files)):
        assert all(group in parts(job) for group in groups)
        assert len(parts(job)) - len(groups) <= number


class Halves(MaxFilesSplitter):
    """Cuts as it likes."""

    def create_subjobs(self, job):
        half = len(job.input_files) // 2
        for number, part in enumerate((job.input_files[:half], job.input_files[half:])):
            job.create_subjob(number, input_files=part)


def test_a_splitter_of_ones_own_cuts_as_ever():
    job = Job("job", cmd=["true"], input_files=["a", "b", "c"], splitter=Halves())
    job.splitter.create_subjobs_around(job, [["b"]])
    assert parts(job) == [["a"], ["b", "c"]]


def test_repeated_files_are_logged(caplog):
    split(MaxFilesSplitter(1), ["a", "b", "a"])
    assert "1 input files are given more than once" in caplog.text


def test_subjobs_have_numbered_names_and_folders(tmp_path):
    job = split(MaxFilesSplitter(1), ["a", "b"])
    job.working_dir, job.output_dir = tmp_path / "work", tmp_path / "out"
    second = job.subjobs[1]
    assert (second.name, second.working_dir, second.output_dir) == (
        "job_1",
        tmp_path / "work" / "1",
        tmp_path / "out" / "1",
    )


def test_arguments_splitter_gives_every_subjob_all_files():
    splitter = ArgumentsSplitter(arguments_generator=ArgumentsGenerator(range_arguments, 2, 8, 3))
    job = split(splitter, ["a", "b"])
    assert [subjob.args for subjob in job.subjobs.values()] == [["2"], ["5"]]
    assert parts(job) == [["a", "b"], ["a", "b"]]


def test_more_arguments_than_allowed_are_an_error():
    generator = ArgumentsGenerator(range_arguments)
    job = Job("job", cmd=["true"])
    with pytest.raises(ConfigurationError, match="more than 3 subjobs of 'job'"):
        ArgumentsSplitter(arguments_generator=generator, max_subjobs=3).create_subjobs(job)
    assert job.subjobs == {}
    exactly = ArgumentsGenerator(range_arguments, 0, 3)
    assert len(split(ArgumentsSplitter(arguments_generator=exactly, max_subjobs=3)).subjobs) == 3


def test_arguments_splitter_needs_a_generator():
    with pytest.raises(ConfigurationError, match="needs an arguments_generator"):
        split(ArgumentsSplitter())


def test_the_generator_is_sent_each_subjob_and_primed_anew():
    def seen():
        subjob = yield None
        while True:
            subjob = yield (subjob.id, len(subjob.input_files))

    splitter = MaxFilesSplitter(2, arguments_generator=ArgumentsGenerator(seen))
    expected = [["0", "2"], ["1", "2"], ["2", "1"]]
    for _ in range(2):
        job = split(splitter, list("abcde"))
        assert [subjob.args for subjob in job.subjobs.values()] == expected


def test_when_the_generator_ends_early_the_rest_has_no_arguments(caplog):
    splitter = MaxFilesSplitter(1, arguments_generator=ArgumentsGenerator(range_arguments, stop=2))
    with caplog.at_level(logging.ERROR, "caf.jobs"):
        job = Job("job", cmd=["true"], args=["x"], input_files=list("abcd"), splitter=splitter)
        job.split()
    assert [subjob.args for subjob in job.subjobs.values()] == [["0"], ["1"], [], []]
    assert "ended after 2 of the 4 subjobs of 'job'" in caplog.text


def test_without_a_generator_subjobs_have_the_arguments_of_the_job():
    job = Job("job", cmd=["ls"], args=["-l"], input_files=["a", "b"])
    job.max_files_per_subjob = 1
    job.split()
    assert [subjob.full_command for subjob in job.subjobs.values()] == [["ls", "-l"], ["ls", "-l"]]


def broken_at_once():
    return
    yield


def not_primed():
    yield (1,)


def no_tuple():
    yield None
    yield 5


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (broken_at_once, "ends before it was sent a SubJob"),
        (not_primed, "before it was sent a SubJob"),
        (no_tuple, "a tuple is needed"),
    ],
)
def test_broken_generators_are_named(function, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        split(MaxFilesSplitter(1, arguments_generator=ArgumentsGenerator(function)), ["a"])
    assert function.__name__ in str(error.value)


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-5, 5).filter(bool))
def test_range_arguments_is_range(start, stop, step):
    generator = ArgumentsGenerator(range_arguments, start, stop, step)
    job = split(ArgumentsSplitter(arguments_generator=generator))
    assert [int(*subjob.args) for subjob in job.subjobs.values()] == list(range(start, stop, step))


@pytest.mark.parametrize("splitter", [MaxFilesSplitter, MaxSubjobsSplitter])
def test_limits_are_positive(splitter):
    with pytest.raises(ConfigurationError, match="at least 1"):
        splitter(0)
