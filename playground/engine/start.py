"""What an execution starts from, and its first frame: the code, the event, and every step that the journal holds."""

from typing import TYPE_CHECKING, Any

from playground.engine import live
from playground.engine.code import Code
from playground.engine.services import Services
from playground.store.protocol import InstanceRow, Snapshot

if TYPE_CHECKING:
    from playground.engine.execution import Execution

LIMITS = ("value_bytes", "step_limit")  # which the worker keeps too, so that its code gets an error it can see


async def snapshot_of(services: Services, row: InstanceRow) -> Snapshot:
    """All that is stored of an instance that has just been claimed; of one that has nothing but its creation, the row says it."""
    if row.last_seq == 1:
        return Snapshot(row, {}, [], [])
    return await services.store.load(row.key)


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
