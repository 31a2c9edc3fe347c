"""One execution: load the source, call `run(event, step)`, and send how it ended. Everything here runs confined.

A worker plays one execution and is ended. A warm one (`keep` in the start frame, engine/execution/start.py) plays
further ones of the same tenant and code when it has nothing left of the last: its module and what that has changed in
the process stay, everything else is new.

`Process` is what an execution does to its process (output, warnings, exit). A worker owns the process it runs in;
`playground.testing` overrides `Process` to run an execution in a thread.
"""

import asyncio
import gc
import inspect
import linecache
import os
import sys
import types
from collections.abc import Mapping
from typing import Any

from playground.worker import failures, logs, unawaited
from playground.worker.attempts import ExecutionContext, encode_value, failure_frame, step_context
from playground.worker.binding_stubs import Bindings
from playground.worker.context import (
    MACHINERY,
    Environment,
    Key,
    Record,
    context_of,
    current_step,
    parse_key,
    utc_datetime,
)
from playground.worker.entrypoint import WorkflowEntrypoint, WorkflowFatalError, WorkflowTimeoutError
from playground.worker.fetching import OfRun, current_run
from playground.worker.loop import Loop
from playground.worker.queue_handler import QueueRun, handler_of
from playground.worker.replay import History, Replay
from playground.worker.step_bytes import StepBytes, is_apart
from playground.worker.steps import Steps
from playground.worker.streams import Streams
from playground.worker.unawaited import TenantWarnings
from playground.workflows import errors, values
from playground.workflows.names import CLASS_NAME, is_handler, source_lines_with_ends, workflow_class

MODULE = "workflow"  # what the tenant's module is called


class Process:
    """The process of a worker, used for one execution.

    `has_exited` is true after `exit`; only a stand-in for a process lives to see it.
    """

    has_exited = False

    def exit(self, code: int = 0) -> None:
        """End at once, without cleanup: the trusted side is gone or has its reply, or `code` tells why."""
        os._exit(code)

    def prepare(self, loop: asyncio.AbstractEventLoop, streams: Mapping[str, logs.LogStream]) -> None:
        """Prepare what needs no start frame. Called in the fork server, once for all of its children."""
        asyncio.set_event_loop(loop)
        logs.install_root_handler(streams["logging"])
        TenantWarnings(MODULE, lambda: sys.stderr).install()

    def redirect_output(self, streams: Mapping[str, logs.LogStream]) -> None:
        """Send prints to the streams `stdout` and `stderr`. Called once, before the tenant's code is loaded."""
        sys.stdout, sys.stderr = streams["stdout"], streams["stderr"]
        gc.freeze()
        gc.enable()

    def make_steps(self, context: ExecutionContext) -> Steps:
        """The `step` object for the tenant's code."""
        return Steps(context)

    def load_module(self, source: str) -> types.ModuleType:
        """Run a source as a module. Raises what its code raises."""
        linecache.cache[failures.FILE] = (len(source), None, source_lines_with_ends(source), failures.FILE)
        module = types.ModuleType(MODULE)
        module.__file__ = failures.FILE
        sys.modules[MODULE] = module
        exec(compile(source, failures.FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is what a worker is for
        return module


REPORTED_STEPS = 100  # steps named in one report
CLASSES_NAMED = 5  # in one message


class MissingWorkflowClass(WorkflowFatalError):
    """The source has no class of the name to run."""


class Execution:
    """One execution in a worker. It is made in the fork server, before the start frame; `run` plays it to its end, and
    `prepare_another` makes it anew for a further one.
    """

    steps: Steps
    _start: Mapping[str, Any]
    _started: float  # seconds of the machine's clock
    _history: History
    _replay: Replay
    _bindings: Bindings
    _env: Environment
    _rollbacks: dict[Key, asyncio.Task[Any]]
    _timed_out: dict[Key, str]  # messages of the rollback handlers that have timed out

    def __init__(self, loop: Loop, process: Process) -> None:
        self.loop, self.process = loop, process
        current_step.set(MACHINERY)  # what starts here is the worker's own code
        self._channel = channel = loop.channel
        self._streams = {name: logs.LogStream(name, channel) for name in logs.STREAMS}
        self._module: types.ModuleType | None = None
        self._begin()
        process.prepare(loop, self._streams)
        self.loop.read_frames(self._handle_frame, self._exit, self._exit_out_of_memory)
        self.loop.set_exception_handler(self._report_loop_error)
        self._main: asyncio.Task[Any] | None = None

    def _begin(self) -> None:
        """Make everything that belongs to one execution."""
        channel = self._channel
        self._history = History()
        self._replay = Replay(self.loop, channel, self._history)
        channel.unsent_lines = begun = logs.OpenLines(channel)
        for stream in self._streams.values():
            stream.follow(self._replay, begun)
        self._bindings = Bindings(channel)
        self._replay.waits_for_binding = self._bindings.workflow_is_waiting
        self._rollbacks = {}
        self._timed_out = {}
        self._may_run_another = False

    def prepare_another(self) -> None:
        """The run is over and has left nothing that runs: prepare for one more of the same code."""
        self.steps.close()
        self._bindings.close()
        self.loop.reset()
        self._channel.reset()
        self._begin()

    def run(self, start: Mapping[str, Any]) -> bool:
        """Run the workflow of the start frame until the trusted side ends the worker.

        True: it has ended, the worker was asked to wait for another, and can.
        """
        self._start = start
        self._started = self.loop.machine_time()
        current_step.set(MACHINERY)
        ended, limits = self._history.load_steps(start["steps"]), start["limits"]
        self._step_bytes = StepBytes(self._bindings.call, limits["value_bytes"], limits["step_bytes_limit"])
        self.steps = self.process.make_steps(
            ExecutionContext(
                self._channel,
                self._replay,
                self._history,
                start["limits"],
                self._report_unawaited,
                self._epoch_ms,
                self._log,
                self._step_bytes,
            )
        )
        self._bindings.run_child = self.steps.run_child
        self.steps.attempts.breaks.replace_breaks(start.get("breaks", ()))
        if "breakpoints" in start:
            self.steps.breakpoints.replace(start["breakpoints"])
        if "gate" in start:
            self.steps.attempts.runs_ahead, self._channel.acknowledged = start["gate"], self._channel.received
        if self._module is None:
            self.process.redirect_output(self._streams)
        self._env = self._environment()
        current_run.set(OfRun(self._env, self.steps.start, self.steps))
        self._replay.start(ended, start.get("clock", 0), only_replays=start["mode"] != "run")
        self._main = self.loop.create_task(self._run_workflow(), context=context_of(None))
        while not (self.process.has_exited or self._may_run_another):
            try:
                self.loop.run_forever()
            except MemoryError:
                self._exit_out_of_memory()
            except BaseException as escaped:  # noqa: BLE001 - SystemExit of a task or callback of the tenant's
                if self._main.done():
                    continue
                self._main.cancel()
                self._crash(escaped)
        return self._may_run_another

    async def _run_workflow(self) -> None:
        start = self._start
        # A dry run replays as a rollback does, to see how far the code follows the journal.
        rolling_back = start["mode"] != "run"
        if rolling_back:
            self.steps.only_replay()
        if self._module is not None:  # what an earlier run has left behind has let this one come so far
            self._channel.post({"op": "begun"})
            self._channel.flush()
        try:
            workflow = self._make_workflow()
            output = workflow.run(self._event(), self.steps)
            if inspect.isawaitable(output):
                output = await output
            if not rolling_back:
                await self.steps.attempts.wait_until_done(self.loop)
                tree, _ = encode_value(output, "output of the workflow", start["limits"]["value_bytes"])
        except BaseException as error:  # noqa: BLE001 - the tenant's, whatever it is
            if not rolling_back:
                await self.steps.attempts.cancel_all()
                self._crash(error)
        else:
            if not rolling_back:
                self._finish(tree)
        if rolling_back:
            self._send_last({"op": "collected"})

    def _finish(self, output: Any) -> None:
        frame = {"op": "finish", "output": output}
        # A task that goes on would run during the next execution.
        if self._start.get("keep") and len(asyncio.all_tasks(self.loop)) == 1:
            frame["ready"] = self._may_run_another = True
            self.loop.stop()
        self._send_last(frame)

    def _make_workflow(self) -> Any:
        if self._module is None:
            self._module = self.process.load_module(self._start["source"])
        module = self.steps.module = self._module
        name = self._start["class_name"]
        if is_handler(name):
            return self._make_queue_run(module, workflow_class(name))
        found = getattr(module, name, None)
        several: list[str] = []
        if found is None and name == CLASS_NAME:
            workflows = _workflows(module)
            found = workflows[0] if len(workflows) == 1 else None
            several = [workflow.__name__ for workflow in workflows]
        if not isinstance(found, type) or not callable(getattr(found, "run", None)):
            which = (
                f" Which of {', '.join(several[:CLASSES_NAMED])} is to run is not known: name one of them {name}, or "
                "deploy with the class_name of one."
                if len(several) > 1
                else ""
            )
            raise MissingWorkflowClass(f"The source has no class {name} with a method run(self, event, step).{which}")
        return found(self._context(), self._env)

    def _make_queue_run(self, module: types.ModuleType, name: str) -> QueueRun:
        found = handler_of(module, name)
        if found is None:
            raise MissingWorkflowClass(
                "The source has no class that handles messages: write `class Default(WorkerEntrypoint)` with an "
                "`async def queue(self, batch)`."
            )
        env, context = self._env, self._context()
        return QueueRun(found(context, env), env, context, self._send_marks)

    def _send_marks(self, acked: list[str], again: list[dict[str, Any]]) -> None:
        if not self._replay.replaying:
            self._bindings.post("BATCH", "mark", acked, again)

    def _environment(self) -> Environment:
        streams = Streams(self._channel, self.steps.attempts.running_attempt, self._start["limits"])
        return self._bindings.environment(self._start["env"], streams)

    def _event(self) -> Record:
        event = self._start["event"]
        payload = values.decode(event["payload"])
        instance, workflow = event["instance"], event["workflow"]
        return Record(
            payload={} if payload is None else payload,
            timestamp=utc_datetime(event["timestamp"]),
            instanceId=instance,
            instance_id=instance,
            workflowName=workflow,
            workflow_name=workflow,
            schedule=None if event.get("schedule") is None else Record(event["schedule"]),
        )

    def _epoch_ms(self) -> int:
        """Epoch milliseconds: the trusted side's clock at the start, advanced by this machine's."""
        return int(self._start["now"] + (self.loop.machine_time() - self._started) * 1000)

    def _context(self) -> Record:
        return Record(execution=self._start["execution"])

    def _crash(self, error: BaseException) -> None:
        self._send_last({"op": "crash", "error": failures.describe(error)})

    def _send_last(self, frame: dict[str, Any]) -> None:
        for stream in self._streams.values():
            stream.send_rest()
        self._channel.post(frame)
        self._channel.flush()

    def _handle_frame(self, frame: Mapping[str, Any]) -> None:
        op = frame["op"]
        if op == "hold":
            self.steps.set_paused(frame["held"])
        elif op == "rollback":
            key = parse_key(frame["step"])
            self.steps.refuse_steps()
            self._rollbacks[key] = self.loop.create_task(self._roll_back(key, frame), context=context_of(key))
        elif op == "rollback_timeout":
            task = self._rollbacks.get(parse_key(frame["step"]))
            if task is not None:
                self._timed_out[parse_key(frame["step"])] = frame["message"]
                task.cancel()
        elif op == "gate":
            self.steps.attempts.runs_ahead = frame["open"]
        elif op == "breaks":
            self.steps.attempts.breaks.replace_breaks(frame["breaks"])
        elif op == "breakpoints":
            self.steps.breakpoints.replace(frame)
        elif op == "answer":
            self._bindings.handle_response(frame)
        elif op == "report":
            self._send_last(
                {
                    "op": "replayed",
                    "unread": [*self._history.unreached_steps(), *self.steps.refused_patches][:REPORTED_STEPS],
                    "wanted": self.steps.unanswered[:REPORTED_STEPS],
                }
            )
        else:
            self.steps.handle_frame(frame)

    async def _roll_back(self, key: Key, frame: Mapping[str, Any]) -> None:
        handler = self.steps.rollbacks.get(key)
        reply: dict[str, Any] = {"step": key, "attempt": frame["attempt"], "rollback": True}
        if handler is None:
            self._send_last({**reply, "op": "missing"})
            return
        self._timed_out.pop(key, None)
        config = self.steps.rollback_configs[key].with_stored(frame["config"])
        error = failures.rebuild(frame["error"], self.steps.module) if frame["error"] else None
        info = Record(ctx=step_context(key, frame["attempt"], config), error=error, output=None)
        try:
            output = frame["output"]
            info["output"] = await self._step_bytes.value(key, output) if is_apart(output) else values.decode(output)
            result = handler(info)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as cancelled:
            while self._rollbacks[key].cancelling():
                self._rollbacks[key].uncancel()
            failed: BaseException = WorkflowTimeoutError(self._timed_out[key]) if key in self._timed_out else cancelled
        except BaseException as raised:  # noqa: BLE001 - the tenant's, whatever it is
            failed = raised
        else:
            self._send_last({**reply, "op": "done", "value": None})
            return
        del self._rollbacks[key]  # so that a timeout cancels the handler, not its delay function
        failure, _ = await failure_frame(
            key, frame["attempt"], config, failed, self._start["limits"], last=frame["last"]
        )
        self._send_last({**reply, **failure})

    def _exit(self, code: int = 0) -> None:
        self.process.exit(code)
        self.loop.stop()

    def _exit_out_of_memory(self) -> None:
        self._exit(errors.OUT_OF_MEMORY)

    def _report_unawaited(self, step: Key, error: BaseException) -> None:
        self._print_error(unawaited.error_of_step(step, error))

    def _report_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._print_error(unawaited.error_of_loop(context))

    def _log(self, text: str, step: Key) -> None:
        self._streams["stderr"].send_line(text, step, line=0)

    def _print_error(self, error: unawaited.BackgroundError) -> None:
        self._streams["stderr"].send_line(error.text, error.step, line=error.line)


def _workflows(module: Any) -> list[type]:
    """The classes of a module that extend `WorkflowEntrypoint`, whatever their names.

    The lint finds them by the same rule (analysis/workflow.py).
    """
    found = [
        value
        for value in list(vars(module).values())
        if isinstance(value, type) and WorkflowEntrypoint in value.__bases__
    ]
    return list(dict.fromkeys(found))
