"""An algorithm with its data and constants at hand: what answers the questions of a plan."""

import os
import random
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from caf_core.calibration.algorithm import Algorithm, AlgorithmContext, Outcome
from caf_core.calibration.carry_out import Question
from caf_core.calibration.collected import Index, read_index
from caf_core.calibration.execution import Doors
from caf_core.calibration.journal import PACK_FILE
from caf_core.calibration.plans import Execute, Result
from caf_core.calibration.shipping import pack, unpack
from caf_core.calibration.strategy import AlgorithmStrategy
from caf_core.conditions.chain import Chain
from caf_core.conditions.codecs import Codecs
from caf_core.conditions.finite import not_finite
from caf_core.conditions.payload import Payload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import AlgorithmError, CafError
from caf_core.iov import ExpRun, IoV
from caf_core.json_text import COMPACT, json_text
from caf_core.text import in_a_sentence

_MESSAGE_LIMIT = 4000


@frozen
class AlgorithmKit:
    """What every task that carries out an algorithm's plan shares."""

    algorithm: Algorithm
    params: Mapping[str, Any]
    strategy: AlgorithmStrategy
    calibration: str

    def pack(self) -> bytes:
        """For ``unpack``."""
        return pack(self, f"the algorithm {self.algorithm.name!r} of calibration {self.calibration!r}")


@frozen
class Answered:
    """What came of a question.

    Args:
        answer: The answer, JSON values.
        payloads: The bytes of its payloads.
        exited: Whether the algorithm called for an exit; what it printed last may say why.
    """

    answer: dict[str, Any]
    payloads: tuple[bytes, ...] = ()
    exited: bool = False

    def text(self) -> str:
        """The answer as JSON."""
        return json_text(self.answer, separators=COMPACT)


def failed(message: str) -> Answered:
    """The answer ``failure``, with its reason."""
    return Answered({"result": str(Result.FAILURE), "message": message[:_MESSAGE_LIMIT]})


class LoadedAlgorithm:
    """Executes an algorithm, one question after the other.

    Args:
        kit: File with the algorithm and its strategy.
        index: File that says what the collectors left.
        iteration: The iteration.
        chain: URLs of the databases that the algorithm sees.
        doors: How they are opened: the fields of ``Doors``.
    """

    def __init__(
        self, kit: str, index: str, iteration: int, chain: Sequence[str], doors: Mapping[str, Any]
    ) -> None:
        self.kit: AlgorithmKit = unpack(Path(kit))
        self.index = Index(read_index(Path(index)))
        self.iteration = iteration
        self.doors = Doors(**doors)
        self._urls = chain
        self._chain: Chain | None = None
        self._codecs: Codecs | None = None

    def answer(self, key: str, question: Question, directory: Callable[[], Path]) -> Answered:
        """Execute the algorithm, or ask it for boundaries; whatever it raises is a ``failure``.

        Args:
            key: The question's key.
            question: The question.
            directory: Makes the folder in which it may write, which is the current one.
        """
        begun, process = time.monotonic(), os.getpid()
        try:
            answered = self.execute(key, question, directory)
        except SystemExit as exit_:
            answered = evolve(failed(_exited(exit_.code)), exited=True)
        except BaseException as error:  # the plan decides what follows from it
            _print(error)
            answered = failed(_in_words(error))
        if os.getpid() != process:
            os._exit(0)  # a child that the algorithm forked, which returned as its parent did
        answered.answer["seconds"] = round(time.monotonic() - begun, 6)
        return answered

    def execute(self, key: str, question: Question, directory: Callable[[], Path]) -> Answered:
        """The same, but what the algorithm raises is raised."""
        _seed(f"{self.kit.calibration}/{self.iteration}/{self.kit.algorithm.name}/{key}")
        if self._chain is None:
            # Opened here and not before: what a process inherits of a database connection is of no use.
            self._chain, self._codecs = self.doors.chain(self._urls), self.doors.open_codecs()
        is_execution = isinstance(question, Execute)
        context = AlgorithmContext(
            runs=question.runs,
            iov=question.iov if isinstance(question, Execute) else IoV(),
            conditions=self._chain.anew(),
            params=deepcopy(self.kit.params),
            iteration=self.iteration,
            directory=directory,
            calibration=self.kit.calibration,
            outputs=self.index,
            data_input=self.kit.algorithm.data_input,
        )
        _prepare(self.kit.algorithm, context)
        return self._calibrate(context) if is_execution else self._find_boundaries(context)

    def _calibrate(self, context: AlgorithmContext) -> Answered:
        algorithm = self.kit.algorithm
        outcome = algorithm.function(context)
        if not isinstance(outcome, Outcome):
            raise AlgorithmError(
                f"algorithm {algorithm.name!r} returned {type(outcome).__name__}; calibrate() returns "
                "an Outcome.",
                calibration=self.kit.calibration,
                iteration=self.iteration,
                iov=str(context.iov),
            )
        rows: list[list[str | None]] = []
        payloads: list[bytes] = []
        bad: dict[str, list[tuple[str, bool]]] = {}
        codecs = self._codecs or self.doors.open_codecs()
        for payload in outcome.payloads if outcome.result.success else ():
            stored = codecs.encode(_with_iov(payload, context.iov), Provenance())
            if found := not_finite(payload.content):
                bad.setdefault(stored.entry.name, []).extend((one.text, one.channels) for one in found)
            own = str(payload.iov) if payload.iov is not None else None
            rows.append([stored.entry.name, stored.entry.revision, stored.suffix, PACK_FILE, own])
            payloads.append(stored.data)
        metrics = {name: [metric.value, metric.tolerance] for name, metric in outcome.metrics.items()}
        return Answered(
            {
                "result": str(outcome.result),
                "message": outcome.message[:_MESSAGE_LIMIT],
                "metrics": metrics,
                "payloads": rows,
                "not_finite": bad,
                "entries": self.index.entries(context.runs),
                "constants": context.conditions.read(),
            },
            tuple(payloads),
        )

    def _find_boundaries(self, context: AlgorithmContext) -> Answered:
        algorithm = self.kit.algorithm.algorithm
        if callable(getattr(algorithm, "find_payload_boundaries", None)):
            boundaries = [ExpRun(*run) for run in algorithm.find_payload_boundaries(context, context.runs)]
        elif callable(getattr(algorithm, "is_boundary_required", None)):
            boundaries = [run for run in context.runs if algorithm.is_boundary_required(context, run)]
        else:
            raise AlgorithmError(
                f"algorithm {self.kit.algorithm.name!r} has neither find_payload_boundaries nor "
                "is_boundary_required; write one of them, or give the strategy payload_boundaries."
            )
        return Answered({"boundaries": [[run.exp, run.run] for run in boundaries]})


def _prepare(algorithm: Algorithm, context: AlgorithmContext) -> None:
    settings = getattr(algorithm.algorithm, "apply_experiment_settings", None)
    if callable(settings):
        settings(context.experiment)
    if algorithm.pre_algorithm is not None:
        algorithm.pre_algorithm(algorithm.algorithm, context)


def _with_iov(payload: Payload, iov: IoV) -> Payload:
    return payload if payload.iov is not None else evolve(payload, iov=iov)


def _seed(words: str) -> None:
    """Let random numbers depend on the question alone, and not on what was executed before it."""
    seed = zlib.crc32(words.encode())
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)


def _exited(code: object) -> str:
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201 - as Python does when it exits
    number = (code or 0) if code is None or isinstance(code, int) else 1
    return f"it ended without returning, with exit code {number} (does something in it call exit?)"


def _print(error: BaseException) -> None:
    """Print a traceback that begins in the user's code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace))


def _in_words(error: BaseException) -> str:
    if isinstance(error, CafError):
        return str(error)
    lines = "".join(traceback.format_exception_only(error)).splitlines()
    return in_a_sentence(next((line for line in reversed(lines) if line.strip()), type(error).__name__))
