"""Dry run: whether code is compatible with an instance's history, by replay in a worker that starts no new step.

Results are found by their steps' names, so code may differ in every other way. It is not compatible when it does not
come to a step that the history holds. Calls of bindings outside steps are refused during a dry run; large bytes that
its steps returned are read.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playground.engine import messages
from playground.engine.bindings.step_bytes import NAME as STEP_BYTES
from playground.engine.bindings.step_bytes import read_part
from playground.engine.code.sources import Code
from playground.engine.execution.context import Services
from playground.engine.execution.pipeline import spawn
from playground.engine.execution.start import DRY_RUN, first_frame
from playground.sandbox import frames
from playground.sandbox.channel import FrameChannel
from playground.store.protocol import History, Store
from playground.store.tables import Version
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import Busy, CannotMigrate, WorkflowError
from playground.workflows.events import StepKey

SECONDS = 5.0  # that a replay may take
RETRY_AFTER_SECONDS = 5
READS_MOST = 16  # parts of large bytes read at once; a worker that asks for more gets no answer

OLD_WAY = (
    'Instance "{id}" went the old way of the patch "{name}", which this code has removed. Keep it on code with '
    '`if step.patched("{name}")` until it has ended.'
)
_NOT_NOW = "The code is only tried on a history; it can't call env.{name}.{method} outside a step now."


@dataclass(frozen=True, slots=True)
class Compatibility:
    """How far code came: steps of the history that it did not come to, and new ones that it asked for.

    `called` are bindings it called. `old_ways` are patches whose old way the history has taken, and the code removed.
    """

    recorded: tuple[StepKey, ...]
    requested: tuple[StepKey, ...]
    called: tuple[str, ...]
    in_time: bool = True
    old_ways: tuple[str, ...] = ()

    @property
    def is_compatible(self) -> bool:
        """Whether the instance may continue with this code."""
        return self.in_time and not self.recorded and not self.old_ways


async def dry_run(services: Services, code: Code, snapshot: History) -> Compatibility:
    """Replay an instance's history with other code. Raises Busy: there is no worker."""
    try:
        worker = await services.sandbox.take_worker()
    except Exception as down:  # noqa: BLE001 - whatever it is, there is no dry run
        raise Busy(
            f"The version can't be tried now. {down} Try again in {RETRY_AFTER_SECONDS} s.",
            retry_after=RETRY_AFTER_SECONDS,
        ) from None
    run = _DryRun(services.store, snapshot)
    channel = run.channel = FrameChannel(worker.sock, run.on_frames, run.on_closed, services.turns)
    try:
        frame = first_frame(services, snapshot.row, snapshot.steps.values(), code, DRY_RUN)
        channel.send_encoded(frames.encode(frame), 1, first=True)
        async with asyncio.timeout(SECONDS):
            return await run.result
    except TimeoutError:
        return Compatibility((), (), tuple(run.called), in_time=False)
    finally:
        run.close()
        channel.close()
        worker.close()


class _DryRun:
    """The conversation with the worker that replays."""

    channel: FrameChannel

    def __init__(self, store: Store, snapshot: History) -> None:
        self._store, self._snapshot = store, snapshot
        self._reading: set[asyncio.Task[None]] = set()
        self._report_requested = False
        self.called: list[str] = []
        self.result: asyncio.Future[Compatibility] = asyncio.get_running_loop().create_future()

    def on_frames(self, batch: Sequence[tuple[frames.WorkerFrame, int]]) -> None:
        for frame, _size in batch:
            if isinstance(frame, frames.Call):
                self._on_call(frame)
            elif isinstance(frame, frames.Collected) or (
                isinstance(frame, frames.Idle) and frame.seen == self.channel.sent and not self._reading
            ):
                self._request_report()
            elif isinstance(frame, frames.Replayed) and not self.result.done():
                known = self._snapshot.steps  # a hostile worker may name any others
                unread = tuple(step for step in map(frames.step_key, frame.unread) if step in known)
                old_ways = tuple(step.name for step in frame.unread if step.kind == ev.PATCH)
                new = tuple(step for step in map(frames.step_key, frame.wanted) if step not in known)
                self.result.set_result(Compatibility(unread, new, tuple(self.called), old_ways=old_ways))

    def on_closed(self, error: Exception | None) -> None:
        if not self.result.done():
            self.result.set_result(Compatibility((), (), tuple(self.called), in_time=False))

    def _request_report(self) -> None:
        if not self._report_requested:
            self._report_requested = True
            self.channel.send({"op": "report"})

    def close(self) -> None:
        """Nobody waits for what is being read."""
        for task in self._reading:
            task.cancel()

    def _on_call(self, frame: frames.Call) -> None:
        if (frame.binding, frame.method, len(frame.args)) != (STEP_BYTES, "get", 2):
            self._refuse_call(frame)
        elif len(self._reading) < READS_MOST:
            spawn(self._reading, self._read(frame.call, *frame.args))

    async def _read(self, call: int, step: Any, number: Any) -> None:
        answer: dict[str, Any] = {"op": "answer", "call": call}
        try:
            part = await read_part(self._store, self._snapshot.row.key, step, number)
            answer["value"] = values.encode(part)
        except WorkflowError as refused:
            answer["error"] = messages.error(type(refused).__name__, refused.message)
        self.channel.send(answer)

    def _refuse_call(self, frame: frames.Call) -> None:
        self.called = [*self.called[:9], f"{frame.binding}.{frame.method}"]
        error = messages.error("BindingError", _NOT_NOW.format(name=frame.binding, method=frame.method))
        self.channel.send({"op": "answer", "call": frame.call, "error": error})


def check_compatible(id: str, target: Version, result: Compatibility) -> None:
    """Raises CannotMigrate where a version does not fit the history of an instance."""
    if result.is_compatible:
        return
    if not result.in_time:
        raise CannotMigrate(
            f'Version {target.id} could not be tried on the history of instance "{id}": it took too long, or its '
            "worker died."
        )
    if result.old_ways:
        raise CannotMigrate(OLD_WAY.format(id=id, name=result.old_ways[0]))
    lost = ", ".join(map(str, result.recorded[:5]))
    called = f" (it calls {', '.join(result.called)} outside steps, which a dry run refuses)" if result.called else ""
    raise CannotMigrate(
        f'Version {target.id} does not fit the history of instance "{id}": it does not come to {lost}{called}.',
        recorded=[step.as_json() for step in result.recorded],
        requested=[step.as_json() for step in result.requested],
    )
