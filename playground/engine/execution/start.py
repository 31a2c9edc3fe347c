"""How an execution starts: worker, code and history are fetched at once; then the start frame is sent and
`execution_started` committed.

The start frame carries the code, the event and every stored step, so that replay needs no round trip.

Code is loaded within `load_seconds`, and a failed load is retried with a backoff that doubles from `FIRST_WAIT_MS` to
`LONGEST_WAIT_MS`, `load_attempts` times. Each failed load is an execution without a worker in the journal:
`execution_started`, the error as a log line, and `execution_ended` with the reason `not_loaded` and the number of
failures in a row.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from playground.engine import messages, operations
from playground.engine.code.sources import Code, NotRegistered, workflow_of_event
from playground.engine.execution import open_steps
from playground.engine.execution.attempts import Acknowledgements
from playground.engine.execution.breakpoints import Breakpoints
from playground.engine.execution.context import ExecutionContext, Services
from playground.engine.execution.environment import ExecutionEnvironment, describe_env
from playground.engine.execution.faults import Breaks, Chaos
from playground.engine.execution.rollback import Rollback
from playground.engine.execution.watchdog import CpuWatchdog, IdleTimeout, WarmBeginning, WorkerExit
from playground.engine.metrics import owner_of_limit
from playground.sandbox import frames
from playground.sandbox.channel import FrameChannel
from playground.sandbox.pool import Worker
from playground.store.protocol import Decider, History
from playground.store.rows import STEP_RUNNING, InstanceRow, StepRow
from playground.workflows import events as ev
from playground.workflows.errors import NonRetryableError, TooLarge
from playground.workflows.events import NewEvent
from playground.workflows.tags import tags_of

# Checked in the worker too, so that its code can catch the error.
LIMITS = ("value_bytes", "step_bytes_limit", "step_limit", "patch_limit")

# Modes of a worker.
RUN = "run"
ROLLBACK = "rollback"
DRY_RUN = "fit"  # replay only: see engine/code/compatibility.py


def first_frame(
    services: Services,
    row: InstanceRow,
    steps: Iterable[StepRow],
    code: Code,
    mode: str,
    breaks: Sequence[Mapping[str, Any]] = (),
    breakpoints: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The start frame of an instance with these steps. `breaks` are those that its attempts may fall under,
    `breakpoints` what may stop it.
    """
    order, clock = open_steps.replay_order(steps, row.clock or 0)
    return {
        "op": "start",
        "now": services.clock.now(),
        "clock": clock,
        "source": code.source,
        "class_name": code.class_name,
        "event": {
            "payload": row.params,
            "schedule": (row.limits or {}).get("schedule"),
            "timestamp": row.created_at,
            "instance": row.id,
            "workflow": workflow_of_event(row.workflow),
        },
        "execution": row.execution,
        # One step at a time: thousands of them as objects would leave the server's memory in pieces.
        "steps": msgspec.Raw(
            b"[" + b",".join(frames.json_text(open_steps.start_frame_step(step)) for step in order) + b"]"
        ),
        "env": describe_env(code.env),
        "limits": {
            **{name: services.limit(row, name) for name in LIMITS},
            "delay_function_ms": services.settings.delay_function_ms,
            "call_bytes": services.settings.call_bytes,
            "stream_names": services.settings.stream_names,
            "tags_per_run": services.settings.tags_per_run,
        },
        "mode": mode,
        "breaks": breaks,
        **({} if breakpoints is None else {"breakpoints": breakpoints}),
    }


FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 10 * 60_000
MESSAGE_LENGTH = 2_000  # characters kept of an error's message
LOOKED_BACK = 50  # journal events looked through for the end of the last execution


class LoadFailed(Exception):
    """The code could not be loaded. `error` is what the journal shows; `final`: a retry is of no use."""

    def __init__(self, error: dict[str, Any], *, final: bool) -> None:
        super().__init__(error["message"])
        self.error, self.final = error, final


async def load_code(services: Services, row: InstanceRow) -> Code:
    """The code for an instance's next execution.

    Raises:
        NotRegistered: its dispatcher is not registered yet.
        LoadFailed: anything else.
    """
    seconds = services.settings.load_seconds
    try:
        async with asyncio.timeout(seconds) as within:
            code = await services.sources.load(row)
        if not isinstance(code, Code):
            raise TypeError(f"the loader gave {type(code).__name__}, and has to give Code")
        size = len(code.source.encode("utf-8", "surrogatepass"))
        if size > services.settings.source_bytes:
            raise TooLarge(f"the source has {size:,} bytes; the limit is {services.settings.source_bytes:,}")
    except NotRegistered:
        raise
    except Exception as failed:
        if isinstance(failed, TimeoutError) and within.expired():
            services.counts.limit("load_seconds", owner_of_limit(row), instance=row.key)
            late = messages.error("LoaderTimeout", f"the code was not there within {seconds} s")
            raise LoadFailed(late, final=False) from None
        services.log("load_failed", instance=row.key, error=f"{type(failed).__name__}: {failed}")
        shown = messages.error(type(failed).__name__, _printable(str(failed)))
        raise LoadFailed(shown, final=isinstance(failed, NonRetryableError)) from failed
    return code


async def load_failures_in_a_row(services: Services, row: InstanceRow) -> int:
    """How many executions in a row just before this one failed to load their code."""
    events = await services.store.events(row.key, after=max(0, row.last_seq - LOOKED_BACK), limit=LOOKED_BACK)
    ends = [event.data for event in events if event.type == ev.EXECUTION_ENDED]
    return int(ends[-1].get("failures", 0)) if ends and ends[-1]["reason"] == ev.NOT_LOADED else 0


def load_failed_events(row: InstanceRow, failed: LoadFailed, before: int, most: int, now: int) -> list[NewEvent]:
    """The events of a failed load; `before` is how many failed just before it, `most` how many may."""
    failures = before + 1
    text = f"The code could not be loaded: {failed.error['name']}: {failed.error['message']}"
    final = failed.final or failures >= most
    if not final:
        wait = min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** min(before, 20))
        text += f" (tried {failures} of {most} times; the next is in {wait // 1000} s)"
    started = {"execution": row.execution, "worker": None, "replayed": 0, "code_version": None}
    log = {"stream": "stderr", "level": "ERROR", "text": text, "replay": False}
    ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.NOT_LOADED, "failures": failures})
    begun = [NewEvent(ev.EXECUTION_STARTED, started), NewEvent(ev.LOG, log)]
    if final:
        return [*begun, ended, NewEvent(ev.WORKFLOW_ERRORED, {"error": failed.error})]
    return [*begun, NewEvent(ev.WORKFLOW_WAITING, {"until": now + wait}), ended]


def _printable(message: str) -> str:
    return message.encode("utf-8", "replace").decode()[:MESSAGE_LENGTH]


class NotStarted(Exception):
    """The execution never got a worker; the instance stays due."""


class NoDispatcher(NotStarted):
    """Nor can it have one before the dispatcher of its workflow is registered."""


class Starting(ExecutionContext, Protocol):
    """An execution that is about to start."""

    acknowledgements: Acknowledgements
    bindings: ExecutionEnvironment
    breaks: Breaks
    breakpoints: Breakpoints
    chaos: Chaos
    worker_exit: WorkerExit
    idle_timeout: IdleTimeout
    cpu_watchdog: CpuWatchdog
    warm_beginning: WarmBeginning
    rollback: Rollback
    warm_code: Code | None

    def on_frames(self, batch: Sequence[tuple[frames.WorkerFrame, int]]) -> None:
        """The worker has sent frames, each with its bytes."""


class Start:
    """Starts one execution, unless an operation ends it before: then `ended` is done."""

    def __init__(self, execution: Starting, ended: asyncio.Future[Decider | None]) -> None:
        self._execution, self._ended = execution, ended

    async def begin(self) -> None:
        """Start it. Raises NotStarted when there is no worker, or its code could not be loaded yet."""
        execution = self._execution
        services, row = execution.services, execution.row
        try:
            if row.metadata is None and not services.workers.has_checked:
                await self._prepare(None)
            else:  # a dispatcher may take its time: no worker is taken meanwhile
                code = await self._load_or_end()
                if code is not None:
                    await self._prepare(code)
        except LoadFailed as failed:
            await self._end_not_loaded(failed)
        except Exception as failed:
            waits = isinstance(failed, NotRegistered)
            services.log("no_dispatcher" if waits else "no_worker", instance=row.key, reason=str(failed))
            await services.store.unclaim(row.key, execution=row.execution)
            await execution.pipeline.close()
            raise (NoDispatcher if waits else NotStarted) from failed

    async def _prepare(self, known: Code | None) -> None:
        """Fetch a worker, the history and the code, unless that is known already, and start the worker."""
        execution = self._execution
        services, row = execution.services, execution.row
        execution.worker, snapshot, code = await worker_history_and_code(services, row, known)
        while True:  # what others have appended since the history was read is applied once the worker has started
            await execution.pipeline.drain()  # an operation that came first may end or pause it: then no code runs
            if snapshot.row.execution != row.execution or snapshot.row.owner is None:
                execution.end(None)
            if execution.closing:
                return
            if snapshot.row.snippet == row.snippet:
                break
            code, row = await load_code(services, snapshot.row), snapshot.row  # changed since it was claimed
            if execution.worker.executions:  # it has run other code
                execution.worker.close()
                execution.worker = await services.workers.take(row, code)
        self._start(execution.worker, snapshot, code)

    async def _load_or_end(self) -> Code | None:
        """The code, or None when an operation ends the execution before it is there."""
        loading = asyncio.ensure_future(load_code(self._execution.services, self._execution.row))
        try:
            await asyncio.wait((loading, self._ended), return_when=asyncio.FIRST_COMPLETED)
            return None if self._ended.done() else loading.result()
        finally:
            loading.cancel()

    async def _end_not_loaded(self, failed: LoadFailed) -> None:
        execution = self._execution
        services, row = execution.services, execution.row
        before = await load_failures_in_a_row(services, row)
        if not execution.closing:
            most, now = services.settings.load_attempts, services.clock.now()
            if before + 1 >= most:
                services.counts.limit("load_attempts", owner_of_limit(row), instance=row.key)
            execution.finish(*load_failed_events(row, failed, before, most, now))

    def _start(self, worker: Worker, snapshot: History, code: Code) -> None:
        execution, row = self._execution, snapshot.row
        assert execution.channel is None, "an execution has one worker"
        assert row.execution == execution.row.execution and row.owner is not None, "the execution is current"
        assert all(step.status != STEP_RUNNING for step in snapshot.steps.values()), "no attempt outlives its execution"
        if code.limits:
            row = replace(row, limits={**(row.limits or {}), **code.limits})
            execution.budget.set_limits(row)
        execution.row = row
        execution.pipeline.follow_from(row.last_seq)
        execution.bindings.begin(code)
        execution.breaks.begin(row.injected)
        execution.breakpoints.begin(row.injected)
        execution.steps = open_steps.from_snapshot(snapshot)
        execution.chaos.begin(row.injected, execution.steps.values())
        execution.armed_kill = (row.injected or {}).get("armed")
        execution.skips_sleeps = operations.skips_sleeps(row.injected) or execution.chaos.virtual
        execution.tags = set(tags_of(row.injected))
        watched = execution.breaks.is_set or execution.breakpoints.is_set
        execution.gate.closed = execution.armed_kill is not None or watched
        rolling_back = row.rollback == "running"
        begun = [] if row.started_at is not None else [NewEvent(ev.WORKFLOW_STARTED)]
        data = {
            "execution": row.execution,
            "worker": f"w{row.execution}"
            if row.tenant
            else worker.label,  # a label counts the workers of all tenants, so a tenant does not see it
            "replayed": sum(step.is_over for step in snapshot.steps.values()),
            "code_version": code.version,
        }
        if row.tenant and worker.executions:
            data["warm"] = True
        started = NewEvent(ev.EXECUTION_STARTED, data)
        execution.pipeline.add(*begun, started, then=lambda committed: execution.idle_timeout.check_idle())
        execution.channel = FrameChannel(
            worker.sock, execution.on_frames, execution.worker_exit.on_channel_closed, execution.services.turns
        )
        mode = ROLLBACK if rolling_back else RUN
        frame = first_frame(
            execution.services,
            row,
            snapshot.steps.values(),
            code,
            mode,
            execution.breaks.as_frame(),
            execution.breakpoints.as_frame() if execution.breakpoints.is_set else None,
        )
        if execution.gate.allowed:
            frame["gate"] = execution.gate.is_open
        if mode == RUN and execution.services.workers.may_be_warm(row, code):
            frame["keep"], execution.warm_code = True, code
        execution.advance_workflow_clock(frame["clock"])
        execution.channel.send_encoded(frames.encode(frame), 1, first=True)
        if rolling_back:
            execution.rollback.resume(row.error)
        execution.idle_timeout.on_progress()
        execution.idle_timeout.check_stalled()
        execution.cpu_watchdog.begin()
        if row.tenant and worker.executions:
            execution.warm_beginning.expect()


async def load_history(services: Services, row: InstanceRow) -> History:
    """The history of an instance that has just been claimed; that of a new one is its row, without a read."""
    if row.last_seq == 1:
        return History(row, {}, [])
    return await services.store.load(row.key)


async def worker_history_and_code(
    services: Services, row: InstanceRow, known: Code | None
) -> tuple[Worker, History, Code]:
    """Fetch a worker, the history and the code, unless that is known, all at once.

    Raises what any of them raises; the worker is closed then.
    """
    taking = asyncio.ensure_future(services.workers.take(row, known))
    try:
        if known is not None:
            snapshot, code = await load_history(services, row), known
        else:
            snapshot, code = await asyncio.gather(load_history(services, row), load_code(services, row))
        return await taking, snapshot, code
    except BaseException:
        taking.cancel()
        taking.add_done_callback(_close_unused)
        raise


def _close_unused(taking: "asyncio.Task[Worker]") -> None:
    """Close a worker that came for an execution that will not start."""
    if not taking.cancelled() and taking.exception() is None:
        taking.result().close()
