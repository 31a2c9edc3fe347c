"""A worker's first frame: the code, the event and every stored step, which travel with it so that replay needs no round
trip.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from playground.engine.code.code import Code
from playground.engine.execution import open_steps
from playground.engine.execution.environment import described
from playground.engine.execution.services import Services
from playground.sandbox import frames
from playground.store.protocol import InstanceRow, StepRow

LIMITS = ("value_bytes", "step_limit")  # which the worker keeps too, so that its code gets an error it can see

# What the worker is to do.
RUN = "run"
ROLLBACK = "rollback"
FIT = "fit"  # replay only: see engine/code/compatibility.py


def first_frame(
    services: Services,
    row: InstanceRow,
    steps: Iterable[StepRow],
    code: Code,
    mode: str,
    breaks: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The frame for an instance with these steps. `breaks` are those that its attempts may fall under."""
    order, clock = open_steps.replay_order(steps, row.clock or 0)
    return {
        "op": "start",
        "now": services.clock.now(),
        "clock": clock,
        "source": code.source,
        "class_name": code.class_name,
        "event": {"payload": row.params, "timestamp": row.created_at, "instance": row.id, "workflow": row.workflow},
        "execution": row.execution,
        # One step at a time: thousands of them as objects would leave the server's memory in pieces.
        "steps": msgspec.Raw(
            b"[" + b",".join(frames.json_text(open_steps.start_frame_step(step)) for step in order) + b"]"
        ),
        "env": described(code.env),
        "limits": {
            **{name: services.limit(row, name) for name in LIMITS},
            "delay_function_ms": services.settings.delay_function_ms,
        },
        "mode": mode,
        "breaks": breaks,
    }
