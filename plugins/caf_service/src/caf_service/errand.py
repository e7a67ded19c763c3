"""What a worker has fetched for the whole calibration: its share, settings, files, and the plan."""

from collections.abc import Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

from attrs import frozen

from caf_core.errors import ConfigurationError
from caf_service.input_roots import Roots
from caf_service.patience import Patience
from caf_service.plan import Plan, Position, Slice, Work
from caf_service.plans import load_plan
from caf_service.transport import Transport, UnreachableError, quoted


@frozen
class Errand:
    """What stays the same in all steps.

    Args:
        plan: The plan.
        worker: The worker's number.
        workers: How many there are.
        settings: The settings of the calibration.
        share: Sample -> parts of files.
        inputs: Files that the calibration brought: name -> path here.
        heartbeat: How often a sign of life is wanted [s].
        roots: Where input files of users lie.
    """

    plan: Plan
    worker: int
    workers: int
    settings: Mapping[str, Any]
    share: Mapping[str, Sequence[Slice]]
    inputs: Mapping[str, Path]
    heartbeat: float
    roots: Sequence[str] = ()

    @classmethod
    def fetch(cls, transport: Transport, patience: Patience, directory: Path) -> "Errand":
        """Ask the service for everything, once.

        Args:
            transport: The way to the service.
            patience: How long it may be away.
            directory: Where files are put.
        Raises:
            ConfigurationError: If the plan is not here, or is here in another version.
        """
        told = patience.ask(lambda: transport.get("/worker/inputs"))
        plan = load_plan(told["plan"], told["reference"])
        if plan.version != told["version"]:
            raise ConfigurationError(
                f"the plan {plan.name!r} is here in version {plan.version}, and the calibration was begun "
                f"with {told['version']}; install that version where the workers are executed."
            )
        directory.mkdir(parents=True, exist_ok=True)
        inputs = {
            file["name"]: _fetched(transport, patience, file, directory / f"{number}{_suffix(file['name'])}")
            for number, file in enumerate(told["files"])
        }
        share = {
            sample: tuple(Slice(one["file"], one["first"], one["count"]) for one in slices)
            for sample, slices in told["share"].items()
        }
        return cls(
            plan,
            told["worker"],
            told["workers"],
            told["settings"],
            share,
            inputs,
            float(told.get("heartbeat") or 30.0),
            told.get("roots", ()),
        )

    def work(self, told: Mapping[str, Any], directory: Path) -> Work:
        """What is to be done in the step that the service tells of.

        Raises:
            ConfigurationError: If an input file leads elsewhere by now.
        """
        slices = self.share.get(told["sample"], ())
        roots = Roots(self.roots)
        if betrayed := [one.file for one in slices if roots.betrayed(one.file)]:
            raise ConfigurationError(
                f"the input file {betrayed[0]!r} leads elsewhere by now, which is not allowed."
            )
        position = Position(told["stage_index"], told["phase_index"], told["step"], told["serial"])
        return Work(
            position=position,
            stage=told["stage"],
            phase=told["phase"],
            parameters=told["parameters"],
            settings=self.settings,
            slices=slices,
            worker=self.worker,
            workers=self.workers,
            directory=directory,
            inputs=self.inputs,
        )


def _fetched(transport: Transport, patience: Patience, file: Mapping[str, Any], target: Path) -> Path:
    def get() -> Path:
        transport.get_file(f"/worker/files{quoted(file['name'])}", target)
        if digest(target) != file["sha256"]:
            raise UnreachableError(f"the file {file['name']!r} did not arrive as it was sent")
        return target

    return patience.ask(get)


def _suffix(name: str) -> str:
    """The suffix of a name, which may tell a plan what the file is; nothing else of it becomes a path."""
    suffix = Path(name).suffix
    return suffix if suffix[1:].isalnum() and len(suffix) <= 16 else ""


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
