"""One line on a terminal that shows how far a long command is: a bar, the share, the rate and the time left.

Where the output is no terminal, a plain line every `LOG_SECONDS`, so that a log stays readable. Rate and time left are
those of the current stage, since stages differ.
"""

from collections.abc import Callable
from typing import TextIO

BAR_WIDTH = 24
SHOW_SECONDS = 0.2  # between two states on a terminal
LOG_SECONDS = 10.0


class ProgressLine:
    """See above.

    Args:
        now: seconds that only grow.
    """

    def __init__(self, out: TextIO, now: Callable[[], float]) -> None:
        self._out, self._now, self._is_terminal = out, now, out.isatty()
        self._shown_at: float | None = None
        self._stage, self._since, self._done_before = "", 0.0, 0
        self._width = 0

    def show(self, what: str, done: int, total: int, unit: str = "rows") -> None:
        """Show that so many of the total are done, if it is time for it."""
        now, stage = self._now(), what.partition(" ")[0]
        if stage != self._stage:
            self._stage, self._since, self._done_before = stage, now, done
        wait = SHOW_SECONDS if self._is_terminal else LOG_SECONDS
        if done < total and self._shown_at is not None and now - self._shown_at < wait:
            return
        self._shown_at = now
        rate = (done - self._done_before) / (now - self._since) if now > self._since else 0.0
        share = min(done / total, 1.0) if total else 1.0
        text = f"{share:4.0%} {what}, {done:,} of {total:,} {unit}"
        if rate:
            text += f", {rate:,.0f}/s, {_duration(max(total - done, 0) / rate)} left"
        if self._is_terminal:
            full = round(share * BAR_WIDTH)
            text = f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {text}"
            self._out.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._out.write(text + "\n")
        self._out.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal and self._width:
            self._out.write("\n")
            self._out.flush()
            self._width = 0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
