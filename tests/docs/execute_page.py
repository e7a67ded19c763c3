"""Executes the blocks of one page in the current directory: ``python execute_page.py PAGE``.

A process of its own, so that classes of the page belong to ``__main__``, as they do for a reader.
"""

import contextlib
import doctest
import io
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

import pages

from caf_core.processes import subreaper, tree

TIME_LIMIT = 300
PORT = "8443"


def main() -> int:
    """Execute the page; the first block that goes wrong ends it."""
    page = Path(sys.argv[1])
    # A reader has no configuration yet; the tests were told to look for none.
    if not os.environ.get("CAF_CONFIG"):
        os.environ.pop("CAF_CONFIG", None)
        os.environ["XDG_CONFIG_HOME"] = str(Path.cwd() / "none")
    script = ModuleType("__main__")
    script.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = script
    sys.path[0] = str(Path.cwd())
    # What it has started in the background becomes this process's child, and is ended below.
    subreaper.prctl(subreaper.SET_CHILD_SUBREAPER, 1)
    try:
        return execute_all(page, script)
    finally:
        tree.send(tree.descendants(os.getpid()), signal.SIGKILL)


def execute_all(page: Path, script: ModuleType) -> int:
    """Execute the blocks of a page."""
    port = os.environ.get("CAF_PAGE_PORT", PORT)
    for block in pages.blocks(page):
        block.text = block.text.replace(PORT, port)
        if block.executed:
            begin = time.monotonic()
            problem = execute(block, script)
            print(f"{block}: {problem or 'ok'} ({time.monotonic() - begin:.1f} s)", flush=True)
            if problem:
                return 1
    return 0


def execute(block: pages.Block, script: ModuleType) -> str:
    """Execute a block.

    Returns:
        What went wrong; nothing if it went well.
    """
    if block.caption:
        path = Path(block.caption)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return ""
    if block.language == "console":
        return console(block)
    return doctests(block, script) if block.language == "pycon" else python(block, script)


def python(block: pages.Block, script: ModuleType) -> str:
    """A block of Python, in the page's namespace."""
    try:
        exec(compile("\n" * block.line + block.text, str(block.page), "exec"), script.__dict__)
    except Exception:
        return traceback.format_exc()
    return ""


def doctests(block: pages.Block, script: ModuleType) -> str:
    """An interactive session, in the page's namespace."""
    test = doctest.DocTestParser().get_doctest(block.text, {}, str(block), str(block.page), block.line)
    test.globs = script.__dict__
    said = io.StringIO()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    with contextlib.redirect_stdout(said):
        runner.run(test, out=said.write, clear_globs=False)
    return said.getvalue() if runner.failures else ""


def console(block: pages.Block) -> str:
    """A session with a shell; the environment and the folder are those in which the block before ended."""
    commands = pages.commands(block)
    lines = ["test -f .page-environment && . ./.page-environment"]
    for number, command in enumerate(commands):
        lines += [command.text, f"{{ _code=$?; printf '\\n@@{number} %d\\n' $_code; (exit $_code); }}"]
    lines += ["export -p > .page-environment"]
    done = subprocess.run(
        ["/bin/bash", "-c", "\n".join(lines)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"},
    )
    rest = done.stdout
    for number, command in enumerate(commands):
        printed, mark, rest = rest.partition(f"\n@@{number} ")
        code, _, rest = rest.partition("\n")
        asked = number + 1 < len(commands) and commands[number + 1].text == "echo $?"
        if not mark or (code != "0" and not asked and command.text != "echo $?"):
            return f"$ {command.text}\nended with exit code {code or '?'}:\n{printed}"
        if not pages.agrees(command.expected, printed):
            expected = "\n".join(command.expected)
            return f"$ {command.text}\nprinted:\n{printed}\nand the page says:\n{expected}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
