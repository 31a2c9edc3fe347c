"""Follow a run to its end: its journal as lines or as JSON, live, from wherever it was left.

Over a connection that is cut and a server that restarts the client goes on by itself. A local engine may be another
command's, which ends with that command: then this one opens the database itself and goes on from the last event it has
shown. Nothing is shown twice, and nothing before it is committed.
"""

import shlex
import time
from collections.abc import Callable
from typing import Any

import msgspec

from playground.client import ClientError, NotFound, NotReached, Reset, RunOf
from playground.terminal.narration import NOTE, WAY, Line, Narrator, duration, error_text, moment, open_rows, plain
from playground.terminal.outcomes import LOST, OF_STATUS, OK, BadCommand
from playground.terminal.places import Opened, Place, not_reached, opened_place
from playground.terminal.screen import Screen
from playground.web.api.response_types import Event as ShownEvent
from playground.web.api.response_types import Instance
from playground.workflows import events as ev
from playground.workflows.event_rules import OPEN_STATUSES, WAITING
from playground.workflows.events import Event, StepKey

TAKE_OVER_SECONDS = 20.0  # for the command that has the database to be done with it
TAKE_OVERS = 100  # of one command
SHORT_CHARACTERS = 8  # of an id, where they are enough


class Follower:
    """Shows a run. It keeps how far it has come, so that it can go on over another connection.

    `shows_steps`: what happens on the way; otherwise only the end. `now`: epoch milliseconds.
    """

    def __init__(self, place: Place, id: str, screen: Screen, now: Callable[[], int], *, shows_steps: bool) -> None:
        self.place, self.id, self._screen, self._now, self._shows = place, id, screen, now, shows_steps
        self._narrator = Narrator()
        self._began = now()
        self._found: Instance | None = None  # as it was when this first came to a wait

    async def follow(self, opened: Opened) -> int:
        """Follow the run to its end from here; returns the exit status. Raises NotReached, BadCommand."""
        run = opened.run(self.id)
        shows = self._shows
        async with self._screen.drawing(self._rows, self._status):
            async for item in run.stream(after=self._narrator.state.last_seq):
                if isinstance(item, Reset):
                    raise BadCommand(f"the journal of run {self.id} is shorter than before: was its database replaced?")
                event = journal_event(item)
                lines = list(self._narrator.lines(event))
                if shows:
                    self._screen.json("event", **msgspec.to_builtins(item))
                    self._screen.lines([*lines, *await self._hints(run, event)])
        try:
            return self.show_end(await run.get())
        except NotFound:
            raise Lost(f"run {self.id} was deleted") from None

    async def follow_anywhere(self, first: Opened | None = None) -> int:
        """As `follow`; where a local engine ends with its command, with an engine of this command."""
        try:
            if first is not None:
                return await self.follow(first)
        except NotReached:
            if self.place.server:
                raise
        for _ in range(TAKE_OVERS):
            try:
                async with opened_place(self.place, plays=True, seconds=TAKE_OVER_SECONDS) as opened:
                    return await self.follow(opened)
            except NotReached:
                if self.place.server:
                    raise
        raise BadCommand("the local engine ends again and again")

    def show_end(self, shown: Instance) -> int:
        """Show how the run stands, or has ended; returns the exit status."""
        fields = {"status": shown.status, "output": shown.output, "error": shown.error, "rollback": shown.rollback}
        self._screen.json("end", run=shown.id, **fields)
        took = ""
        if shown.started_at is not None and shown.ended_at is not None:
            took = f" in {duration(shown.ended_at - shown.started_at)}"
        workers = len(shown.executions)
        self._screen.print(f"{shown.status}{took}, {workers} worker{'' if workers == 1 else 's'}")
        if shown.error:
            self._screen.print(f"  {error_text(shown.error)}")
        if shown.output is not None:
            self._screen.value(shown.output)
        return OF_STATUS.get(shown.status, OK)

    def _rows(self) -> list[Line]:
        return open_rows(self._narrator.state, self._now()) if self._shows else []

    def _status(self) -> str:
        state = self._narrator.state
        over = sum(step.status not in OPEN_STATUSES for step in state.steps.values())
        held = ""
        if state.status == ev.QUEUED and state.held_until:
            held = f" until {moment(state.held_until, self._now())}"
        since = duration(max(0, self._now() - (state.created_at or self._began)))
        return f"{state.status}{held} · {over} step{'' if over == 1 else 's'} done · {since} · Ctrl-C leaves it"

    async def _hints(self, run: RunOf, event: Event) -> list[Line]:
        """How to do what the run waits for, unless that is over: much of a journal may be of before."""
        if event.type != ev.WAIT_STARTED:
            return []
        if self._found is None:
            try:
                self._found = await run.get()
            except ClientError:  # the stream will say why
                return []
        waiting = {(it.name, it.count) for it in self._found.steps if (it.kind, it.status) == (ev.WAIT, WAITING)}
        if event.seq <= self._found.last_seq and (event.key.name, event.key.count) not in waiting:
            return []
        type = plain(str(event.data.get("event_type", ""))).partition(",")[0]
        id = short_id(self.place, self.id)
        way = f"playground runs send-event {id} {quoted(type)} JSON{self.place.words()}"
        return [Line(NOTE, "", f"waits for event {type}"), Line(WAY, "", way)]


async def run_safely(work: Any, place: Place, id: str) -> int:
    """Follow, and say what to do where that can't go on. Returns the exit status."""
    try:
        return int(await work)
    except NotFound as error:
        if error.code == "instance.not_found":
            raise BadCommand(f"there is no run {id!r} here{hint_of(place)}") from None
        raise
    except NotReached as error:
        raise Lost(f"{not_reached(place, error)} Follow it again with: {follow_words(place, id)}") from None


class Lost(BadCommand):
    """A run that can't be followed any longer."""

    status = LOST


def follow_words(place: Place, id: str) -> str:
    """The command that follows a run again."""
    short = short_id(place, id)
    if place.server:
        return f"playground runs logs --follow {short}{place.words()}"
    return f"playground run --resume {short} --follow{place.words()}"


def short_id(place: Place, id: str) -> str:
    """The beginning of an id that names this run among those that were started from here; else the whole of it."""
    start = id[:SHORT_CHARACTERS]
    if place.tenant:  # whose runs are not all started from here
        return id
    return start if [run.id for run in place.runs.matching(place.key, start)] == [id] else id


def hint_of(place: Place) -> str:
    """Where else a run may be."""
    return (
        f" ({place.shown}); `playground runs list` shows those that were started from here, --server and --database "
        "name another place"
    )


def journal_event(shown: ShownEvent) -> Event:
    """An event of the API as folds take it."""
    step = None if shown.step is msgspec.UNSET else StepKey.from_json(msgspec.to_builtins(shown.step))
    return Event(shown.seq, shown.at, shown.type, shown.execution, step, shown.data)


def quoted(text: str) -> str:
    """A word for a shell."""
    return shlex.quote(text)


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
