"""Random faults of a scheduler, one after another: no task is lost, and none is executed twice."""

from datetime import timedelta
from random import Random

import pytest

from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import Remedy, RetryPolicy, Rule
from caf_core.testing.bench import JobBench, shell
from fakes.cluster import Cluster
from fakes.tiny_backend import TinyBackend

TASKS = 60
SEEDS = 4
FAULTS = 40
AGAIN = RetryPolicy.never().with_rule(
    FailureKind.SUBMISSION, Rule(Remedy.AGAIN, attempts=20, delay=timedelta(seconds=0))
)


def submit_faults(faults, random):
    return [
        faults.lose_answer,
        faults.break_answer,
        faults.accept_twice,
        lambda: faults.accept_late(random.uniform(0.5, 6.0)),
        lambda: faults.hang("tsub"),
        lambda: faults.garbage("tsub"),
    ]


def poll_faults(faults, random):
    return [
        faults.hang_polls,
        faults.fail_polls,
        faults.garble_polls,
        faults.cut_polls,
        faults.spoil_polls,
        faults.list_twice,
        lambda: faults.delay_records(random.uniform(0.5, 3.0), times=5),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_faults_lose_and_repeat_nothing(tmp_path, seed):
    random = Random(seed)
    with Cluster("fakes.tiny:Tiny", tmp_path / "cluster") as cluster:
        faults = cluster.faults

        def make():
            args = {"path_prefix": cluster.path_prefix, "poll_interval": 0.3, "command_timeout": 2.0}
            args |= {"grace": 60.0, "array_limit": 7, "global_job_limit": 15, "check_interval": 0.3}
            return TinyBackend(backend_args=args)

        bench = JobBench(make(), tmp_path / "jobs", 300.0)
        script = "echo executed >> ../log; sleep $1"
        tasks = [
            shell(tmp_path / "out" / str(i), script.replace("$1", str(random.uniform(0, 2))))
            for i in range(TASKS)
        ]
        bench.submit("job", tasks, retry=AGAIN)
        for _ in range(FAULTS):
            if bench.service.status("job").ended:
                break
            faults.clear()  # what nobody ran into, so that the faults do not become more and more
            random.choice([*submit_faults(faults, random), *poll_faults(faults, random)])()
            if random.random() < 0.15:
                faults.down()
            bench.pump_for(random.uniform(0.2, 2.0))
            if random.random() < 0.1:
                bench.restart(make())
        faults.clear()
        bench.wait("job")
        states = [(task.index, task.failure, task.reason) for task in bench.tasks("job") if task.failure]
        assert bench.service.status("job").success, states
        bench.service.close()
        logs = [(tmp_path / "out" / str(i) / "log").read_text() for i in range(TASKS)]
        assert logs == ["executed\n"] * TASKS
        assert {task.attempt for task in bench.tasks("job")} == {1}
