"""`workflow.schedules`: the schedules of one workflow and tenant, for programs that embed the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from playground.engine.code.sources import shown_workflow
from playground.engine.creation import CreateInstance
from playground.engine.cron import SKIP
from playground.engine.engine import Engine
from playground.engine.schedules import Firing, Start
from playground.store.encoding import as_objects
from playground.store.schedules import Schedule
from playground.workflows import values
from playground.workflows.errors import ScheduleNotFound


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule. `next` are its next five firings, none while it is paused; times are epoch milliseconds.

    `last_at` is the time of the last firing, `last_id` the instance that it started, `last_error` why it started none.
    """

    name: str
    workflow: str
    cron: str
    timezone: str
    params: Any
    missed: str
    paused: bool
    next: Sequence[int]
    created_at: int
    last_at: int | None
    last_id: str | None
    last_error: str | None


def status_of_schedule(engine: Engine, schedule: Schedule) -> ScheduleStatus:
    """The state of a schedule by its row."""
    return ScheduleStatus(
        name=schedule.name,
        workflow=shown_workflow(schedule.workflow),
        cron=schedule.cron,
        timezone=schedule.timezone,
        params=values.decode(as_objects(schedule.params)),
        missed=schedule.missed,
        paused=schedule.paused,
        next=engine.schedules.upcoming(schedule),
        created_at=schedule.created_at,
        last_at=schedule.last_at,
        last_id=schedule.last_id,
        last_error=schedule.last_error,
    )


def params_of_schedule(schedule: Schedule) -> Any:
    """What an instance of a schedule is started with."""
    return values.decode(as_objects(schedule.params))


def under_firing(new: CreateInstance, firing: Firing) -> CreateInstance:
    """A new instance as a firing starts it."""
    return replace(new, id=firing.id, trigger=firing.trigger, limits={**(new.limits or {}), **firing.limits})


def starts_of(engine: Engine) -> Start:
    """What starts the instances of a dispatcher's schedules."""

    async def start(schedule: Schedule, firing: Firing) -> str:
        new = CreateInstance(
            None, params=params_of_schedule(schedule), tenant=schedule.tenant, workflow=schedule.workflow,
            metadata=values.decode(as_objects(schedule.metadata)),
        )  # fmt: skip
        return (await engine.create(under_firing(new, firing))).id

    return start


class WorkflowSchedules:
    """The schedules of one workflow and tenant. A name is the tenant's, whichever workflow it is of."""

    def __init__(self, engine: Engine, tenant: str, workflow: str, metadata: Mapping[str, Any]) -> None:
        self._engine, self._tenant, self._workflow, self._metadata = engine, tenant, workflow, metadata

    async def put(
        self, name: str, cron: str, *, timezone: str = "UTC", params: Any = None, missed: str = SKIP,
        paused: bool = False,
    ) -> ScheduleStatus:  # fmt: skip
        """Add a schedule, or replace the one of this name.

        Args:
            cron: minute, hour, day, month and weekday, as in `"0 9 * * MON"`.
            timezone: in which it is read, such as "Europe/Berlin".
            missed: what is done about firings that no server made: `skip`, `once` or `all`.

        Raises:
            InvalidName, InvalidSchedule, NotSerialisable, TooLarge: an input can't be used.
            SchedulesFull: the tenant has as many as it may.
        """
        schedule, _ = await self._engine.schedules.put(
            self._tenant, name, self._workflow, cron, timezone, params, missed, paused=paused,
            metadata=values.encode(dict(self._metadata)),
        )  # fmt: skip
        return self._status(schedule)

    async def get(self, name: str) -> ScheduleStatus:
        """A schedule. Raises ScheduleNotFound, as all of these do."""
        return self._status(await self._find(name))

    async def list(self) -> Sequence[ScheduleStatus]:
        """The schedules of this workflow, by name."""
        found = await self._engine.schedules.of_tenant(self._tenant)
        return [self._status(schedule) for schedule in found if schedule.workflow == self._workflow]

    async def pause(self, name: str) -> ScheduleStatus:
        """Fire no more until it is resumed."""
        await self._find(name)
        return self._status(await self._engine.schedules.pause(self._tenant, name))

    async def resume(self, name: str) -> ScheduleStatus:
        """Go on with the next time; what would have fired meanwhile was not missed."""
        await self._find(name)
        return self._status(await self._engine.schedules.pause(self._tenant, name, paused=False))

    async def run(self, name: str) -> str:
        """Start an instance at once; returns its id."""
        await self._find(name)
        return await self._engine.schedules.run_now(self._tenant, name)

    async def delete(self, name: str) -> None:
        """Delete a schedule; instances that it has started stay."""
        await self._find(name)
        await self._engine.schedules.delete(self._tenant, name)

    async def _find(self, name: str) -> Schedule:
        found = await self._engine.schedules.get(self._tenant, name)
        if found.workflow != self._workflow:
            raise ScheduleNotFound(f'There is no schedule "{name[:80]}" of this workflow.')
        return found

    def _status(self, schedule: Schedule) -> ScheduleStatus:
        return status_of_schedule(self._engine, schedule)
