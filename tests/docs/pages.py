"""Finds the code blocks of a page.

Executed are, page by page, in order, in an empty directory:

- ``python`` blocks, in one interpreter a page;
- ``{code-block}`` directives of any language with a ``:caption:``, which are written to the file that the
  caption names; on pages without directives, blocks behind ``<!-- file: NAME -->`` likewise;
- ``pycon`` blocks, as doctest does;
- ``console`` blocks: what follows ``$`` is executed by a shell, the other lines are what it prints; ``...``
  stands for anything. A command may fail only if ``$ echo $?`` follows.

The port 8443, where a service of a page listens, becomes a free one: pages are tried beside one another. What
a page has started and not ended is ended with it.

Files that a page offers with the role ``{download}`` are in the directory. A block is left alone if
``<!-- not executed: REASON -->`` stands before it. ``text`` and other languages are for reading.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_SKIP = re.compile(r"^\s*<!-- not executed: (?P<reason>.*\S) -->\s*$")
_FILE = re.compile(r"^<!-- file: (?P<name>\S+) -->$")
_DOWNLOAD = re.compile(r"\{download\}`[^`]*<(?P<path>[^>]+)>`")
_EXECUTED = ("python", "pycon", "console")


@dataclass
class Block:
    """One fenced block.

    Args:
        page: The page.
        line: The line of its opening fence, from 1.
        language: What the fence says, such as ``python``.
        text: Its content without options.
        caption: The file that it stands for.
        skipped: Why it is not executed.
    """

    page: Path
    line: int
    language: str
    text: str
    caption: str = ""
    skipped: str = ""

    @property
    def executed(self) -> bool:
        """Whether the tests do something with it."""
        return not self.skipped and bool(self.caption or self.language in _EXECUTED)

    def __str__(self) -> str:
        return f"{self.page.relative_to(DOCS.parent)}:{self.line}"


@dataclass
class Command:
    """One command of a console block with what it shall print."""

    text: str
    expected: list[str] = field(default_factory=list)


def pages() -> list[Path]:
    """Every page of the documentation."""
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    skipped = caption = ""
    for number, line in lines:
        if found := _FILE.match(line):
            caption = found["name"]
            continue
        if found := _SKIP.match(line):
            skipped = found["reason"]
            continue
        opening = _FENCE.match(line)
        if opening is None:
            if line.strip():
                skipped = caption = ""
            continue
        body = []
        for _, inner in lines:
            if inner.strip() == opening["fence"]:
                break
            body.append(inner.removeprefix(opening["indent"]))
        yield _block(page, number, opening["info"].strip(), body, skipped, caption)
        skipped = caption = ""


def _block(page: Path, number: int, info: str, body: list[str], skipped: str, caption: str) -> Block:
    language = info
    directive = re.match(r"\{code-block\}\s*(\S+)", info)
    if directive:
        language = directive[1]
        while body and (option := re.match(r":([a-z-]+):\s*(.*)", body[0])):
            caption = option[2] if option[1] == "caption" else caption
            body.pop(0)
        while body and not body[0].strip():
            body.pop(0)
    return Block(page, number, language, "\n".join(body) + "\n", caption, skipped)


def downloads(page: Path) -> list[Path]:
    """The files that a page offers."""
    return [
        (page.parent / found["path"]).resolve()
        for found in _DOWNLOAD.finditer(page.read_text(encoding="utf-8"))
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a console block; ``>`` continues a command."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        elif line.startswith("> ") and found and not found[-1].expected:
            found[-1].text += "\n" + line[2:]
        elif found:
            found[-1].expected.append(line)
    return found


def agrees(expected: list[str], printed: str) -> bool:
    """Whether what was printed is what the page shows; spaces at the ends of lines, and empty lines at the
    beginning and the end, do not count.
    """
    both = (expected, printed.splitlines())
    want, have = ("\n".join(line.rstrip() for line in lines).strip("\n") for lines in both)
    return not want or _match(want.split("\n"), have.split("\n") if have else [])


def _match(want: list[str], have: list[str]) -> bool:
    """A line of dots alone stands for any number of lines, dots within a line for any part of it."""
    if not want:
        return not have
    if want[0].strip() == "...":
        return any(_match(want[1:], have[skip:]) for skip in range(len(have) + 1))
    pattern = ".*".join(map(re.escape, want[0].split("...")))
    return bool(have) and re.fullmatch(pattern, have[0]) is not None and _match(want[1:], have[1:])


def execute(page: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Execute the blocks of a page in a folder; the first that does not work fails the test.

    Args:
        page: The page.
        folder: An empty folder.
        environment: Variables that are added; the scripts of this environment are found first.
    """
    from ports import free_port  # which only the tests find, and not the process of a page

    for file in downloads(page):
        shutil.copy(file, folder)
    # That of a reader who has no configuration yet.
    kept = {key: value for key, value in os.environ.items() if key not in ("CAF_CONFIG", "PYTEST_ADDOPTS")}
    env = {**kept, **environment, "MPLBACKEND": "Agg", "XDG_CONFIG_HOME": str(folder / "none")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    env["CAF_PAGE_PORT"] = str(free_port())
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("execute_page.py")), str(page)],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)
