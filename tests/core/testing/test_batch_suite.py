"""The suite for batch backends catches what breaks its promises."""

import pytest

from caf_core.jobs.batch.dialogue import Command, refused
from caf_core.testing import BatchConformance
from caf_core.testing.bench import JobBench
from fakes.cluster import Cluster
from fakes.tiny_backend import TinyBackend


class FindsPrefixes(TinyBackend):
    def finding(self, token):
        answer = yield Command([self.tool("tstat")])
        lines = [line.split("|") for line in answer.stdout.splitlines()]
        return {int(row[0].partition(".")[2] or 0): row[0] for row in lines if row[1].startswith(token)}


class TellsAnotherId(TinyBackend):
    """What the task is told is not what the scheduler is asked for, so a requeued task would do nothing."""

    def files(self, submission):
        return {"job.sh": super().files(submission)["job.sh"].replace("$TINY_JOB", "${TINY_JOB%.*}")}


class CancelsWholeArrays(TinyBackend):
    def cancelling(self, ids):
        yield from super().cancelling([one.partition(".")[0] for one in ids])


class LogsForEveryTask(TinyBackend):
    def files(self, submission):
        script = super().files(submission)["job.sh"]
        return {"job.sh": f"#!/bin/sh\nexec >'{submission.directory}'/log.$TINY_INDEX\n{script}"}


class TakesDoubtForRefusal(TinyBackend):
    def submitting(self, submission):
        answer = yield Command(
            [self.tool("tsub"), "-N", submission.token, str(submission.directory / "job.sh")], submits=True
        )
        if not answer.ok:
            raise refused(answer)
        return [answer.stdout.strip()]


class FindsNothing(TinyBackend):
    def finding(self, token):
        yield from ()
        return {}


class Suite(BatchConformance):
    patience = 4.0


class Hasty(Suite):
    timeout = 20.0


@pytest.fixture
def judge(tmp_path):
    """Lets one test of the suite judge a backend."""
    with Cluster("fakes.tiny:Tiny", tmp_path / "cluster") as cluster:
        benches = []

        def make(kind, **args):
            quick = {"path_prefix": cluster.path_prefix, "poll_interval": 0.3, "grace": 2.0}
            return kind(backend_args={**quick, **args})

        def make_bench(kind, **args):
            suite = Suite if kind is TinyBackend else Hasty
            args = {"command_timeout": suite.patience, **args}
            benches.append(JobBench(make(kind, **args), tmp_path / "jobs", suite.timeout))
            return benches[-1]

        def judge(kind, test):
            known = {
                "backend": lambda: make(kind),
                "make_backend": lambda: lambda **args: make(kind, **args),
                "make_bench": lambda: lambda **args: make_bench(kind, **args),
                "faulty": lambda: cluster.faults,
                "tmp_path": lambda: tmp_path,
            }
            method = getattr(Suite() if kind is TinyBackend else Hasty(), test)
            names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
            method(*(known[name]() for name in names))

        yield judge
        for bench in benches:
            bench.service.close()


CAUGHT = [
    (FindsPrefixes, "test_tokens_are_found_exactly"),
    (TellsAnotherId, "test_a_task_knows_its_position_and_its_id"),
    (CancelsWholeArrays, "test_a_part_of_an_array_is_cancelled"),
    (LogsForEveryTask, "test_output_is_in_the_folder_of_the_attempt"),
    (TakesDoubtForRefusal, "test_a_broken_answer_of_a_submission_is_not_a_refusal"),
    (FindsNothing, "test_a_lost_answer_of_a_submission_is_made_up_for"),
]


@pytest.mark.parametrize("test", sorted({test for _, test in CAUGHT}))
def test_a_decent_backend_passes(judge, test):
    judge(TinyBackend, test)


@pytest.mark.parametrize(("kind", "test"), CAUGHT)
def test_a_backend_that_breaks_a_promise_is_caught(judge, kind, test):
    with pytest.raises((AssertionError, TimeoutError)):
        judge(kind, test)
