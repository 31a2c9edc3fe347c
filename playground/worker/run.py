"""One execution: load the source, call `run(event, step)`, and say how it ended. Everything here runs confined.

What an execution does to the process it lives in.

A worker owns its process; `playground.testing` lends it a thread instead.
"""

import asyncio
import gc
import inspect
import linecache
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from playground.worker import failures, logs, unawaited
from playground.worker.attempts import Report, context, failure, stored
from playground.worker.binding_stubs import Bindings
from playground.worker.channel import Channel
from playground.worker.context import OUTSIDE, Key, Record, as_key, context_of, current_step, moment
from playground.worker.entrypoint import WorkflowEntrypoint, WorkflowFatalError, WorkflowTimeoutError
from playground.worker.loop import Loop
from playground.worker.replay import History, Replay
from playground.worker.steps import Steps
from playground.worker.unawaited import Warnings
from playground.workflows import errors, values
from playground.workflows.names import CLASS_NAME, source_lines_with_ends

MODULE = "workflow"  # what the tenant's module is called


class Process:
    """The whole process, used for one execution.

    `left` is true once it has been left, which a real process does not live to see.
    """

    left = False

    def leave(self, code: int = 0) -> None:
        """End at once, running nothing more: the trusted side has gone or has what it asked for, or `code` says why."""
        os._exit(code)

    def expect(self, loop: asyncio.AbstractEventLoop, streams: Mapping[str, logs.LogStream]) -> None:
        """Make ready what can be, perhaps long before there is a start: this in the fork server, for all of its
        children.
        """
        asyncio.set_event_loop(loop)
        logs.take_root(streams["logging"])
        Warnings(MODULE, lambda: sys.stderr).begin()

    def begin(self, streams: Mapping[str, logs.LogStream]) -> None:
        """Called once, before the tenant's code is loaded: what is printed goes to the streams named `stdout` and
        `stderr`.
        """
        sys.stdout, sys.stderr = streams["stdout"], streams["stderr"]
        gc.freeze()

    def steps(
        self,
        channel: Channel,
        replay: Replay,
        history: History,
        limits: Mapping[str, Any],
        report: Report,
        wall: Callable[[], int],
    ) -> Steps:
        """The `step` object that the tenant's code is given; `wall` gives epoch milliseconds."""
        return Steps(channel, replay, history, limits, report, wall)

    def load(self, source: str) -> types.ModuleType:
        """The module of a source. Raises what its code raises."""
        linecache.cache[failures.FILE] = (len(source), None, source_lines_with_ends(source), failures.FILE)
        module = types.ModuleType(MODULE)
        module.__file__ = failures.FILE
        sys.modules[MODULE] = module
        exec(compile(source, failures.FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is what a worker is for
        return module


REPORTED = 100  # steps that one report names


class MissingWorkflowClass(WorkflowFatalError):
    """The source has no class of the name that was to be run."""


class Execution:
    """Holds what one execution needs; `play` is its whole life.

    It can be made long before it is known what is to be run.
    """

    steps: Steps
    _start: Mapping[str, Any]
    _began: float  # seconds of the machine's clock

    def __init__(self, loop: Loop, process: Process) -> None:
        self.loop, self.process = loop, process
        current_step.set(OUTSIDE)  # what begins here is the worker's own, until it says otherwise
        self._channel = channel = loop.channel
        self._history = History()
        self._replay = Replay(loop, channel, self._history)
        channel.begun = begun = logs.OpenLines(channel)
        self._streams = {name: logs.LogStream(name, channel, self._replay, begun) for name in logs.STREAMS}
        process.expect(loop, self._streams)
        self._bindings = Bindings(channel)
        self._replay.calls = self._bindings.waited_for
        self.loop.listen(self._take, self._leave, self._starve)
        self.loop.set_exception_handler(self._loop_trouble)
        self._main: asyncio.Task[Any] | None = None
        self._rollbacks: dict[Key, asyncio.Task[Any]] = {}
        self._late: dict[Key, str] = {}  # handlers that have timed out, and what is said of it

    def play(self, start: Mapping[str, Any]) -> None:
        """Run what the first frame says until the trusted side ends it."""
        self._start = start
        self._began = self.loop.real()
        current_step.set(OUTSIDE)
        ended = self._history.hold(start["steps"])
        self.steps = self.process.steps(
            self._channel, self._replay, self._history, start["limits"], self._report, self._wall
        )
        self.steps.attempts.breaks.update(start.get("breaks", ()))
        if "gate" in start:
            self.steps.attempts.runs_ahead, self._channel.acknowledged = start["gate"], self._channel.received
        self.process.begin(self._streams)
        self._replay.begin(ended, start.get("clock", 0), only_replays=start["mode"] != "run")
        self._main = self.loop.create_task(self._run(), context=context_of(None))
        while not self.process.left:
            try:
                self.loop.run_forever()
            except MemoryError:
                self._starve()
            except BaseException as escaped:  # noqa: BLE001 - SystemExit from a task or a callback of the tenant's own
                if self._main.done():
                    continue
                self._main.cancel()
                self._crash(escaped)

    async def _run(self) -> None:
        start = self._start
        # `fit` replays as a rollback does, to see how far the code follows the journal.
        rolling_back = start["mode"] != "run"
        if rolling_back:
            self.steps.collect()
        try:
            workflow = self._load()
            output = workflow.run(self._event(), self.steps)
            if inspect.isawaitable(output):
                output = await output
            if not rolling_back:
                await self.steps.attempts.finish(self.loop)
                tree = stored(output, "output of the workflow", start["limits"]["value_bytes"])
        except BaseException as error:  # noqa: BLE001 - the tenant's, whatever it is
            if not rolling_back:
                await self.steps.attempts.abandon()
                self._crash(error)
        else:
            if not rolling_back:
                self._finish({"op": "finish", "output": tree})
        if rolling_back:
            self._finish({"op": "collected"})

    def _load(self) -> Any:
        module = self.steps.module = self.process.load(self._start["source"])
        name = self._start["class_name"]
        found = getattr(module, name, None)
        if found is None and name == CLASS_NAME:
            found = _only_workflow(module)
        if not isinstance(found, type) or not callable(getattr(found, "run", None)):
            raise MissingWorkflowClass(f"The source has no class {name} with a method run(self, event, step).")
        return found(self._context(), self._bindings.environment(self._start["env"]))

    def _event(self) -> Record:
        given = self._start["event"]
        payload = values.decode(given["payload"])
        instance, workflow = given["instance"], given["workflow"]
        return Record(
            payload={} if payload is None else payload,
            timestamp=moment(given["timestamp"]),
            instanceId=instance,
            instance_id=instance,
            workflowName=workflow,
            workflow_name=workflow,
        )

    def _wall(self) -> int:
        """Epoch milliseconds, by the trusted side's clock at the start."""
        return int(self._start["now"] + (self.loop.real() - self._began) * 1000)

    def _context(self) -> Record:
        return Record(execution=self._start["execution"])

    def _crash(self, error: BaseException) -> None:
        self._finish({"op": "crash", "error": failures.describe(error)})

    def _finish(self, frame: dict[str, Any]) -> None:
        for stream in self._streams.values():
            stream.finish()
        self._channel.post(frame)
        self._channel.flush()

    def _take(self, frame: Mapping[str, Any]) -> None:
        op = frame["op"]
        if op == "hold":
            self.steps.hold(frame["held"])
        elif op == "rollback":
            key = as_key(frame["step"])
            self.steps.close()
            self._rollbacks[key] = self.loop.create_task(self._roll_back(key, frame), context=context_of(key))
        elif op == "rollback_timeout":
            task = self._rollbacks.get(as_key(frame["step"]))
            if task is not None:
                self._late[as_key(frame["step"])] = frame["message"]
                task.cancel()
        elif op == "gate":
            self.steps.attempts.runs_ahead = frame["open"]
        elif op == "breaks":
            self.steps.attempts.breaks.update(frame["breaks"])
        elif op == "answer":
            self._bindings.answer(frame)
        elif op == "report":
            self._finish(
                {"op": "replayed", "unread": self._history.unread()[:REPORTED], "wanted": self.steps.wanted[:REPORTED]}
            )
        else:
            self.steps.reply(frame)

    async def _roll_back(self, key: Key, frame: Mapping[str, Any]) -> None:
        handler = self.steps.rollbacks.get(key)
        answer: dict[str, Any] = {"step": key, "attempt": frame["attempt"], "rollback": True}
        if handler is None:
            self._finish({**answer, "op": "missing"})
            return
        self._late.pop(key, None)
        config = self.steps.rollback_configs[key].with_stored(frame["config"])
        error = failures.rebuild(frame["error"], self.steps.module) if frame["error"] else None
        info = Record(ctx=context(key, frame["attempt"], config), error=error, output=values.decode(frame["output"]))
        try:
            result = handler(info)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as cancelled:
            while self._rollbacks[key].cancelling():
                self._rollbacks[key].uncancel()
            failed: BaseException = WorkflowTimeoutError(self._late[key]) if key in self._late else cancelled
        except BaseException as raised:  # noqa: BLE001 - the tenant's, whatever it is
            failed = raised
        else:
            self._finish({**answer, "op": "done", "value": None})
            return
        del self._rollbacks[key]  # a timeout is the handler's, not its delay function's
        told, _ = await failure(key, frame["attempt"], config, failed, self._start["limits"], last=frame["last"])
        self._finish({**answer, **told})

    def _leave(self, code: int = 0) -> None:
        self.process.leave(code)
        self.loop.stop()

    def _starve(self) -> None:
        self._leave(errors.OUT_OF_MEMORY)

    def _report(self, step: Key, error: BaseException) -> None:
        self._tell(unawaited.error_of_step(step, error))

    def _loop_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._tell(unawaited.error_of_loop(context))

    def _tell(self, trouble: unawaited.BackgroundError) -> None:
        self._streams["stderr"].send(trouble.text, trouble.step, line=trouble.line)


def _only_workflow(module: Any) -> type | None:
    """The one class of a module that extends `WorkflowEntrypoint`, whatever it is called; the lint looks for it alike
    (analysis/workflow.py).
    """
    found = {
        value
        for value in list(vars(module).values())
        if isinstance(value, type) and WorkflowEntrypoint in value.__bases__
    }
    return found.pop() if len(found) == 1 else None
