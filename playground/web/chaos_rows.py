"""What came of each rerun of a chaos run: how it ended, what ran twice, and what it is compared by."""

import hashlib
from collections import OrderedDict
from typing import Any

from playground.engine import Engine
from playground.engine.chaos_runs import number_of
from playground.store.encoding import encode
from playground.store.protocol import STEP_COMPLETED, Child, InstanceRow, Snapshot
from playground.web.ledger import shown
from playground.web.views import instance_url
from playground.workflows import events as ev

REMEMBERED = 2_000  # rows of ended reruns, which never change any more


class Rows:
    """What is told of each rerun; of those that have ended, it is remembered."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: OrderedDict[int, dict[str, Any]] = OrderedDict()

    async def of(self, child: Child) -> dict[str, Any]:
        """How a rerun stands, without comparison."""
        known = self._known.get(child.key)
        if known is not None:
            self._known.move_to_end(child.key)
            return known
        row = await self._row(child)
        if child.status in ev.FINAL_STATUSES:
            self._known[child.key] = row
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return row

    async def _row(self, child: Child) -> dict[str, Any]:
        plan = (child.injected or {}).get("chaos", {})
        row: dict[str, Any] = {
            "number": number_of(child),
            "id": child.id,
            "url": instance_url(child.id),
            "status": child.status,
            "killed": {"before": plan["killed"]["step"]} if "killed" in plan else None,
            "executions": child.execution,
            "took_ms": None if child.ended_at is None or child.started_at is None else child.ended_at - child.started_at,
            "error": None,
            "ran_twice": [],
            "effects_twice": [],
            "outcome": None,
        }
        if child.status not in ev.FINAL_STATUSES:
            return row
        async with self._engine.forking:  # a snapshot holds all results of an instance
            snapshot = await self._engine.store.load(child.key)
            row["ran_twice"], row["outcome"] = _ran_twice(snapshot), outcome(snapshot.row)
        if snapshot.row.error is not None:
            row["error"] = {"name": snapshot.row.error["name"], "message": snapshot.row.error["message"]}
        lost = {f"{step['name']}-{step['count']}" for step in row["ran_twice"]}
        doubled = {(it["kind"], it["step"]): None for it in shown(await self._engine.store.effects.of(child.key)) if it["double_of"] and it["step"] in lost}
        row["effects_twice"] = [{"kind": kind, "step": step} for kind, step in doubled]
        return row


def _ran_twice(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The steps of which an attempt was lost with its worker, so that what it did was done again."""
    found = []
    for step in sorted(snapshot.steps.values(), key=lambda step: step.started_seq):
        lost = step.attempt - step.failures - (step.status == STEP_COMPLETED)
        if step.key.kind == ev.DO and lost > 0:
            found.append({**step.key.as_json(), "times": lost + 1})
    return found


def outcome(row: InstanceRow) -> str:
    """What two runs are compared by: how they ended and with what, in a few bytes."""
    error = row.error and [row.error["name"], row.error["message"]]
    return hashlib.sha256(encode([row.status, row.output, error]).encode()).hexdigest()
