"""Sites without a shared file system: what travels to the nodes, and how the results come home.

Input files get short names in ``travel/`` by links, so that no character in a name can do harm. Each job
returns one folder to ``back/``; when the event log says that it has ended, its attempt is moved to where it
would be on a shared file system, and then its record: as everywhere, whoever sees the record sees the
outputs.
"""

import json
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import define, evolve, field

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Report, SchedulerState, Submission
from caf_core.jobs.detached import CHUNK, FILE, JSON, TREE
from caf_core.jobs.node import read_spec
from caf_core.jobs.pack import start
from caf_core.json_text import exact_json
from caf_htcondor.follow import LOG, Followed
from caf_htcondor.submit_file import Shape

TRAVEL, BACK = "travel", "back"

_NO_PYTHON = 127
_URL = re.compile(r"[a-z][a-z0-9+.-]*://(/[^?]*)")
_SCRIPT = """\
#!/bin/sh
# Executes one task in the folder that HTCondor made for it:  /bin/sh detached.sh POSITION ID
mkdir -p "./$1" || exit 126
{start}
exit 127
"""


def shape_of_transfer(submission: Submission, initialdir: str | None) -> Shape:
    """Write what travels with a submission.

    Args:
        submission: The submission.
        initialdir: Another name for its directory, if HTCondor does not accept its own.
    Raises:
        ConfigurationError: If something that must travel is not there.
        OSError: If the files cannot be written.
    """
    directory = submission.directory
    travel = directory / TRAVEL
    shutil.rmtree(travel, ignore_errors=True)
    travel.mkdir()
    (directory / BACK).mkdir(exist_ok=True)
    search = start(sys.executable, './node.pyz --detached . "$1" "$2"')
    (travel / "detached.sh").write_text(_SCRIPT.format(start=search), encoding="utf-8")
    luggage = _Luggage(travel)
    with (travel / "queue.txt").open("w", encoding="utf-8") as queue:
        for begin in range(0, submission.size, CHUNK):
            name = f"lines-{begin // CHUNK}.jsonl"
            with (travel / name).open("w", encoding="utf-8") as lines:
                for position in range(begin, min(begin + CHUNK, submission.size)):
                    spec = read_spec(str(directory), position)
                    items = luggage.of_task(spec)
                    lines.write(
                        exact_json({"position": position, **spec, "travel": items}, separators=(",", ":"))
                    )
                    lines.write("\n")
                    names = [name, *(item[0] for item in items)]
                    queue.write(", ".join(f"../{TRAVEL}/{one}" for one in names) + "\n")
    return Shape(
        initialdir=f"{initialdir}/{BACK}" if initialdir else BACK,
        log=f"../{LOG}",
        lines=(
            "should_transfer_files = YES",
            "when_to_transfer_output = ON_EXIT",
            f"transfer_input_files = ../{TRAVEL}/detached.sh, ../node.pyz, $(caf_files)",
            "transfer_output_files = $(Process)",
        ),
        script="exec /bin/sh ./detached.sh $(Process) $(Cluster).$(Process)",
        queue=f"queue caf_files from {TRAVEL}/queue.txt",
    )


@define
class _Luggage:
    """What travels with the tasks of a submission, each thing once under a short name."""

    folder: Path
    _names: dict[str, tuple[str, str, str] | None] = field(factory=dict)
    _packed: int = 0

    def of_task(self, spec: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """What a task needs: (name in the folder, path, kind)."""
        items = [self._needed(path) for path in spec.get("sandbox") or ()]
        for path in spec.get("input_files") or ():
            local = _local(path)
            if local is not None:
                items.append(self._needed(local))
        named = [spec.get("call") and spec["call"].get("arguments"), spec.get("json_files")]
        named += [self._content(item) for item in items if item[2] == JSON]
        items += [item for text in _texts(named) if (item := self._if_there(text)) is not None]
        return list(dict.fromkeys(items))

    def _needed(self, path: str) -> tuple[str, str, str]:
        item = self._names.get(path)
        if item is None:
            source = Path(path)
            if not source.exists():
                raise ConfigurationError(f"{path} shall travel to the node, but it is not there.")
            item = self._names[path] = self._pack(source)
        return item

    def _if_there(self, text: str) -> tuple[str, str, str] | None:
        """A path or URL that a task's call names, if it is a file or a folder with conditions."""
        path = _local(text)
        if path is None:
            return None
        if path not in self._names:
            source = Path(path)
            travels = source.is_file() or (source / "database.txt").is_file()
            self._names[path] = self._pack(source) if travels else None
        return self._names[path]

    def _pack(self, source: Path) -> tuple[str, str, str]:
        number, self._packed = self._packed, self._packed + 1
        if source.is_dir():
            name = f"d{number}.tar"
            with tarfile.open(self.folder / name, "w") as archive:
                archive.add(source, ".")
            return name, str(source), TREE
        name = f"f{number}"
        (self.folder / name).symlink_to(source.absolute())
        # caf's own description of the conditions names their files.
        return name, str(source), JSON if source.name == "conditions.json" else FILE

    def _content(self, item: tuple[str, str, str]) -> Any:
        return json.loads(Path(item[1]).read_bytes())


def _local(text: str) -> str | None:
    """The absolute path in a path or URL."""
    url = _URL.match(text)
    path = unquote(url[1]) if url else text
    return path.rstrip("/") if path.startswith("/") and "\0" not in path and len(path) < 4096 else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def bring_home(directory: Path, position: int) -> bool:
    """Move what a job returned to its place, and its record last.

    Returns:
        Whether its record is there.
    Raises:
        OSError: If it cannot be moved.
    """
    returned = directory / BACK / str(position)
    record = directory / "records" / f"{position}.json"
    came = returned / "record.json"
    if not record.parent.exists():
        return True  # the submission is over: this is a copy that came late, and whose outputs are not wanted
    if record.exists() or not came.exists():
        return record.exists()
    spec = read_spec(str(directory), position)
    source = returned / f"attempt-{spec['attempt']}"
    target = Path(spec["output_dir"]) / source.name
    if source.exists():
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    # From another file system it is copied, so not under its final name.
    scratch = record.with_name(f".{position}.home")
    shutil.move(came, scratch)
    scratch.rename(record)
    returned.rmdir()
    return True


@define
class Courier:
    """Brings home what ended tasks returned."""

    _travels: dict[Path, bool] = field(factory=dict)

    def home(self, reports: Mapping[str, Report], followed: Followed) -> Mapping[str, Report]:
        """Bring home what belongs to the tasks that have ended.

        Returns:
            The reports; a task whose results could not be moved has not ended yet.
        """
        changed: dict[str, Report] = {}
        for one, report in reports.items():
            if report.state is not SchedulerState.ENDED:
                continue
            cluster, _, proc = one.partition(".")
            directory = followed.directory(int(cluster))
            if directory is None or not self.travels(directory):
                continue
            try:
                there = bring_home(directory, int(proc))
            except (OSError, ValueError, LookupError) as error:
                words = f"what the task returned cannot be moved to its place: {error}"
                changed[one] = evolve(report, state=SchedulerState.UNKNOWN, reason=words)
            else:
                if not there and report.exit_code == _NO_PYTHON:
                    words = f"no Python 3.9 or later was found on {report.host or 'the node'}"
                    changed[one] = evolve(report, reason=words, failure="submission")
        return {**reports, **changed} if changed else reports

    def travels(self, directory: Path | None) -> bool:
        """Whether the files of a submission travel."""
        if directory is None:
            return False
        if directory not in self._travels:
            self._travels[directory] = (directory / BACK).is_dir()
        return self._travels[directory]
