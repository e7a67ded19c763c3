"""The suites for backends and splitters catch what breaks the contract."""

import subprocess
from datetime import timedelta

import pytest

from caf_core.errors import BackendError
from caf_core.jobs.backend import Backend, Capabilities, Report, SchedulerState
from caf_core.jobs.splitters import SubjobSplitter
from caf_core.testing import BackendConformance, SplitterConformance


class InThisProcess(Backend):
    """Processes of this process: as little as will do, for the contract without the core."""

    def __init__(self):
        super().__init__()
        self.processes = {}
        self.tokens = {}

    def capabilities(self):
        return Capabilities(poll_interval=timedelta(seconds=0.1))

    def start(self, submission):
        ids = [f"{submission.token}.{position}" for position in range(submission.size)]
        for position, one in enumerate(ids):
            self.processes[one] = subprocess.Popen(submission.argv(position))
        self.tokens[submission.token] = ids
        return ids

    def poll(self, ids):
        known = {one: self.processes[one] for one in ids if one in self.processes}
        return {
            one: Report(SchedulerState.RUNNING) for one, process in known.items() if process.poll() is None
        }

    def cancel(self, ids):
        for one in ids:
            if one in self.processes:
                self.processes[one].terminate()

    def find(self, token):
        return dict(enumerate(self.tokens.get(token, ())))

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


class Shuffled(InThisProcess):
    def start(self, submission):
        return list(reversed(super().start(submission)))


class OneId(InThisProcess):
    def start(self, submission):
        return super().start(submission)[:1] * submission.size


class KnowsEverybody(InThisProcess):
    def poll(self, ids):
        return {one: Report(SchedulerState.UNKNOWN) for one in ids}


class TellsNothing(InThisProcess):
    def poll(self, ids):
        return {}


class FindsAnything(InThisProcess):
    def find(self, token):
        return super().find(token) or {0: "something"}


class Deaf(InThisProcess):
    def cancel(self, ids):
        pass


class Strict(InThisProcess):
    def cancel(self, ids):
        for one in ids:
            if one not in self.processes:
                raise BackendError(f"there is no job {one}")
            self.processes[one].terminate()


class Impossible(InThisProcess):
    def capabilities(self):
        return Capabilities(array_limit=0)


class Hasty(BackendConformance):
    timeout = 3.0


@pytest.fixture
def check(tmp_path):
    """Lets the tests of the contract itself judge a backend."""
    made = []

    def check(kind, suite):
        for test in (
            "test_ids_come_in_the_order_of_the_manifest",
            "test_polling_leaves_out_what_it_does_not_know",
            "test_cancelling_is_idempotent",
        ):
            made.append(kind())
            folder = tmp_path / test
            folder.mkdir()
            getattr(suite(), test)(made[-1], folder)
        made.append(kind())
        suite().test_capabilities_make_sense(made[-1])
        suite().test_a_token_that_nobody_used_finds_nothing(made[-1])

    yield check
    for backend in made:
        backend.end()


def test_a_decent_backend_passes(check):
    check(InThisProcess, BackendConformance)


@pytest.mark.parametrize(
    "kind", [Shuffled, OneId, KnowsEverybody, TellsNothing, FindsAnything, Deaf, Strict, Impossible]
)
def test_a_backend_that_breaks_the_contract_is_caught(check, kind):
    with pytest.raises((AssertionError, BackendError, TimeoutError)):
        check(kind, Hasty)


class Splits(SubjobSplitter):
    """Cuts by a function from the files to the parts."""

    def __init__(self, cut):
        super().__init__()
        self.cut = cut

    def create_subjobs(self, job):
        for number, files in self.cut(list(dict.fromkeys(job.input_files))):
            job.create_subjob(number, input_files=files)
        self.assign_arguments(job)


def halves(files):
    return [(number, part) for number, part in enumerate((files[::2], files[1::2])) if part]


class Growing(Splits):
    def create_subjobs(self, job):
        job.input_files.append("/data/more.root")
        super().create_subjobs(job)


class NoArguments(Splits):
    def assign_arguments(self, job):
        pass


def judge(splitter):
    for name in dir(SplitterConformance):
        if name.startswith("test_"):
            getattr(SplitterConformance(), name)(splitter)


def test_a_decent_splitter_passes():
    judge(Splits(halves))


@pytest.mark.parametrize(
    "splitter",
    [
        Splits(lambda files: [(0, files[1:] or files)]),
        Splits(lambda files: [(0, files), (1, files)]),
        Splits(lambda files: [(0, files), (1, [])]),
        Splits(lambda files: [(number + 1, part) for number, part in halves(files)]),
        Growing(halves),
        NoArguments(halves),
    ],
    ids=[
        "loses a file",
        "doubles files",
        "empty subjob",
        "counts from one",
        "changes the job",
        "no arguments",
    ],
)
def test_a_splitter_that_breaks_the_rules_is_caught(splitter):
    with pytest.raises(AssertionError):
        judge(splitter)
