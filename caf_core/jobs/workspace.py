"""The folder in which an attempt works: made, filled, searched for outputs; packed with ``node.py``."""

# ruff: noqa: SIM105, PTH101, PTH102, PTH103, PTH108, PTH112, PTH117, PTH118, PTH119, PTH120, PTH123, PTH207, PTH208
# pathlib takes longer to import than all else here together, and os serves as well.

from __future__ import annotations

import os

from caf_core.processes import lean

TYPE_CHECKING = False  # the real one would import typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

INPUT_FILE = "input_files.json"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_BLOCK = 1 << 20  # bytes
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SHELL"),
    *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH"),
    # where credentials lie
    *("KRB5CCNAME", "X509_USER_PROXY", "X509_CERT_DIR", "X509_VOMS_DIR", "BEARER_TOKEN", "BEARER_TOKEN_FILE"),
)
"""The variables of the node that a task sees; all others are hidden from it."""


def environment(spec: dict[str, Any], directory: str) -> dict[str, str]:
    """The whole environment of a task.

    Args:
        spec: Its line of the manifest.
        directory: The submission's directory.
    """
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env.setdefault("PATH", DEFAULT_PATH)
    if "LC_ALL" not in env:
        env.setdefault("LANG", "C.UTF-8")
    for name in THREAD_VARIABLES:
        env[name] = str(spec.get("cpus") or 1)
    env["CAF_TASK"] = str(spec["task"])
    env["CAF_ATTEMPT"] = str(spec["attempt"])
    env["CAF_JOB_DIR"] = directory
    env.update(spec.get("env") or {})
    return env


class Workspace:
    """The working directory of one attempt, with its open log files.

    Args:
        path: The directory; what an interrupted execution left in it is removed.
        spec: The task's line of the manifest.
    """

    def __init__(self, path: str, spec: dict[str, Any]) -> None:
        self.path = path
        self.stdout = -1
        self.stderr = -1
        self._spec = spec
        self._own = {"stdout", "stderr", INPUT_FILE}

    def __enter__(self) -> Workspace:
        """Make the directory and all that the task shall find in it."""
        try:
            os.mkdir(self.path)
        except FileNotFoundError:
            os.makedirs(self.path)
        except FileExistsError:
            import shutil  # slow to import, and seldom needed

            shutil.rmtree(self.path)
            os.mkdir(self.path)
        self.stdout = self._open("stdout")
        self.stderr = self._open("stderr")
        try:
            self._fill()
        except OSError as error:
            os.write(self.stderr, f"caf: {error}\n".encode(errors="backslashreplace"))
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the log files; those in which nothing was written go."""
        for name, log in (("stdout", self.stdout), ("stderr", self.stderr)):
            if os.fstat(log).st_size == 0:
                try:
                    os.unlink(f"{self.path}/{name}")
                except FileNotFoundError:
                    pass  # the task removed it
            os.close(log)

    def collect(self, patterns: Sequence[str]) -> tuple[list[str], str]:
        """What the task left that matches the patterns.

        Returns:
            The sorted paths, relative to the directory; and a sentence if a pattern matches nothing.
        """
        found: set[str] = set()
        for pattern in patterns:
            matches = [path for path in self._glob(pattern) if path not in self._own or path == pattern]
            if not matches:
                there = sorted(set(os.listdir(self.path)) - self._own)
                listing = ", ".join(map(repr, there[:10])) + (", ..." if len(there) > 10 else "")
                return sorted(found), f"no output matches {pattern!r}; there is {listing or 'nothing'}"
            found.update(matches)
        return sorted(found), ""

    def _glob(self, pattern: str) -> list[str]:
        if os.path.isabs(pattern) or ".." in pattern.split("/"):
            return []  # what lies outside is not this attempt's
        if not any(special in pattern for special in "*?["):
            return [pattern] if os.path.lexists(os.path.join(self.path, pattern)) else []
        import glob  # as slow to import as all else here together

        here = os.path.join(glob.escape(self.path), "")
        return [path[len(self.path) + 1 :] for path in glob.glob(here + pattern, recursive=True)]

    def _open(self, name: str) -> int:
        # Appending: the task may truncate or rotate its own log without leaving holes.
        return os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def _fill(self) -> None:
        spec = self._spec
        if spec.get("input_files") and not spec.get("call"):
            self.write_json(INPUT_FILE, spec["input_files"])
        for name, value in (spec.get("json_files") or {}).items():
            self.write_json(name, value)
        for source in spec.get("sandbox") or ():
            target = os.path.join(self.path, os.path.basename(source.rstrip("/")))
            self._own.add(os.path.basename(target))
            if os.path.isdir(source):
                import shutil  # slow to import, and seldom needed

                shutil.copytree(source, target)
            else:
                copy_file(source, target)

    def write_json(self, name: str, value: object) -> None:
        """Write one of the files that the task shall find, and that are no outputs of it."""
        self._own.add(name)
        path = f"{self.path}/{name}"
        if "/" in name:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb", buffering=0) as stream:
            write_all(stream.fileno(), lean.dump_json(value).encode())


def copy_file(source: str, target: str) -> None:
    """Copy a file with its permissions and its time, as ``shutil.copy2`` does."""
    with open(source, "rb", buffering=0) as old, open(target, "wb", buffering=0) as new:
        while block := old.read(_BLOCK):
            write_all(new.fileno(), block)
        state = os.fstat(old.fileno())
    os.chmod(target, state.st_mode & 0o7777)
    os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``; a file system that fills up may take a part of it without complaint."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def is_full(path: str) -> bool:
    """Whether the file system that holds ``path`` has no space or no inode left for a user."""
    state = os.statvfs(path)
    return state.f_bavail == 0 or (state.f_files > 0 and state.f_favail == 0)


_counter = -2


def out_of_memory_count() -> int:
    """How many processes of our control group the kernel has killed for lack of memory, or of the whole
    machine if it does not show us the group."""
    global _counter
    if _counter == -2:
        _counter = _open_counter()
    if _counter == -1:
        return 0
    for line in os.pread(_counter, _BLOCK, 0).splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def _open_counter() -> int:
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as stream:
            groups = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        groups = []
    for _, controllers, path in groups:
        if controllers == "":
            candidate = f"/sys/fs/cgroup{path}/memory.events"
        elif "memory" in controllers.split(","):
            candidate = f"/sys/fs/cgroup/memory{path}/memory.oom_control"
        else:
            continue
        try:
            return os.open(candidate, os.O_RDONLY)
        except OSError:
            continue  # a container may not see its own group
    try:
        return os.open("/proc/vmstat", os.O_RDONLY)
    except OSError:
        return -1
