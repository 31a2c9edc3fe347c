"""Creating instances: what `create()` takes, what is checked of it, batches, and the instance that a key's flow gives
in the place of a new one.

Everything that may be refused is refused before the one commit, which stores snippet, row and first events together.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from playground.engine import flow
from playground.engine.batches import BATCH_MOST
from playground.engine.bindings.binding import NewChild
from playground.engine.clock import Clock
from playground.engine.code.sources import shown_workflow
from playground.engine.execution import breakpoints, faults
from playground.engine.execution.breakpoints import StepPattern
from playground.engine.execution.context import Log
from playground.engine.execution.faults import NewBreak
from playground.engine.ids import Ids
from playground.engine.queues import LimitsOfTenants
from playground.engine.tracing import TRACEPARENT, checked_traceparent
from playground.settings import Settings
from playground.store.encoding import encode_input
from playground.store.errors import QueueFull
from playground.store.open import free_bytes
from playground.store.protocol import Refusal, Store
from playground.store.rows import Awaited, InstanceRow, NewInstance
from playground.store.snippets import make_snippet
from playground.workflows import events as ev
from playground.workflows import names, values
from playground.workflows.breakpoints import check_number_of_breakpoints
from playground.workflows.breaks import check_number_of_breaks
from playground.workflows.errors import (
    Busy,
    InstanceAlreadyExists,
    InstanceExpired,
    InstanceNotFound,
    InvalidBatch,
    WorkflowError,
    batch_entry_error,
)
from playground.workflows.events import NewEvent
from playground.workflows.flow import KEY_OF_RUN, NO_LIMITS, Flow, checked_flow
from playground.workflows.names import CLASS_NAME, without_byte_order_mark
from playground.workflows.tags import check_tags


class CreateInstance(msgspec.Struct, frozen=True, gc=False):
    """What create() takes.

    `params` is any storable value; `queue` is the queue that it waits in for a worker (default: its tenant's).

    `source` is None where a `CodeSource` is registered for `workflow`; `version` then identifies that code.
    `limits` overrides settings for this instance, for example `{"attempt_wall_seconds": 60}`. `events`,
    `parent`, `awaited` and `injected`: see `NewInstance`; `id_is_chosen`: whether an id that is given was chosen.
    `breaks` and `breakpoints` are set before it runs. `flow` is when it may start, see workflows/flow.py,
    `tags` what it is found by (workflows/tags.py). `traceparent` is the trace that its spans are part of
    (engine/tracing.py); it is kept where the setting `tracing` is on.
    """

    source: str | None
    params: Any = None
    id: str | None = None
    tenant: str = ""
    workflow: str = "playground"
    queue: str = ""
    control_hash: str | None = None
    class_name: str = CLASS_NAME
    metadata: Any = None
    limits: dict[str, Any] | None = None
    trigger: str | Mapping[str, Any] = "api"
    snippet_params: str | None = None
    version: str = ""
    events: Sequence[NewEvent] = ()
    parent: int | None = None
    awaited: Awaited | None = None
    id_is_chosen: bool = True
    injected: Mapping[str, Any] | None = None
    breaks: Sequence[NewBreak] = ()
    breakpoints: Sequence[StepPattern] = ()
    skip_sleeps: bool = False  # from the beginning
    flow: Flow | None = None
    tags: Sequence[str] = ()
    traceparent: str | None = None

    def __post_init__(self) -> None:
        if self.source is not None:
            msgspec.structs.force_setattr(self, "source", without_byte_order_mark(self.source))


def child_of(template: CreateInstance, child: NewChild) -> CreateInstance:
    """The child that a new instance of this template becomes.

    Children of nobody's code share a key with those of the same parent only, since any code may name any key. Raises
    InvalidFlow.
    """
    parent, asked = child.parent, template.flow
    if child.asked is not None:
        asked = checked_flow(**child.asked, of_workflow=NO_LIMITS if asked is None else asked.limits)
        if asked is not None and asked.key is not None and not template.tenant:
            asked = dataclasses.replace(asked, key=f"{parent.key}{KEY_OF_RUN}{asked.key}")
    return replace(
        template,
        id=child.id,
        id_is_chosen=child.is_chosen,
        params=child.params,
        queue=parent.queue if parent.tenant == template.tenant else template.queue,
        trigger={"kind": ev.CHILD, "of": parent.id, "step": child.awaited.step.as_json()},
        parent=parent.key,
        awaited=child.awaited,
        limits={**(template.limits or {}), "child_depth": child.depth_left},
        events=child.events,
        injected=child.injected,
        flow=asked,
        tags=child.tags,
        traceparent=child.traceparent,
    )


class Creation:
    """Creates the instances of one node's callers.

    Args:
        check: refuses a source that is too large, in the words of a check.
    """

    def __init__(
        self, store: Store, settings: Settings, clock: Clock, ids: Ids, tenant_limits: LimitsOfTenants, log: Log,
        check: Callable[[str], Awaitable[Any]],
    ) -> None:  # fmt: skip
        self._store, self._settings, self._clock, self._ids = store, settings, clock, ids
        self._tenant_limits, self._log, self._check = tenant_limits, log, check
        self._flow = flow.FlowOfKeys(store, settings, clock)

    async def create(self, new: CreateInstance) -> InstanceRow:
        """Create one instance, or find the one that its `flow` gives in its place.

        Raises:
            InstanceAlreadyExists: the tenant has one of this id, which is untouched.
            InvalidId, InvalidName, InvalidTag, TooLarge, NotSerialisable: an input can't be used.
            CannotBreak: one of its breaks or breakpoints makes no sense.
            ValueError: its traceparent has not W3C's form.
            Busy: too many instances are queued, or one was debounced too often.
        """
        row, _ = await self.create_or_find(new)
        return row

    async def create_or_find(self, new: CreateInstance) -> tuple[InstanceRow, bool]:
        """As `create`; also says whether it was created."""
        for _ in range(flow.TRIES):
            created, refused = await self._create_batch([new])
            if not refused:
                return created[0], True
            [refusal] = refused
            if not flow.gives_another(refusal):
                raise await self._already_exists(new.tenant, refusal.id)
            found = await self._flow.take_place(new.tenant, refusal, new.flow, new.params)
            if found is not None:
                return found, False
        raise Busy("Instances of this key come and go too fast. Try again in 1 s.", retry_after=1)

    async def _already_exists(self, tenant: str, id: str) -> InstanceAlreadyExists:
        try:
            await self._store.find(tenant, id)
        except InstanceExpired as expired:
            return InstanceAlreadyExists(expired.message, id=id, **expired.details)
        except InstanceNotFound:
            pass  # deleted just now
        return InstanceAlreadyExists(f'There is an instance "{id}" already; it was left as it is.', id=id)

    async def create_batch(
        self, batch: list[CreateInstance], *, instead_of: tuple[int, str] | None = None, needs: int | None = None
    ) -> tuple[list[InstanceRow], list[Refusal]]:
        """Create 1 to 100 instances; those whose id is taken or repeated are left out and reported, and so are those
        whose `flow` gives another in their place.

        `instead_of`, `needs`: see `Store.create`.

        Raises as `create`; where the batch has several, the message says which entry it is about, and so does
        `details["index"]`. Then none is created.
        """
        created, refused = await self._create_batch(batch, instead_of=instead_of, needs=needs)
        for refusal in filter(flow.gives_another, refused):
            new = batch[refusal.index]
            await self._flow.take_place(new.tenant, refusal, new.flow, new.params)
        return created, refused

    async def _create_batch(
        self, batch: list[CreateInstance], *, instead_of: tuple[int, str] | None = None, needs: int | None = None
    ) -> tuple[list[InstanceRow], list[Refusal]]:
        if not 1 <= len(batch) <= BATCH_MOST:
            raise InvalidBatch(f"A batch takes 1 to {BATCH_MOST} instances, not {len(batch)}.")
        store, now = self._store, self._clock.now()
        ids = iter(self._ids.instance_ids(sum(new.id is None for new in batch)))
        rows: list[NewInstance] = []
        for index, (new, nonce) in enumerate(zip(batch, self._ids.nonces(len(batch)), strict=True)):
            try:
                id = names.check_instance_id(next(ids) if new.id is None else new.id)
                params = await encode_input(new.params, "params", self._settings.value_bytes)
                if rows and _are_alike(batch[index - 1], new):
                    rows.append(replace(rows[-1], id=id, params=params, nonce=nonce))
                else:
                    rows.append(await self._prepare(new, id, params, nonce, now))
            except WorkflowError as error:
                raise (batch_entry_error(index, error) if len(batch) > 1 else error) from None
        self._check_disk()
        most = {tenant: self._queued_most(tenant) for tenant in {new.tenant for new in batch}}
        try:
            return await store.create(rows, at=now, queued_most=most, instead_of=instead_of, needs=needs)
        except QueueFull as full:
            raise _busy(full) from None

    async def _prepare(self, new: CreateInstance, id: str, params: Any, nonce: str, at: int) -> NewInstance:
        """Check what is left of a new instance, and put it in the form in which it is stored."""
        names.check_name(shown_workflow(new.workflow), "workflow")
        if new.tenant:
            names.check_name(new.tenant, "tenant")
        if new.source is not None and len(new.source.encode("utf-8", "replace")) > self._settings.source_bytes:
            await self._check(new.source)
        limits, held_until = new.limits, None
        if new.traceparent is not None:
            kept = checked_traceparent(new.traceparent)
            if self._settings.tracing:
                limits = {**(limits or {}), TRACEPARENT: kept}
        if new.flow is not None:
            limits = {**(limits or {}), **new.flow.stored_limits()} or None
            held_until = at + new.flow.first_delay_ms if new.flow.is_held else None
        return NewInstance(
            tenant=new.tenant,
            id=id,
            workflow=new.workflow,
            snippet=new.version if new.source is None else make_snippet(new.source, new.snippet_params, at),
            params=params,
            queue=new.queue or new.tenant,
            control_hash=new.control_hash,
            class_name=new.class_name,
            metadata=values.encode(new.metadata),
            limits=limits,
            trigger=new.trigger,
            events=[
                *new.events,
                *await break_events(new.breaks),
                *breakpoint_events(new.breakpoints),
                *_skipped(new.skip_sleeps),
                *_tagged(check_tags(new.tags, self._settings.tags_per_run)),
            ],
            parent=new.parent,
            awaited=new.awaited,
            injected=new.injected,
            nonce=nonce,
            id_chosen=new.id is not None and new.id_is_chosen,
            flow=new.flow,
            held_until=held_until,
        )

    def _queued_most(self, tenant: str) -> int:
        return self._tenant_limits.queued(tenant) if tenant else self._settings.queue_length

    def _check_disk(self) -> None:
        settings = self._settings
        free = free_bytes(settings.database)
        if free is not None and free < settings.free_disk_bytes:
            self._log("disk_full", free_bytes=free, least=settings.free_disk_bytes)
            sorry = "The server's disk is nearly full, so nothing new is started. Try again in some hours."
            raise Busy(sorry, retry_after=3600, setting="free_disk_bytes")


async def break_events(new_breaks: Sequence[NewBreak]) -> list[NewEvent]:
    """The events that set these breaks. Raises CannotBreak."""
    events = [await faults.break_event(new) for new in new_breaks]
    check_number_of_breaks((), events)
    return events


def _skipped(skip_sleeps: bool) -> list[NewEvent]:
    return [NewEvent(ev.SLEEPS_SKIPPED)] if skip_sleeps else []


def _tagged(tags: Sequence[str]) -> list[NewEvent]:
    return [NewEvent(ev.WORKFLOW_TAGGED, {"tags": [*tags]})] if tags else []


def breakpoint_events(new_breakpoints: Sequence[StepPattern]) -> list[NewEvent]:
    """The events that set these breakpoints. Raises CannotBreak."""
    events = [breakpoints.breakpoint_event(step) for step in new_breakpoints]
    check_number_of_breakpoints((), events)
    return events


def _busy(full: QueueFull) -> Busy:
    if not full.tenant:
        return Busy(
            f"The server is full: {full.queued:,} instances are queued. Try again in a minute.",
            retry_after=60,
            setting="queue_length",
        )
    return Busy(
        f"{full.queued:,} instances of this tenant are queued, and {full.most:,} is the most. Try again in a minute.",
        retry_after=60,
        setting="queued_per_tenant",
    )


def _are_alike(one: CreateInstance, other: CreateInstance) -> bool:
    """Whether two entries of a batch differ in id and params only, so that what was checked of one holds for both.

    Entries made of one template hold the same objects; others are checked again.
    """
    return (
        one.source is other.source
        and one.metadata is other.metadata
        and one.trigger is other.trigger
        and one.limits is other.limits
        and one.injected is other.injected
        and one.control_hash is other.control_hash
        and one.tenant is other.tenant
        and one.workflow is other.workflow
        and one.queue is other.queue
        and one.class_name is other.class_name
        and one.version is other.version
        and one.snippet_params is other.snippet_params
        and one.parent is other.parent
        and one.awaited is other.awaited
        and one.events is other.events
        and one.breaks is other.breaks
        and one.breakpoints is other.breakpoints
        and one.skip_sleeps == other.skip_sleeps
        and one.flow is other.flow
        and one.tags == other.tags
        and one.traceparent == other.traceparent
        and (one.id is None) == (other.id is None)
    )
