"""Every code block of the documentation works as it is shown: one test a page (rules in ``pages.py``)."""

import importlib.util
import sys
from pathlib import Path

import pytest

from fakes.cluster import Cluster

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# Test folders are no packages, so the helper is imported by its file.
_spec = importlib.util.spec_from_file_location("documentation_pages", HERE / "pages.py")
pages = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = pages
_spec.loader.exec_module(pages)

SLOW = {
    "tutorial/muon-scale.md",
    *(f"how-to/{name}.md" for name in ("from-ilcdirac", "operate-the-service", "write-a-plan")),
    *(f"how-to/{name}.md" for name in ("debug-a-failed-job", "dependencies", "restart")),
    *(f"how-to/write-a-{name}.md" for name in ("backend", "strategy")),
    *(f"how-to/use-{name}.md" for name in ("pbs", "lsf")),
}
FAKES = {"how-to/use-pbs.md": "fakes.pbs:OpenPBS", "how-to/use-lsf.md": "fakes.lsf:IBM"}
"""Pages that need a scheduler, and the fake one on which they are executed here."""
REAL = {"how-to/use-slurm.md", "how-to/use-htcondor.md"}
"""Pages that tests/clusters executes on real schedulers."""
PAGES = [page for page in [ROOT / "README.md", *pages.pages()] if any(b.executed for b in pages.blocks(page))]


def name(page):
    return str(page.relative_to(ROOT / "docs")) if page.is_relative_to(ROOT / "docs") else page.name


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name(page), marks=[pytest.mark.slow] * (name(page) in SLOW))
        for page in PAGES
        if name(page) not in REAL
    ],
)
def test_blocks_of_page_work(page, tmp_path):
    (tmp_path / "page").mkdir()
    if name(page) not in FAKES:
        pages.execute(page, tmp_path / "page", {})
        return
    with Cluster(FAKES[name(page)], tmp_path / "cluster") as cluster:
        pages.execute(page, tmp_path / "page", cluster.environment)


def test_few_blocks_are_left_alone():
    """Each has its reason; a page that cannot be tried is not to be believed."""
    skipped = [block for page in pages.pages() for block in pages.blocks(page) if block.skipped]
    assert all(len(block.skipped) > 10 for block in skipped)
    executed = [block for page in PAGES for block in pages.blocks(page) if block.executed]
    assert len(skipped) <= 0.1 * len(executed)


def test_shell_blocks_are_written_as_console_sessions():
    """Blocks in other languages would not be executed, so commands and Python must not hide there."""
    for page in [ROOT / "README.md", *pages.pages()]:
        for block in pages.blocks(page):
            assert block.language not in {"sh", "shell", "bash", "py", "python3", ""}, (
                f"{block}: {block.language!r}"
            )


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a b"], "a b\n", True),
        (["a b"], "a c\n", False),
        (["took ... s"], "took 1.25 s\n", True),
        (["first", "...", "last"], "first\nlast\n", True),
        (["first", "...", "last"], "first\nx\ny\nlast\n", True),
        (["first", "...", "last"], "first\nx\nlost\n", False),
        (["first", "..."], "first\n", True),
        (["...", "last"], "x\nlast\n", True),
        (["...", "last"], "last\n", True),
        (["...", "last"], "last\nmore\n", False),
        ([], "anything\n", True),
    ],
)
def test_dots_stand_for_anything(expected, printed, same):
    assert pages.agrees(expected, printed) is same
