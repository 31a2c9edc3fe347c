"""The children of one execution: other instances that its code runs and waits for (`self.env.WORKFLOWS.run`).

The step is in the parent's journal before its child is created, with the id of the child. So whatever dies in between,
the next execution comes to the step again, finds that there is no such instance, and creates it; and there is never a
second one. The end comes as an event of the journal (engine/families.py).

A child without an id gets one that is made of the parent's and of the step, which nobody can guess who does not know
the parent's nonce. It waits in the parent's queue, can be changed with the parent's token, and skips sleeps where the
parent does.
"""

import asyncio
from typing import Any, Protocol

import msgspec

from playground.engine import messages, operations
from playground.engine.bindings.binding import ChildStarter, NewChild
from playground.engine.execution import open_steps
from playground.engine.execution.attempts import clock_field
from playground.engine.execution.context import ExecutionContext
from playground.engine.execution.environment import ExecutionEnvironment, idempotency_name
from playground.engine.execution.faults import Chaos
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.waits import Waits
from playground.engine.execution.watchdog import IdleTimeout
from playground.engine.families import child_end
from playground.engine.metrics import owner_of_limit
from playground.engine.operations import ChildEnd
from playground.sandbox import frames
from playground.store.encoding import Encoded
from playground.store.protocol import Committed
from playground.store.rows import Awaited
from playground.workflows import events as ev
from playground.workflows import names
from playground.workflows.errors import InstanceExpired, InstanceNotFound, WorkflowError
from playground.workflows.events import NewEvent, StepKey


class Parent(ExecutionContext, Protocol):
    """An execution whose code may run children."""

    bindings: ExecutionEnvironment
    chaos: Chaos
    idle_timeout: IdleTimeout
    waits: Waits


class Children:
    """The children of one execution."""

    def __init__(self, execution: Parent) -> None:
        self._execution = execution
        self._count: int | None = None  # of this generation, those that have ended too
        self._awaited: asyncio.Task[frozenset[int]] | None = None  # starts of those that the store knows of

    def run(self, frame: frames.Child) -> None:
        """The code runs a child: for the first time, or again on replay, when it is there already."""
        execution = self._execution
        key = frames.step_key(frame.step)
        step = execution.steps.get(key)
        if execution.waits.has_ended(key, step, ev.CHILD):
            return
        if step is None:
            self._begin(key, frame)
        else:
            step.timer = open_steps.NO_TIMER
            if step.started_seq not in self._known_now():
                self._spawn(self._find_again(step, frame))

    def _begin(self, key: StepKey, frame: frames.Child) -> None:
        execution = self._execution
        id = frame.id or self._made_id(key)
        step = execution.steps[key] = OpenStep(key, open_steps.OPEN, frame.line, child=id, timer=open_steps.NO_TIMER)
        cascade = {} if frame.cascade else {"cascade": False}
        workflow = {} if frame.workflow is None else {"workflow": frame.workflow}
        started = {"child": id, "line": frame.line, **workflow, **cascade, **clock_field(frame.clock)}
        refused = self._refusal()

        def begun(committed: Committed) -> None:
            step.started_seq = next(event.seq for event in committed.events if event.step == key)
            if refused is None:
                self._spawn(self._create(step, frame))
            else:
                self._end(ChildEnd(key, step.started_seq, error=refused))

        execution.pipeline.add(NewEvent(ev.CHILD_STARTED, started, key), then=begun, received=execution.gate.received)

    def _refusal(self) -> Any:
        """The error of one more child than there may be, or None."""
        execution = self._execution
        row, services = execution.row, execution.services
        most, depth = services.limit(row, "children_limit"), services.limit(row, "child_depth")
        if self._count is None:
            self._count = sum(key.kind == ev.CHILD for key in execution.steps)  # with the one that has just begun
        else:
            self._count += 1
        if self._count > most:
            services.counts.limit("children_limit", owner_of_limit(row), instance=row.key)
            return messages.too_many_children(most)
        if depth <= 0:
            services.counts.limit("child_depth", owner_of_limit(row), instance=row.key)
            return messages.children_too_deep(services.settings.child_depth)
        return None

    async def _create(self, step: OpenStep, frame: frames.Child) -> None:
        """Create the child of a step that has just begun."""
        execution = self._execution
        row, services = execution.row, execution.services
        assert step.child is not None, "the step of a child names it"
        try:
            starter = self._starter(frame.binding)
            chaos: dict[str, Any] | None = None
            if execution.chaos.virtual:
                chaos = {"chaos": {"kill_before_commit": None, "timed_out": []}}
            skipped = execution.skips_sleeps and chaos is None
            key = await starter.start_child(
                NewChild(
                    id=step.child,
                    is_chosen=frame.id is not None,
                    workflow=frame.workflow,
                    params=Encoded(frame.params),
                    awaited=Awaited(row.key, step.key, step.started_seq, frame.cascade),
                    parent=row,
                    depth_left=services.limit(row, "child_depth") - 1,
                    events=[NewEvent(ev.SLEEPS_SKIPPED)] if skipped else [],
                    injected=chaos,
                    asked=None if frame.asked is None or chaos is not None else msgspec.structs.asdict(frame.asked),
                    tags=frame.tags,
                    traceparent=None if execution.trace is None else str(execution.trace.context(step.key)),
                )
            )
        except WorkflowError as refused:
            if "setting" in refused.details:
                services.counts.limit(refused.details["setting"], owner_of_limit(row), instance=row.key)
            error = messages.error(type(refused).__name__, refused.message)
            self._end(ChildEnd(step.key, step.started_seq, error=error))
            return
        if execution.closing or execution.steps.get(step.key) is not step:  # perhaps nobody waits for it any more
            services.families.look_at([key])

    async def _find_again(self, step: OpenStep, frame: frames.Child) -> None:
        """The child of a step that an earlier execution began: it may not have been created, or have ended with its
        parent, which then was run again from a later step.
        """
        execution = self._execution
        row, services = execution.row, execution.services
        assert step.child is not None, "the step of a child names it"
        if step.started_seq in await self._known():
            return
        end = ChildEnd(step.key, step.started_seq)
        tenant = self._starter(frame.binding).tenant
        try:
            child = await services.store.find(tenant, step.child)
        except InstanceExpired:
            self._end(end._replace(error=messages.child_gone(step.child)))
            return
        except InstanceNotFound:
            await self._create(step, frame)
            return
        ended = await child_end(services.store, tenant, step.child, end)
        if ended is not None:
            self._end(ended)
        else:
            await services.store.families.add(child.key, Awaited(row.key, step.key, step.started_seq, frame.cascade))
            services.families.look_at([child.key])

    def _known_now(self) -> frozenset[int]:
        """The same as `_known`, as far as it has been read."""
        reading = self._awaited
        has_read = reading is not None and reading.done() and not reading.cancelled() and reading.exception() is None
        return reading.result() if reading is not None and has_read else frozenset()

    async def _known(self) -> frozenset[int]:
        """When the steps began whose children the store knows of: it brings their ends by itself."""
        if self._awaited is None:
            self._awaited = asyncio.ensure_future(self._read_known())
        return await asyncio.shield(self._awaited)

    async def _read_known(self) -> frozenset[int]:
        execution = self._execution
        key = execution.row.key
        found = await execution.services.store.families.of([key])
        execution.services.families.look_at([one.key for one in found if one.ended])
        return frozenset(one.awaited.started_seq for one in found if one.awaited.parent == key)

    def _starter(self, binding: str) -> ChildStarter:
        found = self._execution.bindings.starter(binding)
        if found is None:
            raise InstanceNotFound(f"There is no workflow binding env.{binding}.")
        return found

    def _end(self, end: ChildEnd) -> None:
        execution = self._execution
        if not execution.closing:
            most = execution.services.settings.instance_bytes
            decider = operations.end_children([end], execution.services.clock.now(), most)
            execution.pipeline.decide(decider, execution.apply_committed)

    def _made_id(self, key: StepKey) -> str:
        row = self._execution.row
        return names.derived_id(f"{row.tenant}/{idempotency_name(row)}/{row.generation}/{key.kind}/{key}")

    def _spawn(self, work: Any) -> None:
        """Run something that the worker waits for; where the store fails, the next execution tries it again."""
        execution = self._execution
        execution.calls += 1

        async def run() -> None:
            try:
                await work
            except Exception as failed:  # noqa: BLE001 - the store's: this execution cannot go on
                execution.services.log(
                    "child_failed", instance=execution.row.key, error=f"{type(failed).__name__}: {failed}"
                )
                if not execution.closing:
                    execution.end_as_lost(ev.LOST)
            finally:
                execution.calls -= 1
            if not execution.closing:
                execution.idle_timeout.check_idle()

        execution.spawn(run())
