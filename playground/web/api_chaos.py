"""Chaos over the API: run an instance again with its worker killed before each commit in turn, and see what came of it.

Only instances that are nobody's: a tenant's keys and effects are shared by all its instances, so that reruns would change them.
"""

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from playground.engine import queues
from playground.engine.chaos_runs import number_of
from playground.store.encoding import encode
from playground.store.protocol import STEP_COMPLETED, Child, InstanceRow, Snapshot
from playground.web import bodies
from playground.web.access import find
from playground.web.api_effects import shown as shown_effects
from playground.web.api_instances import SMALL_BODY_BYTES, NoBody, accepted, controlled
from playground.web.check import check_stored
from playground.web.responses import json_response
from playground.web.views import instance_url
from playground.workflows import events as ev

if TYPE_CHECKING:
    from playground.web.context import Context

REMEMBERED = 2_000  # rows of ended reruns, which never change any more

# What an outcome is compared as.
SAME = "same"
DIFFERS = "differs"
VARIES = "varies"  # it differs, but so it does without a kill


class Rows:
    """What is told of each rerun; of those that have ended, it is remembered."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, dict[str, Any]] = OrderedDict()

    async def of(self, context: "Context", child: Child) -> dict[str, Any]:
        """How a rerun stands, without comparison."""
        known = self._known.get(child.key)
        if known is not None:
            self._known.move_to_end(child.key)
            return known
        row = await _row(context, child)
        if child.status in ev.FINAL_STATUSES:
            self._known[child.key] = row
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return row


async def start(context: "Context", request: Request) -> Response:
    """Run the instance once more for each commit it made, with the worker killed before that commit."""
    row = await controlled(context, request)
    await bodies.read_object(request, NoBody, SMALL_BODY_BYTES, may_be_empty=True)
    address = context.addresses.of(request)
    queue = queues.of_address(address)
    check_stored(context, queue)
    await context.chaos.check(row)  # what is refused is not counted
    context.limits.chaos.spend(request, address)
    await context.chaos.start(row, queue)
    return await accepted(context, row)


async def rows(context: "Context", request: Request) -> Response:
    """The reruns of an instance: whether each came to the same, and what ran twice."""
    row = await find(context, request)
    children = await context.chaos.children(row)
    told = [await context.chaos_rows.of(context, child) for child in children]
    control = next((it for it in told if it["number"] is None), None)
    final = row.status in ev.FINAL_STATUSES and row.status != ev.TERMINATED
    if control is not None and len(told) == 1 and control["status"] in ev.FINAL_STATUSES:
        context.chaos.follow(row)
    by_itself = _outcome(row) if final else None
    without_a_kill = None if control is None else control["outcome"]
    good = [it for it in (by_itself, without_a_kill) if it is not None]
    steady = len(set(good)) <= 1
    compared = [_shown(it, good, steady) for it in told]
    running = context.chaos.waits(row) or any(it["status"] not in ev.FINAL_STATUSES for it in told)
    answer = {
        "of": row.id,
        "status": "none" if not told else "running" if running else "complete",
        "most": context.chaos.most,
        "kept_hours": context.settings.chaos_retention_hours,
        "steady": None if without_a_kill is None or not final else steady,
        "control": next((it for it in compared if it["number"] is None), None),
        "rows": [it for it in compared if it["number"] is not None],
        "summary": _summary([it for it in compared if it["number"] is not None]),
    }
    return json_response(answer, headers={"Cache-Control": "no-store"})


async def _row(context: "Context", child: Child) -> dict[str, Any]:
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
    async with context.engine.forking:  # a snapshot holds all results of an instance
        snapshot = await context.store.load(child.key)
        row["ran_twice"], row["outcome"] = _ran_twice(snapshot), _outcome(snapshot.row)
    if snapshot.row.error is not None:
        row["error"] = {"name": snapshot.row.error["name"], "message": snapshot.row.error["message"]}
    lost = {f"{step['name']}-{step['count']}" for step in row["ran_twice"]}
    doubled = {(it["kind"], it["step"]): None for it in shown_effects(await context.store.effects.of(child.key)) if it["double_of"] and it["step"] in lost}
    row["effects_twice"] = [{"kind": kind, "step": step} for kind, step in doubled]
    return row


def _shown(row: dict[str, Any], good: list[str], steady: bool) -> dict[str, Any]:
    """A row with the comparison in place of what is compared."""
    outcome = row["outcome"]
    compared = None if outcome is None or not good else SAME if outcome in good else DIFFERS if steady else VARIES
    return {name: value for name, value in row.items() if name != "outcome"} | {"result": compared}


def _ran_twice(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The steps of which an attempt was lost with its worker, so that what it did was done again."""
    found = []
    for step in sorted(snapshot.steps.values(), key=lambda step: step.started_seq):
        lost = step.attempt - step.failures - (step.status == STEP_COMPLETED)
        if step.key.kind == ev.DO and lost > 0:
            found.append({"kind": step.key.kind, "name": step.key.name, "count": step.key.count, "times": lost + 1})
    return found


def _outcome(row: InstanceRow) -> str:
    """What two runs are compared by: how they ended and with what, in a few bytes."""
    error = row.error and [row.error["name"], row.error["message"]]
    return hashlib.sha256(encode([row.status, row.output, error]).encode()).hexdigest()


def _summary(told: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "rows": len(told),
        "ended": sum(it["result"] is not None for it in told),
        **{result: sum(it["result"] == result for it in told) for result in (SAME, DIFFERS, VARIES)},
        "ran_twice": sum(bool(it["ran_twice"]) for it in told),
        "effects_twice": sum(bool(it["effects_twice"]) for it in told),
        "not_killed": sum(it["result"] is not None and it["killed"] is None for it in told),
    }
