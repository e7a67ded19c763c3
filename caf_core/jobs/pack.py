"""What a batch node needs: ``task.sh``, and ``node.pyz`` with the part of caf that executes there."""

import functools
import importlib.util
import io
import marshal
import shlex
import sys
import zipfile
from pathlib import Path

PACKED = (
    *("jobs/node.py", "jobs/claims.py", "jobs/detached.py", "jobs/workspace.py"),
    *("processes/lean.py", "processes/subreaper.py", "processes/tree.py", "processes/warden.py"),
)
"""The modules in ``node.pyz``; they use the standard library and one another only."""

# Not by the archive's own __main__: what Python imports to find that takes a third as long as the rest. The
# working directory, which Python searches first, may hold a json.py of the user's.
_START = """\
import sys
sys.path[:] = sys.argv[1:2] + [*filter(None, sys.path)]
try:
    from caf_core.jobs.node import main
    main(sys.argv[2:])
except BaseException:
    sys.excepthook(*sys.exc_info())
    sys.exit(125)
"""
_UNCHECKED = (1).to_bytes(
    4, "little"
)  # byte code that is known by its source's hash, which nobody has to check
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can tell: equal sources give equal bytes

_SCRIPT = """\
#!/bin/sh
# Executes one task of the submission in this folder:  /bin/sh task.sh POSITION [SCHEDULER_ID]
case $0 in
    /*) here=${{0%/*}} ;;
    *) here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 127 ;;
esac
position=$1
id=$2
case $id in
    *[!]A-Za-z0-9._:[-]*) id=$(printf %s "$id" | tr -cd 'A-Za-z0-9._:[]-') ;;
esac
{start}
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


_SEARCH = """\
for python in {pythons}; do
    case $("$python" -V 2>&1 </dev/null) in
        "Python 3."[0-8] | "Python 3."[0-8][!0-9]*) ;;
        "Python 3."*) exec "$python" -S -c {start} {arguments} </dev/null ;;
    esac
done
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
    return _SCRIPT.format(start=start(python, '"$here/node.pyz" "$here" "$position" "$id"'))


def start(python: str, arguments: str) -> str:
    """Shell lines that become the node program, or go on if there is no Python that can execute it.

    Args:
        python: The interpreter to try first.
        arguments: Shell text: the path of ``node.pyz``, and the program's arguments.
    """
    pythons = f"{shlex.quote(python)} python3 /usr/local/bin/python3 /usr/bin/python3"
    return _SEARCH.format(pythons=pythons, start=shlex.quote(_START), arguments=arguments)


@functools.cache
def archive() -> bytes:
    """The bytes of ``node.pyz``; equal sources give equal bytes."""
    root = Path(__file__).parents[1]
    sources = {f"caf_core/{name}": (root / name).read_bytes() for name in PACKED}
    sources |= {f"caf_core/{folder}__init__.py": b"" for folder in ("", "jobs/", "processes/")}
    content = io.BytesIO()
    # Not compressed: to import zlib would take longer than to read the rest.
    with zipfile.ZipFile(content, "w") as packed:
        for name, source in sources.items():
            packed.writestr(zipfile.ZipInfo(name, _DATE), source)
            packed.writestr(zipfile.ZipInfo(f"{name}c", _DATE), _byte_code(name, source))
    return content.getvalue()


def _byte_code(name: str, source: bytes) -> bytes:
    """What Python of this version executes at once; any other version takes the source beside it."""
    code = compile(source, name, "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source)
    return head + marshal.dumps(code)
