"""What a program holds to start and steer instances: those of a workflow (`Workflow` has the same calls), and a handle of each.

The names follow Cloudflare's `Workflow` and `WorkflowInstance` bindings, in Python's spelling.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from playground.engine.engine import CreateInstance, Engine
from playground.store.encoding import plain
from playground.store.protocol import InstanceRow, Refusal
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import CannotRestart, InstanceAlreadyExists, InstanceNotFound, InvalidBatch
from playground.workflows.events import Event, StepKey

PAGE_OF_EVENTS = 500


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """How an instance stands. `error` is `{name, message, traceback, line}`; `rollback` is None, running, complete or errored."""

    status: str
    output: Any
    error: Mapping[str, Any] | None
    rollback: str | None


class WorkflowInstance:
    """A handle of one instance; holding it costs nothing."""

    def __init__(self, engine: Engine, tenant: str, id: str) -> None:
        self._engine, self._tenant, self.id = engine, tenant, id

    def __repr__(self) -> str:
        return f"WorkflowInstance({self.id!r})"

    async def status(self) -> InstanceStatus:
        """Its status, and once it has ended its output or error. Raises InstanceNotFound, as all of these do once it is deleted."""
        row = await self._engine.store.find(self._tenant, self.id)
        output = values.decode(plain(row.output)) if row.status == ev.COMPLETE else None
        return InstanceStatus(row.status, output, row.error, row.rollback)

    async def pause(self) -> None:
        """Start no new step; stop timers and keep what remains of them. No effect on what is paused or has ended."""
        await self._engine.pause(self._tenant, self.id)

    async def resume(self) -> None:
        """Go on after a pause. No effect otherwise."""
        await self._engine.resume(self._tenant, self.id)

    async def terminate(self, rollback: bool = False) -> None:
        """End it, with `rollback` after the handlers of its steps. Raises CannotTerminate once it has ended."""
        await self._engine.terminate(self._tenant, self.id, rollback=rollback)

    async def restart(self, from_step: Mapping[str, Any] | None = None) -> None:
        """Run it again, from the start or from `{"name", "count": 1, "kind": "do"}`. Raises CannotRestart: there is no such step."""
        await self._engine.restart(self._tenant, self.id, from_step=step_key(from_step))

    async def send_event(self, type: str, payload: Any = None) -> None:
        """Send an event. Raises InvalidEventType, InstanceInFiniteState, NotSerialisable, TooLarge."""
        await self._engine.send_event(self._tenant, self.id, type, payload)

    async def delete(self) -> None:
        """Remove it and its journal, whatever it does."""
        await self._engine.delete(self._tenant, self.id)

    async def subscribe(self, cursor: int = 0) -> AsyncIterator[Event]:
        """The journal's events with a seq over `cursor`: those there are, then live ones; ends after the one that ends the instance."""
        store = self._engine.store
        row = await store.find(self._tenant, self.id)
        async with store.subscribe(row.key) as grown:
            while True:
                events = await store.events(row.key, after=cursor, limit=PAGE_OF_EVENTS)
                for event in events:
                    cursor = event.seq
                    yield event
                if len(events) == PAGE_OF_EVENTS:
                    continue
                row = await store.find(self._tenant, self.id)
                if row.status in ev.FINAL_STATUSES and row.last_seq <= cursor:
                    return
                await grown(cursor)


class Batch(list[WorkflowInstance]):
    """The instances that a `create_batch` made; `refused` are the entries that it left out, each with index, id and code."""

    def __init__(self, created: Sequence[WorkflowInstance], refused: Sequence[Refusal]) -> None:
        super().__init__(created)
        self.refused = tuple(refused)


class Instances:
    """Those of one workflow and tenant."""

    def __init__(self, engine: Engine, tenant: str, name: str, metadata: Mapping[str, Any]) -> None:
        self._engine, self._metadata = engine, metadata
        self.tenant, self.name = tenant, name

    async def create(self, id: str | None = None, params: Any = None) -> WorkflowInstance:
        """Start an instance; without an id it gets a random one.

        Raises:
            InstanceAlreadyExists: this tenant has one of this id; it is left as it is.
            InvalidId, NotSerialisable, TooLarge: something given can't be used.
            Busy: the tenant has too many queued.
        """
        row = await self._engine.create(replace(await self.template(), id=id, params=params))
        return WorkflowInstance(self._engine, self.tenant, row.id)

    async def create_batch(self, batch: Sequence[Mapping[str, Any]]) -> Batch:
        """Start 1 to 100 instances, each given as `{"id", "params"}`, both optional. Raises InvalidBatch, and as `create`."""
        entries = checked_batch(batch)
        template = await self.template()
        created, refused = await self._engine.create_batch([replace(template, **entry) for entry in entries])
        return Batch([WorkflowInstance(self._engine, self.tenant, row.id) for row in created], refused)

    async def get(self, id: str) -> WorkflowInstance:
        """The instance of this id. Raises InstanceNotFound, also for one that is another tenant's or another workflow's."""
        return WorkflowInstance(self._engine, self.tenant, (await self.row(id)).id)

    async def create_once(self, id: str, params: Any = None) -> WorkflowInstance:
        """Like `create`, but when there is one of this id already, that one."""
        try:
            return await self.create(id, params)
        except InstanceAlreadyExists:
            return await self.get(id)

    async def row(self, id: str) -> InstanceRow:
        """The row of an instance. Raises as `get`."""
        if isinstance(id, str):
            with contextlib.suppress(InstanceNotFound):
                row = await self._engine.store.find(self.tenant, id)
                if row.workflow == self.name:
                    return row
        raise InstanceNotFound(f'There is no instance "{str(id)[:100]}".')

    async def template(self) -> CreateInstance:
        """What each new instance is, but for its id and params."""
        return CreateInstance(None, tenant=self.tenant, workflow=self.name, metadata=self._metadata, trigger="binding")


def checked_batch(batch: Any) -> list[dict[str, Any]]:
    """The entries of a batch as keyword arguments. Raises InvalidBatch when one has another form."""
    entries = list(batch) if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)) else [batch]
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not entry.keys() <= {"id", "params"}:
            raise InvalidBatch(f"Entry {index} of the batch can't be used: each is a dict with id and params, both optional.")
    return [dict(entry) for entry in entries]


def step_key(step: Mapping[str, Any] | None) -> StepKey | None:
    """The step that a restart names. Raises CannotRestart when it is not named right."""
    if step is None:
        return None
    try:
        name, count, kind = step["name"], step.get("count", 1), step.get("kind", ev.DO)
    except (TypeError, KeyError, AttributeError):
        raise CannotRestart('from_step takes a dict with name, and optionally count and kind.') from None
    if not isinstance(name, str) or not isinstance(count, int) or kind not in ev.KINDS:
        raise CannotRestart('from_step takes a dict with name, and optionally count and kind.')
    return StepKey(kind, name, count)
