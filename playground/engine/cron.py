"""When a cron expression fires, in a time zone: what `cronsim` says, within our limits.

Five fields, so that nothing fires more than once a minute. Where clocks change, it follows Debian's cron: a job at a
fixed time that the change leaves out runs right after it, and one in the hour that comes twice runs once; a job of
every so many minutes, or of every hour, goes by the time that passes. (cronsim, not croniter: it is typed, needs
nothing else, does this, and is what a service of its author's stands on.)
"""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from playground.workflows.errors import InvalidSchedule

EXAMPLE = "0 9 * * MON"
FIELDS = 5
EXPRESSION_LENGTH = 120
INTERVALS_CHECKED = 100  # of firings to come, for the shortest interval
SKIP, ONCE, ALL = "skip", "once", "all"
MISSED = (SKIP, ONCE, ALL)
MISSED_AFTER_MS = 60_000  # a firing that comes later than this was missed
MISSED_MOST = 100  # of a schedule that are made up for; of more, the latest
SECOND_MS = 1_000

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}\Z")


class Cron:
    """A cron expression in a time zone.

    Raises:
        InvalidSchedule: it is none, or never fires; the message says what it takes.
    """

    def __init__(self, expression: object, timezone: object) -> None:
        if not isinstance(timezone, str) or not _ZONE.match(timezone):
            raise InvalidSchedule('`timezone` takes the name of a time zone, such as "Europe/Berlin" or "UTC".')
        try:
            self._zone = ZoneInfo(timezone)
        except (OSError, ValueError, KeyError):
            raise InvalidSchedule(f'There is no time zone "{timezone}"; one is "Europe/Berlin".') from None
        if not isinstance(expression, str) or len(expression) > EXPRESSION_LENGTH:
            raise InvalidSchedule(
                f'`cron` takes text of at most {EXPRESSION_LENGTH} characters, such as "0 9 * * MON".'
            )
        if len(expression.split()) != FIELDS:
            raise InvalidSchedule(
                '`cron` takes five fields: minute, hour, day, month and weekday, as in "0 9 * * MON".'
            )
        self._expression = expression
        self.after(0)

    def after(self, at: int) -> int:
        """The first firing after a time, in epoch milliseconds. Raises InvalidSchedule where there is none."""
        for found in self._times(at):
            return found
        raise InvalidSchedule(f'"{self._expression}" never fires: there is no such day.')

    def upcoming(self, at: int, count: int) -> list[int]:
        """The next firings after a time."""
        return list(islice(self._times(at), count))

    def due(self, next_at: int, now: int, missed: str) -> list[int]:
        """The firings to make now, in order, of those from `next_at` on: what is on time, and by the policy what was
        missed.
        """
        late_until = now - MISSED_AFTER_MS
        on_time = []
        for found in self._times(max(next_at - SECOND_MS, late_until)):
            if found > now:
                break
            on_time.append(found)
        if missed == SKIP:
            return on_time
        late: list[int] = []
        for found in islice(self._times(late_until + SECOND_MS, reverse=True), 1 if missed == ONCE else MISSED_MOST):
            if found < next_at:
                break
            if found <= late_until:
                late.append(found)
        return [*reversed(late), *on_time]

    def shortest_interval_ms(self, at: int) -> int:
        """The shortest time between two of the next firings."""
        times = self.upcoming(at, INTERVALS_CHECKED)
        return min((after - before for before, after in pairwise(times)), default=2**53)

    def _times(self, at: int, *, reverse: bool = False) -> Iterator[int]:
        try:
            for found in CronSim(
                self._expression, datetime.fromtimestamp(at // SECOND_MS, self._zone), reverse=reverse
            ):
                yield round(found.timestamp()) * SECOND_MS
        except (CronSimError, AssertionError, ValueError, OverflowError) as error:
            what = str(error) or "it can't be read"
            raise InvalidSchedule(
                f'"{self._expression}" is no cron expression: {what}. One is "0 9 * * MON".'
            ) from None
