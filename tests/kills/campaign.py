"""Rounds of two calibrations that are killed once, at a random moment, and come to their end all the same."""

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import victims
from attrs import define, field, frozen

PROGRAM = Path(__file__).with_name("program.py")
FILES = 4
STARTS = 3
"""How often a round is started at most; one kill needs two."""


@define
class Outcome:
    """What came of one round.

    Args:
        kind: What was killed.
        number: Of the round.
        struck: Whether there was something to kill.
        repeated: How many executions there were besides those of the undisturbed run.
        faults: What may never be: word -> how often.
        words: What was said, if there are faults.
    """

    kind: str
    number: int
    struck: bool = False
    repeated: int = 0
    faults: Counter[str] = field(factory=Counter)
    words: str = ""


FAULTS = ("lost", "too often", "wrong", "hangs", "failed")
"""Lost: a piece of work was never done. Too often: it was done again though it was not executing when it was
killed. Wrong: other payloads. Failed: the program did not succeed, although attempts were left."""


@frozen
class Place:
    """The folders of one round."""

    base: Path

    @property
    def output(self) -> Path:
        return self.base / "out"

    @property
    def counts(self) -> Path:
        return self.base / "counts"

    def start(self, numbers: Path) -> "subprocess.Popen[str]":
        """Start the program in a group of its own."""
        self.counts.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), str(numbers), str(self.counts), str(self.output)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def payloads(self) -> dict[str, bytes]:
        """The payloads that it left."""
        folder = self.output / "outputdb"
        names = folder.iterdir() if folder.exists() else ()
        return {path.name: path.read_bytes() for path in names if "provenance" not in path.name}

    def work(self) -> dict[str, list[str]]:
        """What each execution of a piece of work found."""
        return {path.name: path.read_text().split() for path in self.counts.iterdir()}


class Campaign:
    """Compares killed runs with one that nobody disturbed.

    Args:
        base: Where everything lies; what went wrong is kept.
        seed: Of chance.
        timeout: After so long a start counts as hanging [s].
    """

    def __init__(self, base: Path, seed: int, timeout: float = 180.0) -> None:
        self._base, self._seed, self._timeout = base, seed, timeout
        self._numbers = base / "input"
        self._numbers.mkdir(parents=True)
        for run in range(1, FILES + 1):
            (self._numbers / f"run{run}.txt").write_text(f"1 {run} {run}.25\n")
        place = Place(base / "undisturbed")
        began = time.monotonic()
        _, errors = (process := place.start(self._numbers)).communicate(timeout=timeout)
        if process.returncode:
            raise RuntimeError(errors)
        self.duration = time.monotonic() - began
        self._payloads, self._work = place.payloads(), place.work()

    def play(self, rounds: int, kinds: list[str], at_once: int = 1) -> Iterator[Outcome]:
        """Play rounds, the kinds in turn; who has seen enough may leave."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                games = [
                    pool.submit(self.one, number, kinds[number % len(kinds)]) for number in range(rounds)
                ]
                yield from (game.result() for game in as_completed(games))
            finally:
                pool.shutdown(cancel_futures=True)

    def one(self, number: int, kind: str) -> Outcome:
        """Play one round: what happens in it depends on the seed, its number and the machine."""
        outcome = Outcome(kind, number)
        place = Place(self._base / f"round-{number}")
        chance = random.Random(f"{self._seed}-{number}")
        for start in range(STARTS):
            process = place.start(self._numbers)
            try:
                if start == 0:
                    outcome.struck = self._strike(process, place, kind, chance)
                _, errors = process.communicate(timeout=self._timeout)
            except subprocess.TimeoutExpired:
                outcome.faults["hangs"] += 1
                victims.clear(process, place.output)
                break
            if process.returncode == 0:
                break
            if process.returncode > 0 or start > 0:
                outcome.faults["failed"] += 1
                outcome.words = errors
                victims.clear(process, place.output)
                break
        self._compare(place, outcome)
        if not outcome.faults:
            shutil.rmtree(place.base)
        return outcome

    def _strike(
        self, process: "subprocess.Popen[str]", place: Place, kind: str, chance: random.Random
    ) -> bool:
        """Kill at a random moment, or as soon as there is something to kill after it.

        Every second time the moment is counted from when there is a resident process: most of a run is over
        before it has anything to do.
        """
        later = chance.random() < 0.5
        while later and process.poll() is None and not victims.resident_of(place.output):
            time.sleep(0.001)
        deadline = time.monotonic() + chance.uniform(0.0, self.duration * (0.7 if later else 1.0))
        while process.poll() is None:
            if time.monotonic() >= deadline and (
                pids := victims.KINDS[kind](process.pid, place.output, chance)
            ):
                victims.kill(pids)
                return True
            time.sleep(0.001)
        return False

    def _compare(self, place: Place, outcome: Outcome) -> None:
        work, faults = place.work(), outcome.faults
        for piece in self._work:
            begun = work.pop(piece, [])
            outcome.repeated += max(len(begun) - 1, 0)
            faults["lost"] += not begun
            faults["too often"] += begun.count("recorded") + max(len(begun) - 2, 0)
        faults["too often"] += sum(map(len, work.values()))  # what the undisturbed run did not do
        faults["too often"] += max(outcome.repeated - victims.MAY_REPEAT.get(outcome.kind, 0), 0)
        faults["wrong"] += place.payloads() != self._payloads
        outcome.faults = Counter({word: number for word, number in faults.items() if number})
