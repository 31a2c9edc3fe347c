"""How an execution gets going: a worker, the code and what is stored, all at once; then the first frame, and the event
that says so.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from playground.engine.code import loading
from playground.engine.code.code import Code
from playground.engine.code.sources import NotRegistered
from playground.engine.execution import first_frame, open_steps
from playground.engine.execution.acknowledgements import Answers
from playground.engine.execution.chaos_kill import Chaos
from playground.engine.execution.conversation import Conversation
from playground.engine.execution.cpu_watchdog import Processor
from playground.engine.execution.environment import ExecutionEnvironment
from playground.engine.execution.fault_injection import Breaks
from playground.engine.execution.rollback import Rollback
from playground.engine.execution.services import Services
from playground.engine.execution.worker_exit import Ending
from playground.engine.execution.worker_timeouts import Idleness
from playground.engine.metrics import whose
from playground.sandbox import frames
from playground.sandbox.channel import FrameChannel
from playground.sandbox.pool import Worker
from playground.store.protocol import Decider, History, InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import NewEvent


class NotStarted(Exception):
    """The execution never got a worker; the instance stays due."""


class NoDispatcher(NotStarted):
    """Nor can it have one before the dispatcher of its workflow is there."""


class Starting(Conversation, Protocol):
    """An execution that is to get going."""

    answers: Answers
    bindings: ExecutionEnvironment
    breaks: Breaks
    chaos: Chaos
    ending: Ending
    idleness: Idleness
    processor: Processor
    rollback: Rollback

    def said(self, batch: Sequence[tuple[frames.Said, int]]) -> None:
        """The worker has sent frames, each with its bytes."""


class Start:
    """Gets one execution going, unless an operation ends it before: that is when `over` is done."""

    def __init__(self, execution: Starting, over: asyncio.Future[Decider | None]) -> None:
        self._execution, self._over = execution, over

    async def begin(self) -> None:
        """Raises NotStarted when no worker could be had, or its code not yet."""
        execution = self._execution
        services, row = execution.services, execution.row
        try:
            if row.metadata is None:
                await self._prepare(loading.load(services, row))
            else:  # whoever knows the code may take their time over it: no worker waits meanwhile
                code = await self._loaded()
                if code is not None:
                    await self._prepare(given(code))
        except loading.LoadFailed as failed:
            await self._not_loaded(failed)
        except Exception as failed:
            waits = isinstance(failed, NotRegistered)
            services.log("no_dispatcher" if waits else "no_worker", instance=row.key, reason=str(failed))
            await services.store.unclaim(row.key, execution=row.execution)
            await execution.pipeline.close()
            raise (NoDispatcher if waits else NotStarted) from failed

    async def _prepare(self, coming: Coroutine[Any, Any, Code]) -> None:
        """Get a worker and all that it starts from, and start it."""
        execution = self._execution
        services, row = execution.services, execution.row
        execution.worker, snapshot, code = await gathered(services, row, coming)
        while True:
            await execution.pipeline.drain()  # an operation that came first may end or pause it: then no code is to run
            if snapshot.row.execution != row.execution or snapshot.row.owner is None:
                execution.settle(None)
            if execution.closing:
                return
            if snapshot.row.snippet != row.snippet:  # changed since it was claimed
                code, row = await loading.load(services, snapshot.row), snapshot.row
            elif execution.pipeline.seq > snapshot.row.last_seq:  # others have written since it was read
                snapshot = await services.store.load(row.key)
            else:
                break
        self._start(execution.worker, snapshot, code)

    async def _loaded(self) -> Code | None:
        """The code, or None when an operation ends the execution before it is there."""
        coming = asyncio.ensure_future(loading.load(self._execution.services, self._execution.row))
        try:
            await asyncio.wait((coming, self._over), return_when=asyncio.FIRST_COMPLETED)
            return None if self._over.done() else coming.result()
        finally:
            coming.cancel()

    async def _not_loaded(self, failed: loading.LoadFailed) -> None:
        execution = self._execution
        services, row = execution.services, execution.row
        before = await loading.failures_in_a_row(services, row)
        if not execution.closing:
            most, now = services.settings.load_attempts, services.clock.now()
            if before + 1 >= most:
                services.counts.limit("load_attempts", whose(row), instance=row.key)
            execution.finish(*loading.told(row, failed, before, most, now))

    def _start(self, worker: Worker, snapshot: History, code: Code) -> None:
        execution, row = self._execution, snapshot.row
        if code.limits:
            row = replace(row, limits={**(row.limits or {}), **code.limits})
            execution.budget.take_limits(row)
        execution.row = row
        execution.pipeline.follow_from(row.last_seq)
        execution.bindings.begin(code)
        execution.breaks.begin(row.injected)
        execution.steps = open_steps.from_snapshot(snapshot)
        execution.chaos.begin(row)
        execution.kill_at = (row.injected or {}).get("armed")
        rolling_back = row.rollback == "running"
        begun = [] if row.started_at is not None else [NewEvent(ev.WORKFLOW_STARTED)]
        data = {
            "execution": row.execution,
            "worker": f"w{row.execution}" if row.tenant else worker.label,  # a label counts the workers of all tenants
            "replayed": sum(step.is_over for step in snapshot.steps.values()),
            "code_version": code.version,
        }
        started = NewEvent(ev.EXECUTION_STARTED, data)
        execution.pipeline.add(*begun, started, then=lambda committed: execution.idleness.consider())
        execution.channel = FrameChannel(
            worker.sock, execution.said, execution.ending.channel_closed, execution.services.turns
        )
        mode = first_frame.ROLLBACK if rolling_back else first_frame.RUN
        frame = first_frame.first_frame(
            execution.services, row, snapshot.steps.values(), code, mode, execution.breaks.frame()
        )
        execution.hear_clock(frame["clock"])
        execution.channel.send_encoded(frames.encode(frame), 1, first=True)
        if rolling_back:
            execution.rollback.resume(row.error)
        execution.idleness.heard()
        execution.idleness.watch_silence()
        execution.processor.stirred()


async def snapshot_of(services: Services, row: InstanceRow) -> History:
    """All that is stored of an instance that has just been claimed; of one that has nothing but its creation, the row
    says it.
    """
    if row.last_seq == 1:
        return History(row, {}, [])
    return await services.store.load(row.key)


async def gathered(
    services: Services, row: InstanceRow, coming: Coroutine[Any, Any, Code]
) -> tuple[Worker, History, Code]:
    """A worker, what is stored, and the code that is coming, all at once.

    Raises what any of them raises; then no worker is kept.
    """
    taking = asyncio.ensure_future(services.sandbox.take())
    try:
        snapshot, code = await asyncio.gather(snapshot_of(services, row), coming)
        return await taking, snapshot, code
    except BaseException:
        taking.cancel()
        taking.add_done_callback(_let_go)
        raise


async def given(code: Code) -> Code:
    """Code that is there already, as something to wait for."""
    return code


def _let_go(taking: "asyncio.Task[Worker]") -> None:
    """A worker came for an execution that will not begin."""
    if not taking.cancelled() and taking.exception() is None:
        taking.result().close()
