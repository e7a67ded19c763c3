"""One program that calibrates on a cluster, its folder, and what is counted in it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

PROGRAMS = Path(__file__).parent / "programs"
SUBMITS = {"htcondor": "condor_submit", "slurm": "sbatch"}
IMPATIENT = {"command_timeout": 8, "poll_interval": 2, "grace": 10}
"""Arguments of the backends that let a test go on soon; the defaults are those of a patient user [s]."""
PATIENCE = 300
"""After this long a program hangs [s]."""


@frozen
class Experiment:
    """A folder in which programs execute, one after the other.

    Args:
        backend: The name of the backend.
        place: The folder.
    """

    backend: str
    place: Path

    @property
    def output(self) -> Path:
        """The output directory of the CAF."""
        return self.place / "out"

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a program: the submit command is watched, and the configuration is impatient."""
        shims = self.place / "bin"
        shims.mkdir(parents=True, exist_ok=True)
        for name in SUBMITS.values():
            if not (shims / name).exists():
                (shims / name).symlink_to(PROGRAMS / "killer.sh")
        if more.get("KILLER_WHEN"):
            (self.place / "armed").touch()
        lines = [
            "[resources]",
            "memory_mb = 200",
            f"[backends.{self.backend}]",
            *(f"{key} = {value}" for key, value in IMPATIENT.items()),
        ]
        config = self.place / "caf.toml"
        config.write_text("\n".join(lines) + "\n" if self.backend in SUBMITS else "")
        return {
            **os.environ,
            "PATH": f"{shims}{os.pathsep}{os.environ['PATH']}",
            "CAF_CONFIG": str(config),
            "KILLER_PLACE": str(self.place),
            "KILLER_WHEN": "",
            **more,
        }

    def start(self, program: str, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
        """Start ``program BACKEND FOLDER ARGUMENTS``."""
        return self._start([PROGRAMS / program, self.backend, self.place, *arguments], environment)

    def submit(self, *words: object, **environment: str) -> "subprocess.Popen[str]":
        """Start ``caf submit`` with these options and command; its output directory is ``out``."""
        caf = ["-m", "caf_core.cli", "submit", "--quiet", "-b", self.backend, "-o", self.output]
        return self._start([*caf, *words], environment)

    def _start(self, words: Sequence[object], environment: Mapping[str, str]) -> "subprocess.Popen[str]":
        more = self.environment(**environment)
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=more,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, program: str, *arguments: object, **environment: str) -> str:
        """Start a program and let it come to its end; what it printed."""
        return ended_well(self.start(program, *arguments, **environment))

    def caf(self, *words: object, ok: bool = True) -> str:
        """Execute a ``caf`` command; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "caf_core.cli", *map(str, words)],
            env=self.environment(),
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def result(self) -> dict[str, bytes]:
        """The payloads and their intervals."""
        files = (self.output / "outputdb").iterdir()
        return {path.name: path.read_bytes() for path in files if "provenance" not in path.name}

    def work(self) -> Counter[str]:
        """How often each piece of work was done."""
        counts = (self.place / "counts").iterdir()
        return Counter({path.name: len(path.read_text().splitlines()) for path in counts})

    def submissions(self) -> int:
        """How often the submit command was called."""
        path = self.place / "submissions"
        return len(path.read_text().splitlines()) if path.exists() else 0


def ended_well(process: "subprocess.Popen[str]") -> str:
    """Wait for a program that must succeed; what it printed."""
    try:
        out, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, errors = process.communicate()
        raise AssertionError(f"it hangs:\n{out}\n{errors}") from None
    assert process.returncode == 0, out + errors
    return out
