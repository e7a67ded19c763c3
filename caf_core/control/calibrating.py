"""The algorithm step of an iteration: each algorithm's plan becomes a task, its journal is taken in, and what
it committed is committed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from caf_core.calibration.carry_out import (
    CarriedOut,
    Question,
    Reply,
    Unanswered,
    first_parts,
    follow,
    with_statistics,
)
from caf_core.calibration.collected import Index, TaskOutput, read_index
from caf_core.calibration.convergence import Metric
from caf_core.calibration.execution import dotted
from caf_core.calibration.files import write_atomically, write_json
from caf_core.calibration.journal import JOURNAL_FILE, Recorded, is_sound, journals, newest, reply_of
from caf_core.calibration.loaded_algorithm import AlgorithmKit
from caf_core.calibration.plan_task import carry_out_plan
from caf_core.calibration.plans import Commit, Parts, Past, Plan, Result, Verdict, commit_rows
from caf_core.calibration.runner import AlgorithmsRunner, cut_parts
from caf_core.control import prints
from caf_core.control.adopting import end_earlier, tell_place, where_it_is
from caf_core.control.catalogue import Catalogue
from caf_core.control.context import Workshop
from caf_core.control.evidence import why_it_failed
from caf_core.control.preloading import preloads, script_path
from caf_core.control.resolved import Resolved, ResolvedAlgorithm
from caf_core.control.store.store import StoredExecution, StoredJob
from caf_core.errors import AlgorithmError, CafError
from caf_core.jobs.local import ResidentBackend, usable_processors
from caf_core.jobs.service import JobRequest
from caf_core.jobs.task import Call, TaskSpec
from caf_core.jobs.tokens import new_token
from caf_core.text import clause

KIND = "execution"
MOST_TASKS = 100
"""So many tasks carry one plan out at most on a batch system: each has to begin, and reads the index."""


@frozen
class _Job:
    """A job that carries a plan out."""

    part: ResolvedAlgorithm
    directory: Path


class AlgorithmsStep:
    """Carries the algorithms of one iteration out, one after the other; one that fails stops those after it.

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
        self._past = past
        index = one.index_path(iteration)
        self._index = index
        self._index_print = prints.combined([index.read_text(encoding="utf-8")])
        self.outputs: tuple[TaskOutput, ...] = read_index(index)
        self._data = Index(self.outputs)
        self.runs = self._data.runs
        self.recorded = shop.store.executions(one.name, iteration)
        self._ended: list[CarriedOut] = []
        self._jobs: dict[str, _Job] = {}
        self._fingerprints: dict[int, str] = {}
        self._asked: set[str] = set()
        self._runner: AlgorithmsRunner = one.runner()

    def start(self) -> None:
        """Begin with the first algorithm; what was answered before is not executed again."""
        self._drop_what_is_lost()
        self._go_on()

    def job_ended(self, job: str, success: bool) -> bool:
        """Take in what a job of this step left.

        Returns:
            Whether the job belongs to this step.
        """
        found = self._jobs.pop(job, None)
        if found is None:
            return False
        news = self._take(found, lambda _: True)
        reason = "" if success else why_it_failed(self._shop.service, job)
        self._shop.service.forget(job)
        if success or news:
            # What ended without an answer to everything goes on where it ended, as long as it gets on.
            self._go_on(again=news > 0)
        else:
            self._give_up(found.part, reason)
        return True

    @property
    def finished(self) -> bool:
        """Whether all algorithms have ended, or one has failed."""
        return self.committed == len(self.one.algorithms) or any(
            not one.verdict.result.success for one in self._ended
        )

    @property
    def committed(self) -> int:
        """How many algorithms have ended."""
        return len(self._ended)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """How the algorithms that have ended did so, in order."""
        return tuple(one.verdict for one in self._ended)

    @property
    def jobs(self) -> list[str]:
        """The jobs that carry plans out now."""
        return list(self._jobs)

    def commits_of(self, index: int) -> tuple[Commit, ...]:
        """What an algorithm that has ended committed, in canonical order."""
        return self._ended[index].commits

    @property
    def commits(self) -> dict[int, tuple[Commit, ...]]:
        """What the algorithms that have ended committed."""
        return {index: one.commits for index, one in enumerate(self._ended)}

    @property
    def metrics(self) -> dict[str, Metric]:
        """What the committed executions measured: algorithm, metric and interval -> metric."""
        return {
            f"{part.name}.{name} {one.iov}": Metric(value, tolerance)
            for part in self.one.algorithms[: self.committed]
            for one in self.commits_of(part.index)
            for name, (value, tolerance) in self.recorded[one.key].answer.get("metrics", {}).items()
        }

    @property
    def asked(self) -> Set[str]:
        """The questions that the plans asked; what is recorded may also answer those of former plans."""
        return self._asked

    def cancel(self) -> list[str]:
        """End what is still executing; its answers no longer matter.

        Returns:
            The jobs that were ended.
        """
        jobs = list(self._jobs)
        for job in jobs:
            self._shop.service.cancel(job)
        self._jobs.clear()
        return jobs

    def chain(self, index: int) -> list[str]:
        """The databases that an algorithm sees."""
        return self._catalogue.algorithm_chain(self.one, self.iteration, index)

    def _go_on(self, *, again: bool = True) -> None:
        """Commit what has ended, and begin the next algorithm that has not.

        Args:
            again: Whether an algorithm may have a further job.
        """
        while not self.finished:
            part = self.one.algorithms[self.committed]
            fingerprint = self._fingerprint(part)
            commits: list[Commit] = []
            try:
                verdict = follow(self._plan(part), str(part.index), self._known(fingerprint), commits.append)
            except Unanswered as question:
                if not again:
                    raise AlgorithmError(
                        f"algorithm {part.name!r}: its plan asked for other executions than in its task "
                        f"({question}); a strategy must always ask the same for the same answers."
                    ) from None
                self._submit(part, fingerprint)
                return
            except AlgorithmError as error:
                strategy = type(part.strategy).__name__
                raise AlgorithmError(
                    f"algorithm {part.name!r}, {strategy}: {error}", iov=error.iov
                ) from error
            self._end(verdict, commits)
            again = True

    def _end(self, verdict: Verdict, commits: Iterable[Commit]) -> None:
        self._ended.append(CarriedOut(verdict, tuple(commits)))
        self._commit(self)

    def _give_up(self, part: ResolvedAlgorithm, reason: str) -> None:
        """End an algorithm whose task failed for good; what its plan committed before counts."""
        commits: list[Commit] = []
        with suppress(Unanswered):
            follow(self._plan(part), str(part.index), self._known(self._fingerprint(part)), commits.append)
        self._end(Verdict(Result.FAILURE, reason), commits)

    def _plan(self, part: ResolvedAlgorithm) -> Plan:
        past = Past(self.iteration, self._past.get(part.index, ()))
        try:
            return with_statistics(part.strategy.plan(self.runs, past), self._data.statistics)
        except CafError:
            raise
        except Exception as error:
            raise AlgorithmError(f"the strategy broke: {type(error).__name__}: {clause(error)}") from error

    def _known(self, fingerprint: str) -> Callable[[str, Question], Reply]:
        """Answers questions from what is recorded."""

        def ask(key: str, question: Question) -> Reply:
            self._asked.add(key)
            known = self.recorded.get(key)
            if known is None or known.fingerprint != fingerprint or not known.answers(question):
                raise Unanswered(key)
            return reply_of(key, known.answer)

        return ask

    def _drop_what_is_lost(self) -> None:
        """Forget executions whose payloads are gone or damaged, so that they are executed again."""
        codecs = self._shop.doors.open_codecs()
        lost: Counter[tuple[str, Path]] = Counter()
        for key, known in list(self.recorded.items()):
            if not is_sound(known.directory, known.answer, codecs):
                del self.recorded[key]
                lost[known.algorithm, known.directory] += 1
        for (algorithm, directory), number in lost.items():
            self._shop.say(
                f"{self.one.name}: payloads that {algorithm} left in {directory} are gone or were changed; "
                f"{number} execution(s) are repeated for them"
            )

    def _fingerprint(self, part: ResolvedAlgorithm) -> str:
        """What all answers of an algorithm depend on, apart from the question."""
        if part.index not in self._fingerprints:
            constants = self._shop.chain(self.chain(part.index)).fingerprint()
            self._fingerprints[part.index] = prints.combined(
                [prints.algorithm_print(self.one, part), self._index_print, constants]
            )
        return self._fingerprints[part.index]

    def _submit(self, part: ResolvedAlgorithm, fingerprint: str) -> None:
        """Have a plan carried out, or go on waiting for a job of an earlier process that does so."""
        known = [
            job for job in self._shop.store.jobs(self.one.name, self.iteration, KIND) if job.name == part.name
        ]
        jobs = [job for job in known if job.fingerprint == fingerprint]
        if jobs and self._goes_on(part, jobs[-1]):
            return
        end_plans(self._shop, known)
        # A name that never comes again: what nobody could end meets nothing of this job.
        token = new_token()
        key = f"{self.one.name}/{self.iteration}/{part.name}/{token}"
        folder = self.one.iteration_dir(self.iteration) / "algorithm_output" / part.name
        request = self._request(part, key, folder / token)
        self._shop.store.begin_job(
            StoredJob(
                key, self.one.name, self.iteration, KIND, part.name, request.directory, fingerprint, None
            ),
            request.backend,
        )
        self._jobs[key] = _Job(part, request.directory)
        earlier = {one.directory for one in self.recorded.values() if one.fingerprint == fingerprint}
        earlier.update(folder for job in jobs for folder in journals(job.directory))
        self._shop.service.submit(request, self._specs(part, request.directory, fingerprint, sorted(earlier)))

    def _goes_on(self, part: ResolvedAlgorithm, job: StoredJob) -> bool:
        """Whether a job of an earlier process has not ended; it is taken up then."""
        request = where_it_is(self._shop, self._request(part, job.key, job.directory))
        if not self._shop.service.resume(request) or self._shop.service.status(job.key).ended:
            return False
        tell_place(self._shop, job, request, self.one.algorithm_backend)
        self._jobs[job.key] = _Job(part, job.directory)
        return True

    def _request(self, part: ResolvedAlgorithm, key: str, directory: Path) -> JobRequest:
        one, settings = self.one, self.one.settings
        return JobRequest(
            key=key,
            name=f"{one.name}_{part.name}",
            directory=directory,
            backend=one.algorithm_backend,
            resources=part.resources,
            backend_args=settings["backend_args"] if one.algorithm_backend == one.backend else {},
            retry=settings["retry"],
        )

    def _specs(
        self, part: ResolvedAlgorithm, directory: Path, fingerprint: str, earlier: Sequence[Path]
    ) -> list[TaskSpec]:
        past = self._past.get(part.index, ())
        if past:
            write_json(directory / "past.json", commit_rows(past))
        arguments = {
            "algorithm": {
                "kit": str(self._kit(part)),
                "index": str(self._index),
                "iteration": self.iteration,
                "chain": self.chain(part.index),
                "doors": attrs.asdict(self._shop.doors),
            },
            "path": str(part.index),
            "past": str(directory / "past.json") if past else "",
            "earlier": [str(folder) for folder in earlier],
        }
        preload, path = preloads(self._shop.registry, self.one), script_path()
        return [
            TaskSpec(
                output_dir=directory / str(number),
                call=Call(dotted(carry_out_plan), {**arguments, "parts": parts}, preload=preload, path=path),
                output_patterns=(JOURNAL_FILE,),
                fingerprint=fingerprint,
            )
            for number, parts in enumerate(self._cut(part, fingerprint))
        ]

    def _cut(self, part: ResolvedAlgorithm, fingerprint: str) -> list[tuple[int, ...] | None]:
        """Which parts of a plan each task carries out; ``None`` for all of it."""
        parts = first_parts(self._plan(part))
        at_once = 1 if parts is None else min(self._parts_at_once(parts), self._most_tasks())
        if parts is None or at_once <= 1:
            return [None]
        known, todo = self._known(fingerprint), []
        for position, plan in enumerate(parts.plans):
            try:
                follow(plan, f"{part.index}/0.{position}", known, lambda _: None)
            except Unanswered:
                todo.append(position)
        # Where all parts are known, it is what the plan asks for after them.
        return list(cut_parts(todo, at_once)) if len(todo) > 1 else [None]

    def _most_tasks(self) -> int:
        """How many tasks carry a plan out at most."""
        backend = self._shop.service.backends[self.one.algorithm_backend]
        return usable_processors() if isinstance(backend, ResidentBackend) else MOST_TASKS

    def _parts_at_once(self, parts: Parts) -> int:
        name = type(self._runner).__name__
        try:
            number: Any = self._runner.parts_at_once(parts)
        except Exception as error:  # a plugin's runner may raise anything
            raise AlgorithmError(
                f"the runner {name} broke: {type(error).__name__}: {clause(error)}"
            ) from error
        if not isinstance(number, int) or number < 1:
            raise AlgorithmError(f"the runner {name} has {number!r} parts at once; at least 1 is needed.")
        return number

    def _kit(self, part: ResolvedAlgorithm) -> Path:
        """Pack what all executions of an algorithm share, once a process: it may have been damaged since."""
        name = prints.combined([prints.algorithm_print(self.one, part), prints.strategy_print(part)])
        kit = self.one.output_dir / "kits" / f"{part.name}-{name}.pickle"
        if kit not in self._shop.packed:
            packed = AlgorithmKit(part.algorithm, part.params, part.strategy, self.one.name).pack()
            write_atomically(kit, packed, own=True)
            self._shop.packed.add(kit)
        return kit

    def _take(self, job: _Job, wanted: Callable[[Recorded], bool]) -> int:
        """Write down what the tasks of a job recorded, and tell how much of it is new."""
        part, fingerprint = job.part, self._fingerprint(job.part)
        found = {
            key: StoredExecution(
                ask=key,
                algorithm=part.name,
                fingerprint=fingerprint,
                runs=one.runs,
                iov=one.iov,
                result=str(one.answer.get("result", "boundaries")),
                message=str(one.answer.get("message", "")),
                answer={**one.answer, "log": one.log},
                directory=one.directory,
                iteration=self.iteration,
            )
            for key, one in newest(journals(job.directory), wanted).items()
            if one.answer is not None
        }
        known = {key: _identity(one) for key, one in self.recorded.items()}
        new = sum(known.get(key) != _identity(one) for key, one in found.items())
        self._shop.crash("outcome.before")
        self._shop.store.record_executions(self.one.name, found.values())
        self._shop.crash("outcome.after")
        self.recorded.update(found)
        return new


def end_plans(shop: Workshop, jobs: Iterable[StoredJob]) -> None:
    """End the plans that are still being carried out, as nobody wants them any more.

    Args:
        shop: The controller's tools.
        jobs: Jobs of earlier processes.
    """
    for job in jobs:
        if shop.store.is_busy(job.key):
            end_earlier(shop, job)


def _identity(one: StoredExecution) -> tuple[object, ...]:
    return one.fingerprint, one.runs, one.iov
