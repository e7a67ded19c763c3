"""The record of a calibration's steps: what happened, for people, as ``Calibration.txt``."""

from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from caf_pandora.constants import NAMES, Constants
from caf_pandora.outcome import Outcome
from caf_pandora.phases import Phase


@frozen(kw_only=True)
class Step:
    """One step of a calibration.

    Args:
        stage: 1 to 3.
        phase: Its phase.
        number: Steps of a phase count from 0.
        before: The constants that its results were made with.
        outcome: What was made of them.
        workers: How many workers' results there were.
        missing: Workers whose results were not there.
        seconds: How long it took [s]: reconstruction and update; 0 if somebody else measures it.
    """

    stage: int
    phase: Phase
    number: int
    before: Constants = field(repr=False)
    outcome: Outcome
    workers: int
    missing: tuple[int, ...] = ()
    seconds: float = 0.0


def describe(step: Step) -> str:
    """The entry of one step."""
    outcome, phase = step.outcome, step.phase
    lines = [
        f"stage {step.stage}, phase {phase.number} {phase.name}, step {step.number}: "
        f"{step.workers} workers" + (f", {step.seconds:.2f} s" if step.seconds else "")
    ]
    if step.missing:
        lines.append(f"  without the workers {', '.join(map(str, step.missing))}")
    lines += [f"  {name} = {value:.6g}" for name, value in outcome.metrics.items()]
    changed = [name for name in NAMES if outcome.constants[name] != step.before[name]]
    lines += [f"  {name}: {step.before[name]:.8g} -> {outcome.constants[name]:.8g}" for name in changed]
    lines += [f"  made {name}, {len(content)} bytes" for name, content in outcome.files.items()]
    if outcome.error is None:
        lines.append("  done: the phase takes one step")
    else:
        verdict = "converged" if outcome.converged else "not converged"
        lines.append(f"  fractional error before the change {outcome.error:.5f}: {verdict}")
    return "\n".join(lines) + "\n"


def calibration_txt(start: Constants, steps: Sequence[Step]) -> str:
    """The whole record: the constants at the start, every step, and the constants at the end."""
    end = steps[-1].outcome.constants if steps else start
    return joined_record(start, list(map(describe, steps)), end)


def joined_record(start: Constants, entries: Sequence[str], end: Constants) -> str:
    """The whole record from the entries of its steps."""
    first, last = f"constants at the start\n{_table(start)}", f"constants at the end\n{_table(end)}"
    return "\n".join([first, *entries, last])


def time_rows(steps: Sequence[Step]) -> list[tuple[str, str, float]]:
    """Stage, phase and seconds of every step."""
    return [(f"stage{step.stage}", step.phase.name, step.seconds) for step in steps]


def time_table(rows: Iterable[tuple[str, str, float]]) -> str:
    """Steps and seconds of every phase.

    Args:
        rows: Stage, phase and seconds of every step.
    """
    phases: dict[tuple[str, str], list[float]] = {}
    for stage, phase, seconds in rows:
        phases.setdefault((stage, phase), []).append(seconds)
    lines = [f"{'stage':<8}{'phase':<24}{'steps':>5}{'seconds':>9}"]
    lines += [
        f"{stage:<8}{phase:<24}{len(took):>5}{sum(took):>9.2f}" for (stage, phase), took in phases.items()
    ]
    every = [seconds for took in phases.values() for seconds in took]
    lines.append(f"{'all':<32}{len(every):>5}{sum(every):>9.2f}")
    return "\n".join(lines) + "\n"


def _table(constants: Mapping[str, float]) -> str:
    return "".join(f"  {name:<32}{value:.8g}\n" for name, value in constants.items())
