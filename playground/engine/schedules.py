"""Schedules: instances that are started by the clock.

A firing happens once, whichever node makes it and whatever dies: the instance's id is made of the schedule's name and
the firing's time, so that a second try finds it taken. A node takes the schedules that are due for `LEASE_MS`, starts
their instances, and then writes when each fires next; if it dies in between, another takes them up. A timer wakes it
at the next firing of all; what other nodes have changed is read every `POLL_SECONDS`, by the loop's own clock, since no
run waits for it.

What should have fired while no server ran, or more than a minute ago, was missed: by the schedule's policy it is left
out, made up for once, or each of them is (`cron.MISSED_MOST` at most).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from playground.engine.clock import Clock
from playground.engine.cron import MISSED, SKIP, Cron
from playground.engine.execution.context import Log
from playground.engine.ids import Ids
from playground.engine.looks import Looks
from playground.settings import Settings
from playground.store.encoding import encode_input
from playground.store.protocol import Store
from playground.store.schedules import Schedule
from playground.workflows import names
from playground.workflows.errors import (
    Busy,
    InstanceAlreadyExists,
    InvalidSchedule,
    ScheduleNotFound,
    SchedulesFull,
    WorkflowError,
)

LEASE_MS = 10_000
POLL_SECONDS = 5.0
AT_ONCE = 100  # schedules taken at once
UPCOMING = 5  # firings that an answer shows
ERROR_SHOWN = 500  # characters of the last error that are kept


class Firing(NamedTuple):
    """What starts an instance of a schedule. `id` None: it was asked for by hand, and gets a random one."""

    id: str | None
    trigger: Mapping[str, Any]
    limits: Mapping[str, Any]


# Creates the instance of a firing; returns its id.
Start = Callable[[Schedule, Firing], Awaitable[str]]


def scheduled(schedule: Schedule, at: int, *, by_hand: bool = False) -> Firing:
    """The firing of a schedule at a time. `event.schedule` of the instance is what its limits keep under that name."""
    time = datetime.fromtimestamp(at // 1_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    told = {"cron": schedule.cron, "scheduledTime": at}
    trigger = {"kind": "schedule", "schedule": schedule.name, **told}
    return Firing(None if by_hand else f"{schedule.name}-{time}", trigger, {"schedule": told})


def next_firing(cron: str, now: int) -> Mapping[str, Any]:
    """The limits of an instance that stands for the next firing of a cron expression, in UTC, without a schedule: of
    code that is tried out. Raises InvalidSchedule.
    """
    return {"schedule": {"cron": cron, "scheduledTime": Cron(cron, "UTC").after(now)}}


class Schedules:
    """The schedules of a store, and one node's part in firing them."""

    def __init__(self, store: Store, clock: Clock, settings: Settings, ids: Ids, log: Log) -> None:
        self._store, self._clock, self._settings, self._ids, self._log = store, clock, settings, ids, log
        self._starts: dict[str, Start] = {}
        self._looks = Looks(clock, self._look, self._on_failure)
        self._poll: asyncio.TimerHandle | None = None

    def register(self, workflow: str, start: Start) -> None:
        """Have `start` create the instances of a workflow's schedules, and of those whose name begins with it and /."""
        self._starts[workflow] = start
        self._looks.wake()

    def begin(self) -> None:
        """Fire from now on."""
        self._looks.start()

    async def stop(self) -> None:
        """Fire no more. What is under way is taken up by another node, or at the next start."""
        await self._looks.stop()
        if self._poll is not None:
            self._poll.cancel()

    @property
    def at_rest(self) -> bool:
        """Whether only time makes it do something."""
        return self._looks.at_rest

    # What people do.

    async def put(
        self, tenant: str, name: str, workflow: str, cron: str, timezone: str = "UTC", params: Any = None,
        missed: str = SKIP, *, paused: bool = False, metadata: Any = None,
    ) -> tuple[Schedule, bool]:  # fmt: skip
        """Add or replace a schedule; also says whether it is new. From now on it fires at its next time.

        Raises:
            InvalidName: its name can't be used.
            InvalidSchedule: the expression, the zone or the policy makes no sense, or it fires too often.
            NotSerialisable, TooLarge: the params can't be stored.
            SchedulesFull: the tenant has as many as it may.
        """
        names.check_name(name, "schedule")
        if missed not in MISSED:
            raise InvalidSchedule(f"`missed` takes {', '.join(MISSED[:-1])} or {MISSED[-1]}.")
        now, expression = self._clock.now(), Cron(cron, timezone)
        least = self._settings.schedule_seconds
        if expression.shortest_interval_ms(now) < least * 1_000:
            raise InvalidSchedule(
                f'"{cron}" fires more than once in {least:,} s, the shortest there is.', setting="schedule_seconds"
            )
        tree = await encode_input(params, "params", self._settings.value_bytes)
        before = await self._store.schedules.get(tenant, name)
        next_at = expression.after(now)
        schedule = Schedule(
            tenant, name, workflow, cron, timezone, tree, metadata, missed, paused, next_at,
            due_at=None if paused else next_at, revision=self._ids.nonces(1)[0], created_at=now,
        )  # fmt: skip
        most = self._settings.schedules_per_tenant
        if not await self._store.schedules.put(schedule, most=most):
            raise SchedulesFull(
                f"This tenant has {most:,} schedules, which is the most. Delete one first.",
                setting="schedules_per_tenant",
            )
        self._looks.wake()
        found = await self.get(tenant, name)
        return found, before is None

    async def get(self, tenant: str, name: str) -> Schedule:
        """A schedule. Raises ScheduleNotFound."""
        found = await self._store.schedules.get(tenant, name)
        if found is None:
            raise ScheduleNotFound(f'There is no schedule "{name[:80]}".')
        return found

    async def of_tenant(self, tenant: str) -> Sequence[Schedule]:
        """A tenant's schedules, by name."""
        return await self._store.schedules.of_tenant(tenant)

    async def pause(self, tenant: str, name: str, *, paused: bool = True) -> Schedule:
        """Stop firing, or go on with the next time; what would have fired meanwhile was not missed.

        Raises ScheduleNotFound.
        """
        schedule = await self.get(tenant, name)
        if schedule.paused != paused:
            next_at = Cron(schedule.cron, schedule.timezone).after(self._clock.now())
            changed = replace(
                schedule, paused=paused, next_at=next_at, due_at=None if paused else next_at,
                revision=self._ids.nonces(1)[0],
            )  # fmt: skip
            await self._store.schedules.put(changed, most=2**31 - 1)
            self._looks.wake()
        return await self.get(tenant, name)

    async def delete(self, tenant: str, name: str) -> None:
        """Delete a schedule; instances that it has started stay. Raises ScheduleNotFound."""
        if not await self._store.schedules.delete(tenant, name):
            raise ScheduleNotFound(f'There is no schedule "{name[:80]}".')

    async def run_now(self, tenant: str, name: str) -> str:
        """Start an instance at once, also of one that is paused; returns its id.

        Raises ScheduleNotFound, and as a create.
        """
        schedule = await self.get(tenant, name)
        start = self._start_of(schedule)
        if start is None:
            raise Busy(f'The program that runs "{schedule.workflow}" is not here. Try again in 1 s.', retry_after=1)
        return await start(schedule, scheduled(schedule, self._clock.now(), by_hand=True))

    def upcoming(self, schedule: Schedule) -> list[int]:
        """The next firings of a schedule; none while it is paused."""
        if schedule.paused:
            return []
        return Cron(schedule.cron, schedule.timezone).upcoming(self._clock.now(), UPCOMING)

    # Firing.

    def _on_failure(self, error: Exception) -> None:
        self._log("scheduler_failed", error=f"{type(error).__name__}: {error}")

    async def _look(self) -> int | None:
        try:
            return await self._fire_due()
        finally:
            if self._poll is not None:
                self._poll.cancel()
            self._poll = asyncio.get_running_loop().call_later(POLL_SECONDS, self._looks.wake)

    async def _fire_due(self) -> int | None:
        """Fire what is due; gives when the next is."""
        store, startable = self._store.schedules, list(self._starts)
        due = await store.next_due(startable)
        while due is not None and due <= (now := self._clock.now()):
            taken = await store.take_due(at=now, until=now + LEASE_MS, limit=AT_ONCE, startable=startable)
            done = await asyncio.gather(*(self._fire(schedule, now) for schedule in taken))
            await store.fired([schedule for schedule in done if schedule is not None])
            due = await store.next_due(startable)
            if len(taken) < AT_ONCE:
                break
        return due

    async def _fire(self, schedule: Schedule, now: int) -> Schedule | None:
        """Start what a schedule has to start now; returns what is to be written of it, None where it is tried again."""
        start = self._start_of(schedule)
        assert start is not None and schedule.next_at is not None, "only what is due and can be started is taken"
        try:
            cron = Cron(schedule.cron, schedule.timezone)
            done = schedule
            for at in cron.due(schedule.next_at, now, schedule.missed):
                done = await self._start_one(start, done, at)
            next_at = cron.after(now)
        except Busy:
            return None  # its lease brings it back
        except InvalidSchedule as error:  # its time zone is not known here any more
            done, next_at = replace(schedule, last_error=error.message[:ERROR_SHOWN]), now + LEASE_MS
        return replace(done, next_at=next_at, due_at=next_at)

    async def _start_one(self, start: Start, schedule: Schedule, at: int) -> Schedule:
        firing = scheduled(schedule, at)
        try:
            with suppress(InstanceAlreadyExists):  # by a node that died then
                await start(schedule, firing)
        except Busy:
            raise
        except WorkflowError as error:
            self._log("schedule_failed", tenant=schedule.tenant, schedule=schedule.name, error=error.message)
            return replace(schedule, last_at=at, last_id=None, last_error=error.message[:ERROR_SHOWN])
        return replace(schedule, last_at=at, last_id=firing.id, last_error=None)

    def _start_of(self, schedule: Schedule) -> Start | None:
        return self._starts.get(schedule.workflow) or self._starts.get(schedule.workflow.partition("/")[0])
