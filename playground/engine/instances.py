"""Handles for programs that start and control instances: `Instances` of a workflow, and `WorkflowInstance`.

The names follow Cloudflare's `Workflow` and `WorkflowInstance` bindings, in Python's spelling.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from playground.engine.engine import CreateInstance, Engine
from playground.store.encoding import as_objects
from playground.store.protocol import Refusal
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import (
    CannotRestart,
    InstanceAlreadyExists,
    InstanceExpired,
    InstanceNotFound,
    InvalidBatch,
    WorkflowNotFound,
)
from playground.workflows.events import Event, StepKey

PAGE_OF_EVENTS = 500
LISTED_DEFAULT = 50
LISTED_MOST = 200  # instances of one page of `list`

_CURSOR = re.compile(r"[0-9]{1,18}\Z")


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """The state of an instance.

    `error` is `{name, message, traceback, line}`; `rollback` is None, running, complete or errored.

    Times are epoch milliseconds, None for what has not come: `started_at` is when its first execution began,
    `waiting_until` what it waits for when `status` is waiting (None then: an event without a timeout).
    """

    status: str
    output: Any
    error: Mapping[str, Any] | None
    rollback: str | None
    id: str
    params: Any
    created_at: int
    started_at: int | None
    ended_at: int | None
    waiting_until: int | None


class Page(list[InstanceStatus]):
    """Instances as `list` gives them, newest first; `cursor` goes on after the last, None when there are no more."""

    def __init__(self, found: Sequence[InstanceStatus], cursor: str | None) -> None:
        super().__init__(found)
        self.cursor = cursor


class WorkflowInstance:
    """A handle of one instance; holding it costs nothing."""

    def __init__(self, engine: Engine, tenant: str, id: str) -> None:
        self._engine, self._tenant, self.id = engine, tenant, id

    def __repr__(self) -> str:
        return f"WorkflowInstance({self.id!r})"

    async def status(self) -> InstanceStatus:
        """Its status, params and times, and once it has ended its output or error.

        Raises:
            InstanceNotFound: as all of these do once it is deleted.
            InstanceExpired: the same, of one that was removed when its time was over; it says how it ended.
        """
        return status_of(await self._row())

    async def pause(self) -> None:
        """Start no new step; stop timers and keep what remains of them. No effect on what is paused or has ended."""
        await self._engine.pause(await self._row())

    async def resume(self) -> None:
        """Go on after a pause. No effect otherwise."""
        await self._engine.resume(await self._row())

    async def terminate(self, rollback: bool = False) -> None:
        """End it, with `rollback` after the handlers of its steps. Raises CannotTerminate once it has ended."""
        await self._engine.terminate(await self._row(), rollback=rollback)

    async def restart(self, from_step: Mapping[str, Any] | None = None) -> None:
        """Run it again, from the start or from `{"name", "count": 1, "kind": "do"}`.

        Raises CannotRestart: there is no such step.
        """
        await self._engine.restart(await self._row(), from_step=step_key(from_step))

    async def send_event(self, type: str, payload: Any = None) -> None:
        """Send an event. Raises InvalidEventType, InstanceInFiniteState, NotSerialisable, TooLarge."""
        await self._engine.send_event(await self._row(), type, payload)

    async def delete(self) -> None:
        """Remove it and its journal, whatever it does."""
        await self._engine.delete(await self._row())

    async def _row(self) -> InstanceRow:
        return await self._engine.store.find(self._tenant, self.id)

    async def subscribe(self, cursor: int = 0) -> AsyncIterator[Event]:
        """The journal's events with a seq over `cursor`: those there are, then live ones; ends after the one that ends
        the instance.
        """
        store = self._engine.store
        row = await self._row()
        async with store.subscribe(row.key) as grown:
            while True:
                events = await store.events(row.key, after=cursor, limit=PAGE_OF_EVENTS)
                for event in events:
                    cursor = event.seq
                    yield event
                if len(events) == PAGE_OF_EVENTS:
                    continue
                row = await self._row()
                if row.status in ev.FINAL_STATUSES and row.last_seq <= cursor:
                    return
                await grown(cursor)


def status_of(row: InstanceRow) -> InstanceStatus:
    """The state of an instance by its row."""
    return InstanceStatus(
        status=row.status,
        output=values.decode(as_objects(row.output)) if row.status == ev.COMPLETE else None,
        error=row.error,
        rollback=row.rollback,
        id=row.id,
        params=values.decode(as_objects(row.params)),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        waiting_until=row.wait_until if row.status == ev.WAITING else None,
    )


class Batch(list[WorkflowInstance]):
    """The instances that a `create_batch` made; `refused` are the entries that it left out, each with index, id and
    code.
    """

    def __init__(self, created: Sequence[WorkflowInstance], refused: Sequence[Refusal]) -> None:
        super().__init__(created)
        self.refused = tuple(refused)


class Instances:
    """The instances of one workflow and tenant."""

    def __init__(self, engine: Engine, tenant: str, name: str, metadata: Mapping[str, Any]) -> None:
        self._engine, self._metadata = engine, metadata
        self.tenant, self.name = tenant, name

    async def create(self, id: str | None = None, params: Any = None) -> WorkflowInstance:
        """Start an instance; without an id it gets a random one.

        Raises:
            InstanceAlreadyExists: this tenant has, or had, one of this id; it is left as it is. An id stays used when
            its instance is removed for its age,
                and is free again when it is removed by `delete`.
            InvalidId, NotSerialisable, TooLarge: an input can't be used.
            Busy: the tenant has too many queued.
        """
        row = await self._engine.create(replace(await self.template(), id=id, params=params))
        return WorkflowInstance(self._engine, self.tenant, row.id)

    async def create_batch(self, batch: Sequence[Mapping[str, Any]]) -> Batch:
        """Start 1 to 100 instances, each as `{"id", "params"}`, both optional.

        Raises InvalidBatch, and as `create`, with the index of the entry; then none is started.
        """
        entries = checked_batch(batch)
        template = await self.template()
        created, refused = await self._engine.create_batch([replace(template, **entry) for entry in entries])
        return Batch([WorkflowInstance(self._engine, self.tenant, row.id) for row in created], refused)

    async def get(self, id: str) -> WorkflowInstance:
        """The instance of this id.

        Raises InstanceNotFound, also for one that is another tenant's or another workflow's; InstanceExpired.
        """
        return WorkflowInstance(self._engine, self.tenant, (await self.row(id)).id)

    async def create_once(self, id: str, params: Any = None) -> WorkflowInstance:
        """Like `create`, but when there is one of this id already, that one.

        So it is when it ended so long ago that it is not kept any more: then `status` of what this gives raises
        InstanceExpired, which says how it ended.
        """
        try:
            return await self.create(id, params)
        except InstanceAlreadyExists:
            try:
                return await self.get(id)
            except InstanceExpired:
                return WorkflowInstance(self._engine, self.tenant, id)

    async def list(self, status: str | None = None, limit: int = LISTED_DEFAULT, cursor: str | None = None) -> Page:
        """Instances, newest first, with their params, outputs and times.

        Args:
            status: only those of this status.
            limit: at most so many, 1 to 200.
            cursor: goes on where an earlier page ended (`page.cursor`).

        Raises:
            ValueError: a status, a limit or a cursor that there is not.
        """
        if status is not None and status not in ev.STATUSES:
            raise ValueError(f"there is no status {status!r}; there are: {', '.join(ev.STATUSES)}")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LISTED_MOST:
            raise ValueError(f"limit is {limit!r}; it takes a whole number from 1 to {LISTED_MOST}")
        if cursor is not None and (not isinstance(cursor, str) or not _CURSOR.match(cursor)):
            raise ValueError(f"cursor is {cursor!r}; it takes the `cursor` of a page that `list` gave")
        before = None if cursor is None else int(cursor)
        rows = await self._engine.store.list(self.tenant, status=status, workflow=self.name, before=before, limit=limit)
        return Page([status_of(row) for row in rows], str(rows[-1].key) if len(rows) == limit else None)

    async def row(self, id: str) -> InstanceRow:
        """The row of an instance. Raises as `get`."""
        if isinstance(id, str):
            try:
                row = await self._engine.store.find(self.tenant, id)
                if self.has(row.workflow):
                    return row
            except InstanceExpired as expired:
                if self.has(expired.workflow):
                    raise
            except InstanceNotFound:
                pass
        raise InstanceNotFound(f'There is no instance "{str(id)[:100]}".')

    def has(self, workflow: str) -> bool:
        """Whether instances of this workflow, as rows name it, are among these."""
        return workflow == self.name

    def named(self, workflow: str) -> "Instances":
        """Those of another workflow of the same tenant. Raises WorkflowNotFound where there is this one only."""
        raise WorkflowNotFound(f'There is one workflow here, "{self.name}". Create without naming one.')

    async def template(self) -> CreateInstance:
        """A new instance without its id and params."""
        return CreateInstance(None, tenant=self.tenant, workflow=self.name, metadata=self._metadata, trigger="binding")


def checked_batch(batch: Any) -> list[dict[str, Any]]:
    """The entries of a batch as keyword arguments. Raises InvalidBatch when one has another form."""
    entries = list(batch) if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)) else [batch]
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not entry.keys() <= {"id", "params"}:
            raise InvalidBatch(
                f"Entry {index} of the batch can't be used: each is a dict with id and params, both optional."
            )
    return [dict(entry) for entry in entries]


def step_key(step: Mapping[str, Any] | None) -> StepKey | None:
    """The step that a restart names. Raises CannotRestart when it is not named right."""
    if step is None:
        return None
    try:
        name, count, kind = step["name"], step.get("count", 1), step.get("kind", ev.DO)
    except (TypeError, KeyError, AttributeError):
        raise CannotRestart("from_step takes a dict with name, and optionally count and kind.") from None
    if not isinstance(name, str) or not isinstance(count, int) or kind not in ev.KINDS:
        raise CannotRestart("from_step takes a dict with name, and optionally count and kind.")
    return StepKey(kind, name, count)
