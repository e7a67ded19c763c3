"""Lines on a terminal that are drawn again and again."""

from collections.abc import Callable
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderResult
from rich.live import Live
from rich.segment import ControlType, Segment

CLEAR = "\r\x1b[2K\x1b[C\x1b[J\r"
"""Clears everything from the line of the cursor on: in two steps, as tmux keeps a screen that is cleared as a
whole in its history."""
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"
"""Whether the terminal cuts lines that are too long for it, or breaks them."""


class Redrawn(Live):
    """A live display that leaves nothing behind on a terminal that changes its size.

    Many terminals break lines that have become too long, and tell their new width later than that, so
    nobody knows how many rows up the first line is. The cursor therefore waits at the begin of
    the first line, where terminals keep it, and everything below belongs to the display.

    Args:
        draw: Gives what is to be seen now.
        console: The terminal.
        settings: As for ``Live``.
    """

    def __init__(self, draw: Callable[[], RenderableType], console: Console, **settings: Any) -> None:
        self._lines = 0
        super().__init__(get_renderable=lambda: _Counted(draw(), self), console=console, **settings)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """See ``Live``: what is printed comes above what is drawn."""
        if not self.console.is_interactive:
            return super().process_renderables(renderables)
        drawn = super().process_renderables([])[-1]
        return [_Code(lambda: CLEAR), *renderables, _Code(lambda: _CUT), drawn, _Code(self._back)]

    def _back(self) -> str:
        """Goes back to the first line; after the last drawing the cursor stays below."""
        up = min(self._lines, self.console.height) - 1
        return f"{_WRAP}\r" + (f"\x1b[{up}A" if up > 0 and self.is_started else "")


class _Counted:
    """Something that is drawn, and tells of how many lines it is made."""

    def __init__(self, drawn: RenderableType, owner: Redrawn) -> None:
        self._drawn = drawn
        self._owner = owner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._drawn, options, pad=False)
        self._owner._lines = len(lines)
        for line in lines:
            yield from line
            yield Segment.line()


class _Code:
    """What a terminal obeys, known when it is written."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        # With a list of what it does, it takes no cells.
        yield Segment(self._text(), None, [(ControlType.CARRIAGE_RETURN,)])
