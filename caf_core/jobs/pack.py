"""What a batch node needs: ``task.sh``, and ``node.pyz`` with the part of caf that executes there."""

import functools
import io
import shlex
import sys
import zipfile
from pathlib import Path

PACKED = (
    *("jobs/node.py", "jobs/detached.py", "jobs/workspace.py"),
    *("processes/subreaper.py", "processes/tree.py", "processes/warden.py"),
)
"""The modules in ``node.pyz``; they use the standard library and one another only."""

_MAIN = "import sys\nfrom caf_core.jobs.node import main\nsys.exit(main(sys.argv[1:]))\n"
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can tell: equal sources give equal bytes

_SCRIPT = """\
#!/bin/sh
# Executes one task of the submission in this folder:  /bin/sh task.sh POSITION [SCHEDULER_ID]
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 127
position=$1
id=$(printf %s "$2" | tr -cd 'A-Za-z0-9._:[]-')
for python in {python} python3 /usr/bin/python3; do
    if "$python" -S -c 'import sys; sys.exit(sys.version_info < (3, 9))' </dev/null >/dev/null 2>&1; then
        exec "$python" -S "$here/node.pyz" "$here" "$position" "$id" </dev/null
    fi
done

# No Python: claim the task and write its record from here.
message='no Python 3.9 or later was found on this node'
echo "caf: $message" >&2
(set -C; printf %s "${{id:-$(uname -n):$$}}" >"$here/claims/$position") 2>/dev/null || exit 127
field() {{
    sed -n "$((position + 1))p" "$here/manifest.jsonl" |
        grep -o "\\"$1\\": *[^,}}]*" | head -n 1 | sed 's/^[^:]*: *//'
}}
now=$(date +%s)
new=$here/records/.$position.$$
cat >"$new" <<END
{{"schema": 1, "token": $(field token), "position": $position, "task": $(field task),
 "attempt": $(field attempt), "scheduler_id": "$id", "host": "$(uname -n)", "pid": $$,
 "started": $now, "ended": $now, "exit_code": 127,
 "signal": null, "failure": "submission", "message": "$message", "peak_memory_mb": 0, "cpu_seconds": 0,
 "outputs": [], "leftovers": 0}}
END
mv "$new" "$here/records/$position.json"
exit 127
"""


def write_node(directory: Path) -> None:
    """Write ``task.sh`` and ``node.pyz`` into the directory of a submission."""
    (directory / "task.sh").write_text(script(sys.executable), encoding="utf-8")
    (directory / "node.pyz").write_bytes(archive())


def script(python: str) -> str:
    """The text of ``task.sh``.

    Args:
        python: The interpreter to try first; the node may see the same file system.
    """
    return _SCRIPT.format(python=shlex.quote(python))


@functools.cache
def archive() -> bytes:
    """The bytes of ``node.pyz``; equal sources give equal bytes."""
    root = Path(__file__).parents[1]
    files = {"__main__.py": _MAIN, "caf_core/__init__.py": ""}
    files |= {f"caf_core/{folder}/__init__.py": "" for folder in ("jobs", "processes")}
    files |= {f"caf_core/{name}": (root / name).read_text(encoding="utf-8") for name in PACKED}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, text in files.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, text)
    return content.getvalue()
