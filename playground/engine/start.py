"""What an execution starts from, and its first frame: a worker, the code, the event, and every step that the journal holds."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from playground.engine import live
from playground.engine.code import Code
from playground.engine.services import Services
from playground.sandbox.pool import Worker
from playground.store.protocol import InstanceRow, Snapshot

if TYPE_CHECKING:
    from playground.engine.execution import Execution

LIMITS = ("value_bytes", "step_limit")  # which the worker keeps too, so that its code gets an error it can see


async def snapshot_of(services: Services, row: InstanceRow) -> Snapshot:
    """All that is stored of an instance that has just been claimed; of one that has nothing but its creation, the row says it."""
    if row.last_seq == 1:
        return Snapshot(row, {}, [], [])
    return await services.store.load(row.key)


async def gathered(services: Services, row: InstanceRow, coming: Coroutine[Any, Any, Code]) -> tuple[Worker, Snapshot, Code]:
    """A worker, what is stored, and the code that is coming, all at once. Raises what any of them raises; then no worker is kept."""
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


def start_frame(execution: "Execution", snapshot: Snapshot, code: Code, rolling_back: bool) -> dict[str, Any]:
    """The frame; the stored steps travel with it, so that replay needs no round trip."""
    services, row = execution.services, execution.row
    return {
        "op": "start",
        "source": code.source,
        "class_name": code.class_name,
        "event": {"payload": row.params, "timestamp": row.created_at, "instance": row.id, "workflow": row.workflow},
        "execution": row.execution,
        "steps": [live.start_frame_step(step) for step in snapshot.steps.values()],
        "env": execution.bindings.describe(),
        "limits": {
            **{name: services.limit(row, name) for name in LIMITS},
            "delay_function_ms": services.settings.delay_function_ms,
        },
        "mode": "rollback" if rolling_back else "run",
        "breaks": execution.breaks.frame(),
    }


def _let_go(taking: "asyncio.Task[Worker]") -> None:
    """A worker came for an execution that will not begin."""
    if not taking.cancelled() and taking.exception() is None:
        taking.result().close()
