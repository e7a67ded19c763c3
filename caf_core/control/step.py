"""What follows from an event: ``step(system, event) -> (system, effects)``. Pure.

A system is the position of every calibration. The loop feeds events in, and carries the effects out in
their order: a ``Move`` is written to the
checkpoint before the effects behind it begin.
"""

from collections.abc import Mapping

from attrs import evolve, frozen

from caf_core.calibration.convergence import Convergence
from caf_core.calibration.plans import Result
from caf_core.calibration.states import END_STATES, Machine, State
from caf_core.control.effects import (
    Decide,
    Effect,
    Finish,
    Gather,
    Move,
    NoteIteration,
    Skip,
    StartAlgorithms,
    StartOwnRun,
    Stop,
    SubmitCollectors,
    Tidy,
)
from caf_core.control.events import (
    AlgorithmsEnded,
    Begin,
    Decided,
    Event,
    Failed,
    Finished,
    Gathered,
    JobEnded,
    OwnIteration,
    OwnRunEnded,
    Submitted,
)

_MACHINE = Machine()


@frozen
class Stage:
    """Where one calibration is.

    Args:
        name: The calibration.
        depends_on: The calibrations that must have completed before.
        max_iterations: The last iteration that is allowed.
        require_convergence: Whether ending without convergence is a failure.
        own: Whether it is a user's own ``CalibrationBase``, whose ``run`` does everything.
        state: Its state.
        iteration: Counts from 0.
        begun: Whether it was decided where it starts.
        skipped: Whether it will never start, as something it depends on failed.
        awaited: Jobs of its collections that have not ended.
        complaints: Why jobs that ended have failed.
    """

    name: str
    depends_on: tuple[str, ...] = ()
    max_iterations: int = 5
    require_convergence: bool = False
    own: bool = False
    state: State = State.INIT
    iteration: int = 0
    begun: bool = False
    skipped: bool = False
    awaited: frozenset[str] = frozenset()
    complaints: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.skipped or (self.begun and self.state in END_STATES)


System = Mapping[str, Stage]


class _Step:
    """One step in the making: the system so far, and the effects so far."""

    def __init__(self, system: System) -> None:
        self.system = dict(system)
        self.effects: list[Effect] = []

    def change(self, name: str, **values: object) -> None:
        self.system[name] = evolve(self.system[name], **values)  # type: ignore[arg-type]  # the names are Stage's fields

    def move(self, name: str, trigger: str, reason: str = "") -> None:
        stage = self.system[name]
        new = _MACHINE.target(stage.state, trigger)
        iteration = stage.iteration + (trigger == "iterate")
        self.change(name, state=new, iteration=iteration)
        self.effects.append(Move(name, iteration, stage.state, new, reason))

    def then(self, effect: Effect) -> None:
        self.effects.append(effect)


def step(system: System, event: Event) -> tuple[System, tuple[Effect, ...]]:
    """What follows from an event.

    Args:
        system: The position of every calibration.
        event: What happened.
    Returns:
        The new positions, and what has to be done, in this order.
    """
    work = _Step(system)
    match event:
        case Begin():
            pass
        case Decided():
            _decided(work, event)
        case Submitted(name, jobs):
            work.change(name, awaited=jobs, complaints=())
            if not jobs:
                work.then(Gather(name))
        case JobEnded():
            _job_ended(work, event)
        case Gathered():
            _gathered(work, event)
        case AlgorithmsEnded():
            _algorithms_ended(work, event)
        case Finished(name):
            work.move(name, "finish")
            if not work.system[name].own:
                work.then(Tidy(name, work.system[name].iteration, last=True))
        case OwnRunEnded():
            _own_run_ended(work, event)
        case OwnIteration(name, iteration, last):
            stage = work.system[name]
            if stage.own and stage.begun and not stage.over:
                work.change(name, iteration=iteration, max_iterations=last)
                work.then(NoteIteration(name, iteration, last))
        case Failed(name, reason):
            _fail(work, name, reason)
    _start_and_stop(work)
    return work.system, tuple(work.effects)


def _decided(work: _Step, event: Decided) -> None:
    work.change(event.name, state=event.state, iteration=event.iteration)
    stage = work.system[event.name]
    if stage.state is State.INIT:
        work.move(event.name, "submit_collector")
        work.then(StartOwnRun(event.name) if stage.own else SubmitCollectors(event.name))
    elif stage.state is State.RUNNING_COLLECTOR:
        work.then(StartOwnRun(event.name) if stage.own else SubmitCollectors(event.name))
    elif stage.own and stage.state not in END_STATES:
        _own_run_returned(work, event.name)
    elif stage.state is State.COLLECTOR_COMPLETED:
        work.move(event.name, "run_algorithms")
        work.then(StartAlgorithms(event.name))
    elif stage.state in (State.RUNNING_ALGORITHMS, State.ALGORITHMS_COMPLETED):
        # What was executed already is not executed again: the plans are replayed from the recorded outcomes.
        work.then(StartAlgorithms(event.name))


def _job_ended(work: _Step, event: JobEnded) -> None:
    stage = work.system[event.name]
    if event.job not in stage.awaited:
        return
    complaints = stage.complaints if event.success else (*stage.complaints, event.reason)
    awaited = stage.awaited - {event.job}
    work.change(event.name, awaited=awaited, complaints=complaints)
    if awaited:
        return
    if complaints:
        _fail(work, event.name, "; ".join(complaints))
    else:
        work.then(Gather(event.name))


def _gathered(work: _Step, event: Gathered) -> None:
    if event.reason:
        _fail(work, event.name, event.reason)
        return
    work.move(event.name, "complete_collector")
    work.move(event.name, "run_algorithms")
    work.then(StartAlgorithms(event.name))


def _algorithms_ended(work: _Step, event: AlgorithmsEnded) -> None:
    name = event.name
    if not event.result.success:
        _fail(work, name, event.reason)
        return
    if work.system[name].state is State.RUNNING_ALGORITHMS:
        work.move(name, "complete_algorithms")
    stage = work.system[name]
    if event.result is Result.ITERATE and stage.iteration < stage.max_iterations:
        work.move(name, "iterate")
        work.move(name, "submit_collector")
        work.then(Tidy(name, stage.iteration, last=False))
        work.then(SubmitCollectors(name))
    elif event.convergence is not Convergence.CONVERGED and stage.require_convergence:
        work.move(name, "refuse", _not_converged(stage, event))
    else:
        work.then(Finish(name))


def _not_converged(stage: Stage, event: AlgorithmsEnded) -> str:
    which = f": {event.unconverged}" if event.unconverged else ""
    mend = event.convergence in (Convergence.NOT_FINITE, Convergence.FAILURE)
    remedy = "mend the algorithm" if mend else "raise max_iterations"
    return (
        f"it did not converge in {stage.iteration + 1} iterations ({event.convergence}){which}; {remedy}, or "
        "accept it with require_convergence=False"
    )


def _own_run_ended(work: _Step, event: OwnRunEnded) -> None:
    if not event.success:
        _fail(work, event.name, event.reason)
        return
    _own_run_returned(work, event.name)


def _own_run_returned(work: _Step, name: str) -> None:
    """Take a user's own calibration along the table; a crash may have left it anywhere on the way."""
    onward = {
        State.RUNNING_COLLECTOR: "complete_collector",
        State.COLLECTOR_COMPLETED: "run_algorithms",
        State.RUNNING_ALGORITHMS: "complete_algorithms",
    }
    while (state := work.system[name].state) in onward:
        work.move(name, onward[state])
    work.then(Finish(name))


def _fail(work: _Step, name: str, reason: str) -> None:
    """Take a calibration to ``failed`` along the table, from wherever it is."""
    state = work.system[name].state
    if state is State.RUNNING_COLLECTOR:
        work.move(name, "fail_collector", reason)
    elif state is State.COLLECTOR_COMPLETED:
        work.move(name, "run_algorithms")
        work.move(name, "fail_algorithms", reason)
    elif state is State.RUNNING_ALGORITHMS:
        work.move(name, "fail_algorithms", reason)
    trigger = (
        "fail_fully"
        if work.system[name].state in (State.COLLECTOR_FAILED, State.ALGORITHMS_FAILED)
        else "refuse"
    )
    work.change(name, awaited=frozenset())
    if work.system[name].state is not State.FAILED:
        work.move(name, trigger, reason)


def _start_and_stop(work: _Step) -> None:
    """Start what has become ready, skip what has lost its chance, and stop when all is over."""
    changed = True
    while changed:
        changed = False
        for name, stage in list(work.system.items()):
            if stage.begun or stage.skipped:
                continue
            before = [work.system[other] for other in stage.depends_on]
            lost = [
                other.name
                for other in before
                if other.skipped or (other.begun and other.state is State.FAILED)
            ]
            if lost:
                work.change(name, skipped=True)
                work.then(Skip(name, lost[0]))
                changed = True
            elif all(other.begun and other.state is State.COMPLETED for other in before):
                work.change(name, begun=True)
                work.then(Decide(name))
    if all(stage.over for stage in work.system.values()):
        work.then(Stop())
