"""The algorithm step of an iteration: a runner's questions become executions, their answers are written
down, successes are committed."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from caf_core.calibration.collected import TaskOutput, read_index
from caf_core.calibration.convergence import Metric
from caf_core.calibration.execution import OUTCOME_FILE, AlgorithmKit, calibrate, dotted, find_boundaries
from caf_core.calibration.files import write_atomically
from caf_core.calibration.plans import Commit, Execute, Executed, Past, Result
from caf_core.calibration.runner import AlgorithmsRunner, Ask, PlannedAlgorithm
from caf_core.conditions.codecs import revision_of
from caf_core.control import prints
from caf_core.control.catalogue import Catalogue
from caf_core.control.context import EXECUTIONS, Workshop
from caf_core.control.evidence import why_it_failed
from caf_core.control.preloading import preloads, script_path
from caf_core.control.resolved import Resolved, ResolvedAlgorithm
from caf_core.control.store.store import StoredExecution, StoredJob
from caf_core.iov import ExpRun, IoV
from caf_core.jobs.service import JobRequest
from caf_core.jobs.task import Call, TaskSpec

KIND = "execution"


@frozen
class _Question:
    """An ask on its way: its fingerprint, and the job that answers it."""

    ask: Ask
    fingerprint: str
    job: str
    directory: Path


class AlgorithmsStep:
    """Carries the algorithms of one iteration out.

    Args:
        shop: The controller's tools.
        catalogue: All calibrations.
        one: The calibration.
        iteration: Its iteration.
        past: What the previous iteration committed, by algorithm.
        commit: Called with the step whenever an algorithm has ended: its payloads go where the next one
            looks.
    """

    def __init__(
        self,
        shop: Workshop,
        catalogue: Catalogue,
        one: Resolved,
        iteration: int,
        past: Mapping[int, tuple[Commit, ...]],
        commit: "Callable[[AlgorithmsStep], None]",
    ) -> None:
        self._commit = commit
        self.one = one
        self.iteration = iteration
        self._shop = shop
        self._catalogue = catalogue
        index = one.index_path(iteration)
        self._index = index
        self._index_print = prints.combined([index.read_text(encoding="utf-8")])
        self.outputs: tuple[TaskOutput, ...] = read_index(index)
        self.runs = tuple(sorted({run for out in self.outputs for run in out.runs}))
        self.recorded = shop.store.executions(one.name, iteration)
        self._questions: dict[str, _Question] = {}
        self._constants: dict[int, tuple[list[str], str]] = {}
        self._code: dict[int, str] = {}
        self.runner: AlgorithmsRunner = one.runner()
        self._planned = [
            PlannedAlgorithm(a.index, a.name, a.strategy, self.runs, Past(iteration, past.get(a.index, ())))
            for a in one.algorithms
        ]
        self.committed = 0
        self._codecs = shop.doors.open_codecs()

    def start(self) -> None:
        """Ask the first questions; those that were answered before a crash are answered at once."""
        self._follow(self.runner.start(self._planned))

    def job_ended(self, job: str, success: bool) -> bool:
        """Take the answer of a job of this step.

        Returns:
            Whether the job belongs to this step.
        """
        question = self._questions.pop(job, None)
        if question is None:
            return False
        execution = self._read(question, success)
        self._shop.crash("outcome.before")
        self._shop.store.record_execution(self.one.name, execution)
        self._shop.crash("outcome.after")
        self.recorded[question.ask.key] = execution
        self._shop.service.forget(job)
        self._follow(self.runner.answer(question.ask.key, _reply(execution)))
        return True

    @property
    def finished(self) -> bool:
        """Whether all algorithms have ended, or one has failed."""
        return self.runner.finished

    @property
    def commits(self) -> dict[int, tuple[Commit, ...]]:
        """What the algorithms that have ended committed."""
        return {
            part.index: self.runner.commits_of(part.index) for part in self.one.algorithms[: self.committed]
        }

    @property
    def metrics(self) -> dict[str, Metric]:
        """What the committed executions measured: algorithm, metric and interval -> metric."""
        return {
            f"{part.name}.{name} {one.iov}": Metric(value, tolerance)
            for part in self.one.algorithms[: self.committed]
            for one in self.runner.commits_of(part.index)
            for name, (value, tolerance) in self.recorded[one.key].answer.get("metrics", {}).items()
        }

    def cancel(self) -> list[str]:
        """End what is still executing; its answers no longer matter.

        Returns:
            The jobs that were ended.
        """
        jobs = list(self._questions)
        for job in jobs:
            self._shop.service.cancel(job)
        self._questions.clear()
        return jobs

    def _follow(self, asks: list[Ask]) -> None:
        """Execute what is asked; what is known already is answered at once, which may bring further
        questions."""
        waiting = list(asks)
        while waiting:
            ask = waiting.pop(0)
            self._commit_ended()
            known = self.recorded.get(ask.key)
            fingerprint = self._fingerprint(ask)
            same = known is not None and known.fingerprint == fingerprint
            if known is not None and same and self._has_payloads(known):
                waiting += self.runner.answer(ask.key, _reply(known))
            else:
                if same:
                    self._forget(ask, fingerprint)
                self._execute(ask, fingerprint)
        self._commit_ended()

    def _has_payloads(self, execution: StoredExecution) -> bool:
        """Whether the payloads of a recorded execution are what it left."""
        for _, revision, suffix, name, _ in execution.answer.get("payloads", ()):
            codec = self._codecs.by_suffix(suffix)
            try:
                data = (execution.directory / name).read_bytes()
            except OSError:
                return False
            if codec is not None and revision_of(codec.name, data) != revision:
                return False
        return True

    def _forget(self, ask: Ask, fingerprint: str) -> None:
        """Drop an execution whose payloads are lost, so that it is executed again."""
        part = self._algorithm(ask.algorithm)
        key, directory = self._place(part, ask, fingerprint)
        self._shop.say(
            f"{self.one.name}: payloads that {part.name} left in {directory} are gone or were changed; it is "
            "executed again for them"
        )
        shutil.rmtree(directory, ignore_errors=True)
        with self._shop.store.batch():
            self._shop.store.drop_jobs([key])

    def _place(self, part: ResolvedAlgorithm, ask: Ask, fingerprint: str) -> tuple[str, Path]:
        """Key and directory of the job of an execution."""
        key = f"{self.one.name}/{self.iteration}/{part.name}/{ask.key}/{fingerprint}"
        folder = self.one.iteration_dir(self.iteration) / "algorithm_output" / part.name
        return key, folder / ask.key.replace("/", "_") / fingerprint[:8]

    def _commit_ended(self) -> None:
        """Commit the algorithms that have ended since the last call, so that the next one sees their
        payloads."""
        ended = len(self.runner.verdicts)
        if ended > self.committed:
            self.committed = ended
            self._commit(self)

    def _algorithm(self, index: int) -> ResolvedAlgorithm:
        return self.one.algorithms[index]

    def _chain(self, index: int) -> tuple[list[str], str]:
        """The databases that an algorithm sees, and their fingerprint."""
        if index not in self._constants:
            urls = self._catalogue.algorithm_chain(self.one, self.iteration, index)
            self._constants[index] = urls, self._shop.chain(urls).fingerprint()
        return self._constants[index]

    def chain(self, index: int) -> list[str]:
        """The databases that an algorithm sees."""
        return self._chain(index)[0]

    def _code_print(self, index: int) -> str:
        if index not in self._code:
            self._code[index] = prints.algorithm_print(self.one, self._algorithm(index))
        return self._code[index]

    def _fingerprint(self, ask: Ask) -> str:
        _, constants = self._chain(ask.algorithm)
        request = ask.request
        runs = ";".join(f"{run.exp},{run.run}" for run in request.runs)
        iov = str(request.iov) if isinstance(request, Execute) else "boundaries"
        return prints.combined([self._code_print(ask.algorithm), self._index_print, constants, runs, iov])

    def _execute(self, ask: Ask, fingerprint: str) -> None:
        part = self._algorithm(ask.algorithm)
        key, directory = self._place(part, ask, fingerprint)
        request = JobRequest(
            key=key, name=f"{self.one.name}_{part.name}", directory=directory, backend=EXECUTIONS
        )
        self._questions[key] = _Question(ask, fingerprint, key, request.directory)
        self._kit(part)
        if self._shop.service.resume(request):
            if self._shop.service.status(key).failures:
                self._shop.service.retry_failed(key)
            return
        self._shop.store.begin_job(
            StoredJob(
                key, self.one.name, self.iteration, KIND, part.name, request.directory, fingerprint, None
            ),
            EXECUTIONS,
        )
        self._shop.service.submit(request, [self._spec(ask, part, request.directory, fingerprint)])

    def _spec(self, ask: Ask, part: ResolvedAlgorithm, directory: Path, fingerprint: str) -> TaskSpec:
        urls, _ = self._chain(part.index)
        arguments: dict[str, Any] = {
            "kit": str(self._kit(part)),
            "index": str(self._index),
            "runs": [[run.exp, run.run] for run in ask.request.runs],
            "iteration": self.iteration,
            "chain": urls,
            "doors": attrs.asdict(self._shop.doors),
        }
        if isinstance(ask.request, Execute):
            entry, arguments["iov"] = dotted(calibrate), str(ask.request.iov)
        else:
            entry = dotted(find_boundaries)
        return TaskSpec(
            output_dir=directory,
            call=Call(entry, arguments, preload=preloads(self._shop.registry, self.one), path=script_path()),
            output_patterns=(OUTCOME_FILE,),
            fingerprint=fingerprint,
        )

    def _kit(self, part: ResolvedAlgorithm) -> Path:
        """Pack what all executions of an algorithm share, once a process: it may have been damaged since."""
        kit = self.one.output_dir / "kits" / f"{part.name}-{self._code_print(part.index)}.pickle"
        if kit not in self._shop.packed:
            write_atomically(kit, AlgorithmKit(part.algorithm, part.params, self.one.name).pack(), own=True)
            self._shop.packed.add(kit)
        return kit

    def _read(self, question: _Question, success: bool) -> StoredExecution:
        """What an execution left; one that left nothing is a failure with its reason."""
        ask, part = question.ask, self._algorithm(question.ask.algorithm)
        iov = str(ask.request.iov) if isinstance(ask.request, Execute) else str(IoV())
        directory, answer = question.directory, {"result": str(Result.FAILURE), "message": ""}
        try:
            if success:
                directory = next(self._shop.service.outputs(question.job))[1]
                answer = json.loads((directory / OUTCOME_FILE).read_text(encoding="utf-8"))
            else:
                answer["message"] = why_it_failed(self._shop.service, question.job)
        except (OSError, ValueError, StopIteration) as error:
            answer = {"result": str(Result.FAILURE), "message": f"its outcome cannot be read: {error}"}
        return StoredExecution(
            ask=ask.key,
            algorithm=part.name,
            fingerprint=question.fingerprint,
            runs=ask.request.runs,
            iov=iov,
            result=str(answer.get("result", "boundaries")),
            message=str(answer.get("message", "")),
            answer=answer,
            directory=directory,
            iteration=self.iteration,
        )


def _reply(execution: StoredExecution) -> Executed | tuple[ExpRun, ...]:
    if "boundaries" in execution.answer:
        return tuple(ExpRun(exp, run) for exp, run in execution.answer["boundaries"])
    return Executed(execution.ask, Result(execution.result), execution.message)
