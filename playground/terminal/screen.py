"""The terminal: lines that stay, rows that are drawn anew, and JSON lines where nobody looks on.

On a terminal the lines of what has happened scroll by, and under them are the open steps and one row with the status,
drawn anew several times a second. In a pipe, or with `--format json`, each line is one JSON object with its `kind`;
`--format text` prints the lines there too, so that they can be searched. Colours are the terminal's own sixteen, which
are readable on light and dark ones; `NO_COLOR` turns them off, and marks say the same as colours do. Whatever is
printed as text passes `plain` here, wherever it comes from.
"""

import asyncio
import contextlib
import io
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from playground.terminal.narration import BUSY, DONE, FAILED, LOG, NOTE, WARNING, WAY, Line, duration, plain

FRAME_SECONDS = 0.125
OPEN_ROWS = 8  # at most, so that what has happened stays in sight
LABEL_COLUMNS = 28  # of a step's name; a longer one pushes what follows to the right, and is cut at half the width
SPINNER = "dots"

_MARKS: Mapping[str, tuple[str, str, str]] = {  # of each kind of line: the mark, in ASCII, the style
    DONE: ("✓", "+", "green"),
    FAILED: ("✗", "x", "red"),
    NOTE: ("·", "-", "cyan"),
    WARNING: ("!", "!", "yellow"),
    LOG: ("│", "|", "dim"),
    BUSY: ("…", "~", "blue"),
}


class Screen:
    """Where a command writes. `shows_json`: one JSON object a line instead of text.

    Raises nothing for a narrow terminal: lines are cut at its width.
    """

    def __init__(self, out: TextIO, err: TextIO, environment: Mapping[str, str], format: str = "auto") -> None:
        self._out, self._err = out, err
        self.is_terminal = out.isatty()
        self.shows_json = format == "json" or (format == "auto" and not self.is_terminal)
        self.console = Console(file=out, _environ=environment, highlight=False, emoji=False, markup=False)
        self._ascii = not (self.console.encoding or "").lower().startswith("utf")
        self._live: Live | None = None
        self._waiting: list[tuple[Text, bool]] = []  # lines, and whether they may be cut

    def json(self, kind: str, **fields: Any) -> None:
        """Print one JSON line, where that is what is printed."""
        if self.shows_json:
            self._out.write(json.dumps({"kind": kind, **fields}, ensure_ascii=self._ascii) + "\n")
            self._out.flush()

    def lines(self, lines: Sequence[Line]) -> None:
        """Print lines that stay, where text is printed."""
        if not self.shows_json:
            for line in lines:
                self.print(self.text(line), cut=line.kind != WAY)

    def print(self, what: Text | str = "", *, cut: bool = True) -> None:
        """Print a line, where text is what is printed; one that is too long is cut on a terminal, if it may be."""
        if self.shows_json:
            return
        text = Text(plain(what)) if isinstance(what, str) else what
        if not self.is_terminal:
            self._out.write(f"{text}\n")
            self._out.flush()
        elif self._live is None:
            self._write(text, cut=cut)
        else:  # with the next frame, so that a run that prints a lot is drawn as often as any other
            self._waiting.append((text, cut))

    def _write(self, text: Text, *, cut: bool) -> None:
        if cut:
            self.console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            self.console.print(text, soft_wrap=True)

    def _write_waiting(self) -> None:
        """Write what waits for a frame, neighbours together."""
        waiting, self._waiting = self._waiting, []
        for cut, texts in itertools.groupby(waiting, key=lambda it: it[1]):
            self._write(Text("\n").join(text for text, _ in texts), cut=cut)

    def bytes(self, content: bytes) -> None:
        """Print the content of a file as it is, whatever else is printed."""
        self._out.flush()
        self._out.buffer.write(content)
        self._out.buffer.flush()

    def value(self, value: Any) -> None:
        """Print a value whole, as JSON that is laid out for people."""
        if self.shows_json:
            return
        text = json.dumps(value, indent=2, ensure_ascii=self._ascii)
        self.console.print(Text(_visible(text)), soft_wrap=True)

    def error(self, text: str) -> None:
        """Print a sentence on stderr."""
        self._err.write(f"playground: {plain(' '.join(text.split()))}\n")
        self._err.flush()

    def table(self, kind: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], empty: str) -> None:
        """A table with a title for each field, or `empty` where there are no rows; in JSON one line a row."""
        for row in rows:
            self.json(kind, **{name: value for name, value in row.items() if not name.startswith("_")})
        if self.shows_json:
            return
        if not rows:
            self.print(Text(empty, "dim"))
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
        for index, title in enumerate(columns.values()):
            table.add_column(title, no_wrap=True, overflow="ellipsis" if index else "fold")
        for row in rows:
            table.add_row(*(_cell(row.get(f"_{name}", row.get(name))) for name in columns))
        if self.is_terminal:
            self.console.print(table)
        else:
            Console(file=self._out, width=10_000, color_system=None).print(table)

    def text(self, line: Line) -> Text:
        """A line as it looks."""
        if line.kind == WAY:
            return Text(f"      {plain(line.text)}", "bold")
        mark, ascii, style = _MARKS[line.kind]
        found = Text("  ")
        if line.kind == LOG:
            return found.append(f"{ascii if self._ascii else mark} {plain(line.text)}", style)
        found.append(f"{ascii if self._ascii else mark} ", style)
        if line.label:
            found.append(self._padded(line.label) + "  ")
        if line.took_ms is not None:
            found.append(f"{duration(line.took_ms):>8}  ", "dim")
        if line.text:
            found.append(plain(line.text), {FAILED: "red", WARNING: "yellow"}.get(line.kind, ""))
            found.append("  ")
        if line.value:
            found.append(plain(line.value), "dim")
        found.rstrip()
        return found

    def _padded(self, label: str) -> str:
        """A step's name, in its column. East Asian characters are two columns wide."""
        label = plain(label)
        columns = cell_len(label)
        most = max(LABEL_COLUMNS, self.console.width // 2)
        if self.is_terminal and columns > most:
            # In the middle, since names that a loop makes differ at their end.
            head = set_cell_size(label, most - most // 3 - 1).rstrip()
            tail = set_cell_size(label[::-1], most - cell_len(head) - 1)[::-1]
            return head + ("~" if self._ascii else "…") + tail
        return label + " " * (LABEL_COLUMNS - columns)

    @contextlib.asynccontextmanager
    async def drawing(self, rows: Callable[[], Sequence[Line]], status: Callable[[], str]) -> AsyncIterator[None]:
        """Draw the open rows and the status under the lines for as long as this lasts, on a terminal."""
        if self.shows_json or not self.is_terminal or self.console.is_dumb_terminal:
            yield
            return
        spinner = Spinner("line" if self._ascii else SPINNER, style="blue")

        def drawn() -> RenderableType:
            found = list(rows())
            shown = [self._row(spinner, row) for row in found[:OPEN_ROWS]]
            if len(found) > OPEN_ROWS:
                shown.append(Text(f"    and {len(found) - OPEN_ROWS} more", "dim"))
            return Group(*shown, Text(f"  {status()}", "dim", no_wrap=True, overflow="ellipsis"))

        async def draw() -> None:
            while True:
                await asyncio.sleep(FRAME_SECONDS)
                live.update(drawn())
                self._write_waiting()
                live.refresh()

        with Live(drawn(), console=self.console, auto_refresh=False, transient=True) as live:
            self._live = live
            drawer = asyncio.create_task(draw())
            try:
                yield
            finally:
                drawer.cancel()
                self._write_waiting()
                self._live = None

    def _row(self, spinner: Spinner, row: Line) -> RenderableType:
        frame = spinner.render(self.console.get_time())
        assert isinstance(frame, Text), "a spinner without a text is one"
        found = Text("  ", no_wrap=True, overflow="ellipsis")
        found.append_text(frame)
        found.append(" ")
        found.append(self._padded(row.label) + "  ")
        if row.took_ms is not None:
            found.append(f"{duration(row.took_ms):>8}  ", "dim")
        found.append(plain(row.text), "blue")
        return found


def standard_screen(environment: Mapping[str, str], format: str = "auto") -> Screen:
    """The screen of this process. What its encoding lacks is written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return Screen(sys.stdout, sys.stderr, environment, format)


def leave_pipe() -> None:
    """Nobody reads the output any more: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cell(value: Any) -> Text:
    return value if isinstance(value, Text) else Text("" if value is None else plain(str(value)))


def _visible(text: str) -> str:
    """JSON with what a terminal would obey made visible; its own line ends stay."""
    return "\n".join(plain(line) for line in text.split("\n"))
