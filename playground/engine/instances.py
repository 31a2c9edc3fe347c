"""Handles for programs that start and control instances: `Instances` of a workflow, and `WorkflowInstance`.

The names follow Cloudflare's `Workflow` and `WorkflowInstance` bindings, in Python's spelling.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from playground.engine.batches import BatchError, batch_entries, batch_errors, checked_ids, deleted_batch
from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine
from playground.engine.retention import retention_limits
from playground.engine.run_filters import run_filter
from playground.engine.workflow_schedules import WorkflowSchedules
from playground.store.encoding import as_objects
from playground.store.protocol import Refusal
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows import names, values
from playground.workflows.errors import (
    CannotRestart,
    InstanceAlreadyExists,
    InstanceExpired,
    InstanceNotFound,
    InvalidFlow,
    InvalidRetention,
    WorkflowNotFound,
    batch_entry_error,
)
from playground.workflows.events import Event, StepKey
from playground.workflows.flow import FIELDS, NO_LIMITS, FlowLimits, checked_flow, under_limits
from playground.workflows.streams import StreamItems, StreamReset, StreamValue

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

    async def send_event(self, type: str, payload: Any = None, *, reply: bool = False) -> Any:
        """Send an event; with `reply`, wait for what the workflow replies with `event.reply(value)`, and give that.

        Raises:
            InvalidEventType, InstanceInFiniteState, NotSerialisable, TooLarge
            PayloadMismatch: the payload does not fit the schema of the wait that takes such events.
            EventRejected: the workflow refuses it with `event.reject(message)`.
            EventNotAnswered: it has not replied within `reply_seconds`, or has ended.
        """
        row = await self._row()
        if not reply:
            await self._engine.send_event(row, type, payload)
            return None
        return values.decode(as_objects(await self._engine.ask(row, type, payload)))

    async def delete(self) -> None:
        """Remove it and its journal, whatever it does."""
        await self._engine.delete(await self._row())

    async def _row(self) -> InstanceRow:
        return await self._engine.store.find(self._tenant, self.id)

    async def subscribe(self, cursor: int = 0, filter: Sequence[str] | None = None) -> AsyncIterator[Event]:
        """The journal's events with a seq over `cursor`: those there are, then live ones; ends after the one that ends
        the instance.

        Args:
            filter: only events of these types; it ends as without.

        Raises:
            ValueError: there is no event of such a type.
        """
        wanted = None if filter is None else checked_types(filter)
        store = self._engine.store
        row = await self._row()
        has_ended = row.status in ev.FINAL_STATUSES
        async with store.subscribe(row.key) as grown:
            while True:
                events = await store.events(row.key, after=cursor, limit=PAGE_OF_EVENTS)
                for event in events:
                    cursor = event.seq
                    has_ended = has_ended or event.type in ev.FINAL_TYPES
                    if wanted is None or event.type in wanted:
                        yield event
                if len(events) == PAGE_OF_EVENTS:
                    continue
                if has_ended or not events:  # else the row would be read for each commit of a run that goes on
                    row = await self._row()
                    if row.status in ev.FINAL_STATUSES and row.last_seq <= cursor:
                        return
                await grown(cursor)

    async def stream(
        self, name: str, after: StreamValue | StreamReset | None = None
    ) -> AsyncIterator[StreamValue | StreamReset]:
        """The values that its steps append to a stream: those there are, then live ones; ends with the instance.

        Each value comes once. After a `StreamReset` what came of its step is void, since the step is tried again.

        Args:
            after: the last of them that was received: goes on after it.

        Raises:
            InvalidName: the name can't be that of a stream.
        """
        found, left_out = StreamItems(names.check_stream_name(name)), 0 if after is None else after.seq
        async for event in self.subscribe():
            items = found.of_event(event)
            if event.seq == left_out and after in items:
                items = items[items.index(after) + 1 :]
            elif event.seq <= left_out:
                continue
            for item in items:
                yield item


async def delete_batch(
    engine: Engine, tenant: str, ids: Sequence[str], has: Callable[[InstanceRow], bool]
) -> dict[str, list[dict[str, Any]]]:
    """Remove 1 to 100 instances of a tenant, whatever they do, and report each id, repeated ones too.

    `has` tells which of the tenant's instances may be reached; others are as if they were not there. Raises
    InvalidBatch.
    """
    missing: dict[str, str] = {}

    async def delete(id: str) -> None:
        try:
            row = await engine.store.find(tenant, id)
            if not has(row):
                raise InstanceNotFound(f'There is no instance "{id[:100]}".')
            await engine.delete(row)
        except InstanceNotFound as gone:
            missing[id] = gone.message

    await asyncio.gather(*map(delete, dict.fromkeys(checked_ids(ids))))
    return deleted_batch(ids, missing)


def checked_types(filter: Sequence[str]) -> frozenset[str]:
    """The types of events that a filter names. Raises ValueError for one that there is not."""
    if isinstance(filter, str) or not filter:
        raise ValueError("a filter is a list of one or more types of events")
    unknown = sorted(str(type)[:80] for type in filter if type not in ev.TYPES)
    if unknown:
        raise ValueError(f"there is no event of the type {unknown[0]!r}; docs/events.md lists all")
    return frozenset(filter)


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
    """The instances that a `create_batch` made, which are `created` too. `errors` are the entries that it left out,
    each with index, id, code and message; `refused` are the same with codes in words.
    """

    def __init__(
        self, created: Sequence[WorkflowInstance], refused: Sequence[Refusal], errors: Sequence[BatchError] = ()
    ) -> None:
        super().__init__(created)
        self.refused, self.errors = tuple(refused), tuple(errors)

    @property
    def created(self) -> list[WorkflowInstance]:
        """The instances, under Cloudflare's name."""
        return list(self)


class Instances:
    """The instances of one workflow and tenant."""

    def __init__(
        self, engine: Engine, tenant: str, name: str, metadata: Mapping[str, Any], flow_limits: FlowLimits = NO_LIMITS
    ) -> None:
        self._engine, self._metadata, self._flow_limits = engine, metadata, flow_limits
        self.tenant, self.name = tenant, name

    async def create(
        self, id: str | None = None, params: Any = None, retention: Mapping[str, Any] | None = None, *,
        key: str | None = None, delay: Any = None, priority: int = 0, singleton: bool = False,
        debounce: Mapping[str, Any] | None = None, limits: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (), traceparent: str | None = None,
    ) -> WorkflowInstance:  # fmt: skip
        """Start an instance; without an id it gets a random one.

        Args:
            retention: how long it is kept once it has ended (engine/retention.py).
            key: text that the instances share which are limited together, such as an order's number.
            delay: it starts after so many milliseconds, or a duration such as "5 minutes".
            priority: 0 to 100; the higher goes first among the tenant's that wait.
            singleton: of a key there is one that has not ended; where there is, that one is given and left as it is.
            debounce: `{"seconds", "longest"}`: while that of the key has not started, it is given, with the new params,
                and starts `seconds` from now, at most `longest` after the first create.
            limits: `{"concurrency_per_key", "rate": {"count", "seconds"}}`, both optional, in place of the workflow's.
            tags: texts that it is found by (workflows/tags.py).
            traceparent: the span, in W3C's form, whose trace its own spans are part of, where the setting `tracing` is
                on (engine/tracing.py).

        Raises:
            ValueError: `traceparent` has not that form.
            InvalidFlow: these make no sense.
            InstanceAlreadyExists: this tenant has, or had, one of this id; it is left as it is. An id stays used when
            its instance is removed for its age,
                and is free again when it is removed by `delete`.
            InvalidId, InvalidRetention, InvalidTag, NotSerialisable, TooLarge: an input can't be used.
            Busy: the tenant has too many queued.
        """
        template, days = await self.template(), self._engine.settings.retention_days
        flow = checked_flow(key, delay, priority, singleton, debounce, limits, of_workflow=flow_limits(template))
        new = new_instance(template, days, id, params, retention, tags)
        row = await self._engine.create(replace(new, flow=flow, traceparent=traceparent))
        return WorkflowInstance(self._engine, self.tenant, row.id)

    async def create_batch(
        self, batch: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, traceparent: str | None = None
    ) -> Batch:
        """Start 1 to 100 instances: a list of `{"id", "params", "retention", "tags"}` and what else `create` takes, all
        optional, or `{"instances": [...]}`, or `{"count", "params", "retention",
        "tags"}`. `traceparent` is that of each.

        Raises InvalidBatch, and as `create`, with the index of the entry; then none is started.
        """
        entries = batch_entries(batch)
        days = self._engine.settings.retention_days
        template = replace(await self.template(), traceparent=traceparent)
        created, refused = await self._engine.create_batch(new_batch(template, days, entries))
        errors = batch_errors([entry.get("id") for entry in entries], refused)
        return Batch([WorkflowInstance(self._engine, self.tenant, row.id) for row in created], refused, errors)

    async def delete_batch(self, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Remove 1 to 100 instances and their journals, whatever they do.

        Returns `{"deleted": [{"id"}], "errors": [{"id", "code", "message"}]}`, an entry for each id. Raises
        InvalidBatch.
        """
        return await delete_batch(self._engine, self.tenant, ids, lambda row: self.has(row.workflow))

    async def get(self, id: str) -> WorkflowInstance:
        """The instance of this id.

        Raises InstanceNotFound, also for one that is another tenant's or another workflow's; InstanceExpired.
        """
        return WorkflowInstance(self._engine, self.tenant, (await self.row(id)).id)

    async def create_once(
        self, id: str, params: Any = None, retention: Mapping[str, Any] | None = None, **asked: Any
    ) -> WorkflowInstance:
        """Like `create`, with the same arguments, but when there is one of this id already, that one.

        So it is when it ended so long ago that it is not kept any more: then `status` of what this gives raises
        InstanceExpired, which says how it ended.
        """
        try:
            return await self.create(id, params, retention, **asked)
        except InstanceAlreadyExists:
            try:
                return await self.get(id)
            except InstanceExpired:
                return WorkflowInstance(self._engine, self.tenant, id)

    async def list(
        self, status: str | Sequence[str] | None = None, limit: int = LISTED_DEFAULT, cursor: str | None = None,
        **filter: Any,
    ) -> Page:  # fmt: skip
        """Instances, newest first, with their params, outputs and times.

        Args:
            status: only those of this status, or of any of these.
            limit: at most so many, 1 to 200.
            cursor: goes on where an earlier page ended (`page.cursor`), which may have found fewer than `limit`.
            filter: tag, version, waiting_for, error, text, since, until (docs/search.md).

        Raises:
            ValueError: a status, a limit or a cursor that there is not.
            InvalidFilter: the filter can't be used.
        """
        statuses = [status] if isinstance(status, str) else status or ()
        if not set(statuses) <= set(ev.STATUSES):
            raise ValueError(f"there is no status {status!r}; there are: {', '.join(ev.STATUSES)}")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LISTED_MOST:
            raise ValueError(f"limit is {limit!r}; it takes a whole number from 1 to {LISTED_MOST}")
        if cursor is not None and (not isinstance(cursor, str) or not _CURSOR.match(cursor)):
            raise ValueError(f"cursor is {cursor!r}; it takes the `cursor` of a page that `list` gave")
        before = None if cursor is None else int(cursor)
        asked = replace(run_filter(filter, self._engine.clock.now()), statuses=tuple(statuses), workflow=self.name)
        search = self._engine.store.search
        found = await search.keys(self.tenant, asked, before=before, limit=limit)
        rows = await search.rows(found.keys)
        return Page([status_of(row) for row in rows], None if found.next is None else str(found.next))

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

    @property
    def schedules(self) -> WorkflowSchedules:
        """What starts instances of this workflow by the clock."""
        return WorkflowSchedules(self._engine, self.tenant, self.name, self._metadata)

    async def template(self) -> CreateInstance:
        """A new instance without its id and params."""
        return CreateInstance(
            None,
            tenant=self.tenant,
            workflow=self.name,
            metadata=self._metadata,
            trigger="binding",
            flow=under_limits(self._flow_limits),
        )


def flow_limits(template: CreateInstance) -> FlowLimits:
    """The limits per key that the new instances of a template are under."""
    return NO_LIMITS if template.flow is None else template.flow.limits


def new_instance(
    template: CreateInstance,
    retention_days: int,
    id: str | None = None,
    params: Any = None,
    retention: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
) -> CreateInstance:
    """A template with what one instance has of its own. Raises InvalidRetention."""
    if retention is None:
        return replace(template, id=id, params=params, flow=None, tags=tags)
    limits = {**(template.limits or {}), **retention_limits(retention, retention_days)}
    return replace(template, id=id, params=params, limits=limits or None, flow=None, tags=tags)


def new_batch(
    template: CreateInstance, retention_days: int, entries: Sequence[Mapping[str, Any]]
) -> list[CreateInstance]:
    """The instances of a batch. Raises InvalidRetention and InvalidFlow, with the index of the entry."""
    made = []
    for index, entry in enumerate(entries):
        own = {name: value for name, value in entry.items() if name not in FIELDS}
        asked = {name: value for name, value in entry.items() if name in FIELDS and value is not None}
        try:
            new = new_instance(template, retention_days, **own)
            made.append(replace(new, flow=checked_flow(**asked, of_workflow=flow_limits(template))) if asked else new)
        except (InvalidFlow, InvalidRetention) as refused:
            raise batch_entry_error(index, refused) from None
    return made


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
