"""The table of frame handlers: what each frame of a worker means, the limits it is held against, and what is done.

A frame that is out of place ends the instance with a protocol error, since tenant code may send any bytes it likes.
"""

from collections.abc import Callable
from typing import Any, Protocol

from msgspec.structs import replace

from playground.engine import messages
from playground.engine.execution import breakpoints as stops
from playground.engine.execution import open_steps
from playground.engine.execution.attempts import Attempts
from playground.engine.execution.breakpoints import Breakpoints
from playground.engine.execution.children import Children
from playground.engine.execution.environment import ExecutionEnvironment
from playground.engine.execution.faults import Chaos
from playground.engine.execution.rollback import Rollback
from playground.engine.execution.stream_values import Appending, append_value
from playground.engine.execution.waits import Waits
from playground.engine.execution.watchdog import IdleTimeout, WarmBeginning, WorkerExit
from playground.engine.metrics import owner_of_limit
from playground.sandbox import frames
from playground.workflows import events as ev
from playground.workflows import payload_schema
from playground.workflows.events import NewEvent
from playground.workflows.tags import is_tag

_UNCOUNTED = (
    frames.Log,
    frames.Append,
    frames.Tagged,
    frames.Begun,
    frames.Idle,
    frames.Call,
    frames.Diverged,
    frames.Received,
)  # frames that add no step to the journal
# What a stalled worker may send for ever.
_NO_PROGRESS = (frames.Log, frames.Append, frames.Tagged, frames.Begun, frames.Idle, frames.Received)
LOG_FLOOD_BYTES = 64 * 1024 * 1024  # a worker that prints more than this past its budget is ended


class Handling(Appending, Protocol):
    """An execution that handles the frames of its worker."""

    attempts: Attempts
    bindings: ExecutionEnvironment
    breakpoints: Breakpoints
    chaos: Chaos
    children: Children
    diverged: bool
    worker_exit: WorkerExit
    idle_timeout: IdleTimeout
    rollback: Rollback
    tags: set[str]
    waits: Waits
    warm_beginning: WarmBeginning
    worker_is_ready: bool


def handle_frame(execution: Handling, frame: frames.WorkerFrame, size: int) -> None:
    """Handle one frame of `size` bytes."""
    handler = _HANDLERS.get(type(frame))
    if handler is None:
        execution.break_limit(f"protocol: the worker sent a frame that is out of place ({type(frame).__name__})")
        return
    if not isinstance(frame, _NO_PROGRESS):
        execution.idle_timeout.on_progress()
    refused = execution.bindings.name_refusal(frame)
    if refused is not None:
        execution.end_with_error(refused)
        return
    if not isinstance(frame, _UNCOUNTED):
        execution.worker_exit.made_progress = True
        execution.budget.count_stored(size)
        if execution.journal_events > execution.budget.most_events:
            execution.break_limit(f"journal: the limit of {execution.budget.most_events:,} events has been reached")
            return
    handler(execution, frame, size)


def _log(execution: Handling, frame: frames.Log, size: int) -> None:
    logs = execution.budget.logs
    dropped = logs.dropped
    event, weight = logs.add(frame)
    if logs.dropped and not dropped:
        execution.services.counts.limit("log_bytes", owner_of_limit(execution.row), instance=execution.row.key)
    if event is not None:
        execution.budget.count_stored(weight)
        execution.pipeline.add_log(event, weight)
    elif logs.dropped_weight > LOG_FLOOD_BYTES:
        execution.break_limit(
            f"output: the worker printed more than {LOG_FLOOD_BYTES:,} bytes past its {logs.budget:,}", "log_bytes"
        )


def _append(execution: Handling, frame: frames.Append, size: int) -> None:
    if not execution.bindings.has_streams:
        execution.break_limit("protocol: the worker appended to a stream, and its code has none")
        return
    execution.idle_timeout.on_progress()
    append_value(execution, frames.step_key(frame.step), frame.attempt, frame.stream, frame.value)


def _tagged(execution: Handling, frame: frames.Tagged, size: int) -> None:
    if frame.name in execution.tags:
        return
    if not is_tag(frame.name):
        execution.break_limit("protocol: the worker gave a tag that can't be one")
        return
    most = execution.services.settings.tags_per_run
    if len(execution.tags) >= most:
        execution.break_limit(f"tags: more than {most:,} of them", "tags_per_run")
        return
    execution.tags.add(frame.name)
    execution.budget.count_stored(size)
    execution.pipeline.add_soon(NewEvent(ev.WORKFLOW_TAGGED, {"tags": [frame.name]}))


def _do(execution: Handling, frame: frames.Do, size: int) -> None:
    if _may_begin(execution, frame):
        execution.advance_workflow_clock(frame.clock)
        execution.attempts.start(frame)


def _did(execution: Handling, frame: frames.Did, size: int) -> None:
    execution.budget.count_stored(0)  # it adds the events of two frames
    if (
        _may_begin(execution, frame)
        and _is_small_enough(execution, frame.value, size)
        and _count_result(execution, size)
    ):
        execution.advance_workflow_clock(frame.clock)
        execution.attempts.start_and_end(frame)


def _may_begin(execution: Handling, frame: frames.Do | frames.Did) -> bool:
    """Whether a new step may start; if not, the worker is ended."""
    execution.budget.do_steps += 1
    most = execution.services.limit(execution.row, "step_limit")
    if execution.budget.do_steps > most:
        execution.break_limit(f"steps: the limit of {most:,} steps has been reached")
    elif (
        frame.step.kind != ev.DO
        or frame.attempt != 1
        or frames.step_key(frame.step) in execution.steps
        or execution.rollback.running
    ):
        execution.break_limit("protocol: the worker started a step twice or out of place")
    else:
        return _parent_has_begun(execution, frame)
    return False


def _parent_has_begun(
    execution: Handling, frame: frames.Do | frames.Did | frames.Sleep | frames.Wait | frames.Child
) -> bool:
    """Whether the step in whose callback this one was called has begun; if not, the worker is ended."""
    parent = frames.step_key(frame.step).parent
    if parent is None or (parent.kind == ev.DO and parent in execution.steps):
        return True
    execution.break_limit("protocol: a step inside a step that never began")
    return False


def _suspend(execution: Handling, frame: Any, size: int) -> None:
    if _parent_has_begun(execution, frame) and _has_usable_schema(execution, frame, size):
        execution.advance_workflow_clock(frame.clock)
        begin = execution.waits.sleep if isinstance(frame, frames.Sleep) else execution.waits.wait
        begin(frame)


def _has_usable_schema(execution: Handling, frame: frames.Sleep | frames.Wait | frames.Stop, size: int) -> bool:
    """Whether a wait has no schema, or one that may be stored; if not, the worker is ended."""
    schema = None if isinstance(frame, frames.Sleep) else frame.schema
    if schema is None or frames.step_key(frame.step) in execution.steps:
        return True
    try:
        payload_schema.check_schema(schema)
    except payload_schema.InvalidSchema as refused:
        execution.break_limit(f"protocol: a schema: {refused}")
        return False
    return _count_result(execution, size)


def _child(execution: Handling, frame: frames.Child, size: int) -> None:
    most = execution.services.limit(execution.row, "value_bytes")
    if size > most and frames.size_of(frame.params) > most:
        execution.break_limit(f"params: more than {most:,} bytes", "value_bytes")
    elif _parent_has_begun(execution, frame):
        execution.advance_workflow_clock(frame.clock)
        execution.children.run(frame)


def _reply(execution: Handling, frame: frames.Reply, size: int) -> None:
    if _is_small_enough(execution, frame.value, size) and _count_result(execution, size):
        execution.advance_workflow_clock(frame.clock)
        execution.waits.reply(frame)


def _patch(execution: Handling, frame: frames.Patch, size: int) -> None:
    """The code decided a patch; the first decision of its run stands."""
    key = frames.step_key(frame.step)
    if key.kind != ev.PATCH or key.count != 1 or key.parent is not None:
        execution.break_limit("protocol: the worker decided a patch that is none")
        return
    if key in execution.steps:
        return
    most = execution.services.limit(execution.row, "patch_limit")
    if sum(step.kind == ev.PATCH for step in execution.steps) >= most:
        execution.break_limit(f"patches: the limit of {most:,} patches has been reached", "patch_limit")
        return
    execution.steps[key] = open_steps.ENDED
    execution.advance_workflow_clock(frame.clock)
    data: dict[str, Any] = {"patched": frame.patched, "line": frame.line}
    if frame.clock is not None:
        data["clock_us"] = frame.clock
    if frame.deprecated:
        data["deprecated"] = True
    execution.pipeline.add_soon(NewEvent(ev.PATCH_DECIDED, data, key))


def _stop(execution: Handling, frame: frames.Stop, size: int) -> None:
    try:
        execution.breakpoints.claim(frame)
    except frames.ProtocolError as error:
        execution.break_limit(f"protocol: {error}")
        return
    if frames.step_key(frame.step) in execution.steps or execution.rollback.running:
        execution.break_limit("protocol: the worker stopped before a step that has begun")
        return
    if not _has_usable_schema(execution, frame, size):
        return
    execution.advance_workflow_clock(frame.clock)
    execution.pipeline.decide(stops.stop_before(stops.stop_data(frame)), execution.apply_committed)


def _diverged(execution: Handling, frame: frames.Diverged, size: int) -> None:
    steps = [frames.step_key(step) for step in frame.steps]
    if execution.diverged or any(step not in execution.steps for step in steps):
        execution.break_limit("protocol: steps that the journal does not hold were not called again")
        return
    execution.diverged = True
    execution.pipeline.add(NewEvent(ev.REPLAY_DIVERGED, {"steps": [step.as_json() for step in steps]}))


def _received(execution: Handling, frame: frames.Received, size: int) -> None:
    if execution.channel is not None and not execution.gate.on_received(frame.frames, execution.channel.sent):
        execution.break_limit("protocol: the worker received what it was not sent, or less than before")


def _resume(execution: Handling, frame: frames.Resume, size: int) -> None:
    step = execution.steps.get(frames.step_key(frame.step))
    if step is None or step.status != open_steps.RETRYING or step.timer is not None:
        execution.break_limit("protocol: the worker resumed a step that does not wait")
    else:
        execution.attempts.resume(step)


def _done(execution: Handling, frame: frames.Done, size: int) -> None:
    if not (_is_small_enough(execution, frame.value, size) and _count_result(execution, size)):
        return
    if frame.rollback:
        execution.rollback.done(frame)
    else:
        execution.attempts.done(frame)


def _is_small_enough(execution: Handling, value: Any, size: int) -> bool:
    """Whether a result that came in `size` bytes may be stored; if not, the worker is ended."""
    most = execution.services.limit(execution.row, "value_bytes")
    if size > most and frames.size_of(value) > most:
        execution.break_limit(f"result: more than {most:,} bytes")
        return False
    return True


def _count_result(execution: Handling, size: int) -> bool:
    """Count a result that goes into the journal; False when the instance holds more than it may."""
    execution.budget.stored_bytes += size
    most = execution.services.limit(execution.row, "instance_bytes")
    if execution.budget.stored_bytes > most:
        execution.break_limit(f"storage: the instance holds more than {most:,} bytes")
        return False
    return True


def _fail(execution: Handling, frame: frames.Fail, size: int) -> None:
    if not _count_result(execution, size):
        return
    frame = _with_memory_advice(execution, frame)
    (execution.rollback if frame.rollback else execution.attempts).failed(frame)


def _with_memory_advice(execution: Handling, frame: Any) -> Any:
    """A frame whose error, where memory ran out, names the limit and what to do."""
    if frame.error.name != MemoryError.__name__ or frame.error.message:
        return frame
    message = messages.out_of_memory(execution.services.settings.worker_memory_bytes)
    return replace(frame, error=replace(frame.error, message=message))


def _finish(execution: Handling, frame: frames.Finish, size: int) -> None:
    most = execution.services.limit(execution.row, "value_bytes")
    if size > most and frames.size_of(frame.output) > most:
        execution.break_limit(f"output: more than {most:,} bytes")
    elif execution.rollback.running:
        execution.break_limit("protocol: the worker finished during its rollback")
    else:
        if execution.chaos.kill_if_due(None):
            return
        ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})
        execution.worker_is_ready = frame.ready
        execution.finish(
            *execution.attempts.close_open_steps(), ended, NewEvent(ev.WORKFLOW_COMPLETED, {"output": frame.output})
        )


def _crash(execution: Handling, frame: frames.Crash, size: int) -> None:
    if execution.rollback.running or execution.chaos.kill_if_due(None):
        return
    if frame.error.name == MemoryError.__name__:
        execution.services.counts.limit(
            "worker_memory_bytes", owner_of_limit(execution.row), instance=execution.row.key
        )
    error = frames.to_builtins(_with_memory_advice(execution, frame).error)
    closed = execution.attempts.close_open_steps()
    if not frame.error.fatal and execution.rollback.has_handlers():
        execution.rollback.start(error, closed)
    else:
        ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})
        execution.finish(*closed, ended, NewEvent(ev.WORKFLOW_ERRORED, {"error": error}))


def _begun(execution: Handling, frame: frames.Begun, size: int) -> None:
    if not execution.warm_beginning.on_begun():
        execution.break_limit("protocol: the worker said that it begins, and nobody had asked")


def _idle(execution: Handling, frame: frames.Idle, size: int) -> None:
    if not execution.idle_timeout.on_idle_frame(frame.seen):
        return
    execution.advance_workflow_clock(frame.clock)
    if (
        execution.rollback.collecting
        and execution.channel is not None
        and frame.seen == execution.channel.sent
        and not execution.calls
    ):
        execution.rollback.on_handlers_collected()
    execution.idle_timeout.check_idle()


_HANDLERS: dict[type, Callable[[Handling, Any, int], None]] = {
    frames.Do: _do,
    frames.Resume: _resume,
    frames.Done: _done,
    frames.Did: _did,
    frames.Fail: _fail,
    frames.Missing: lambda execution, frame, size: execution.rollback.missing(frame),
    frames.Collected: lambda execution, frame, size: execution.rollback.on_collected_frame(),
    frames.Sleep: _suspend,
    frames.Wait: _suspend,
    frames.Child: _child,
    frames.Reply: _reply,
    frames.Patch: _patch,
    frames.Stop: _stop,
    frames.Cancel: lambda execution, frame, size: execution.waits.cancel(frame),
    frames.Received: _received,
    frames.Released: lambda execution, frame, size: execution.waits.on_released(frame),
    frames.Diverged: _diverged,
    frames.Finish: _finish,
    frames.Crash: _crash,
    frames.Log: _log,
    frames.Append: _append,
    frames.Tagged: _tagged,
    frames.Begun: _begun,
    frames.Idle: _idle,
    frames.Call: lambda execution, frame, size: execution.bindings.on_call(frame, size),
}
