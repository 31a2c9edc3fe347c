"""What came of each rerun of a chaos run: how it ended, what ran twice, whether it took another way, and what it is
compared by.
"""

import hashlib
import json
from collections import OrderedDict
from typing import Any

from playground.engine import Engine
from playground.engine.chaos_runs import number_of
from playground.store.encoding import encode
from playground.store.protocol import History
from playground.store.rows import STEP_COMPLETED, Child, InstanceRow
from playground.web.instance_view import effects_json, instance_url
from playground.workflows import events as ev

CACHED_ROWS = 2_000  # rows of ended reruns, which never change any more
PAGE = 1_000  # journal events looked through at a time
NOT_REACHED_SHOWN = 10  # steps that a replay left out, of one rerun


class ChaosRows:
    """What is told of each rerun; of those that have ended, it is remembered."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ended_rows: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._digests: OrderedDict[tuple[int, int], str] = OrderedDict()

    async def row_of_rerun(self, child: Child) -> dict[str, Any]:
        """How a rerun stands, without comparison."""
        known = self._ended_rows.get(child.key)
        if known is not None:
            self._ended_rows.move_to_end(child.key)
            return known
        row = await self._read_row(child)
        if child.status in ev.FINAL_STATUSES:
            self._ended_rows[child.key] = row
            while len(self._ended_rows) > CACHED_ROWS:
                self._ended_rows.popitem(last=False)
        return row

    async def steps_digest_of(self, row: InstanceRow) -> str | None:
        """The way that an instance went, if it has ended: see `way`."""
        if row.status not in ev.FINAL_STATUSES:
            return None
        key = (row.key, row.last_seq)
        if key not in self._digests:
            async with self._engine.fork_slots:
                self._digests[key] = steps_digest(await self._engine.store.load(row.key))
            while len(self._digests) > CACHED_ROWS:
                self._digests.popitem(last=False)
        return self._digests[key]

    async def _read_row(self, child: Child) -> dict[str, Any]:
        plan = (child.injected or {}).get("chaos", {})
        row: dict[str, Any] = {
            "number": number_of(child),
            "id": child.id,
            "url": instance_url(child.id),
            "status": child.status,
            "killed": {"before": plan["killed"]["step"]} if "killed" in plan else None,
            "executions": child.execution,
            "took_ms": None
            if child.ended_at is None or child.started_at is None
            else child.ended_at - child.started_at,
            "error": None,
            "ran_twice": [],
            "effects_twice": [],
            "not_reached": None,
            "outcome": None,
            "way": None,
        }
        if child.status not in ev.FINAL_STATUSES:
            return row
        async with self._engine.fork_slots:  # a history holds all results of an instance
            snapshot = await self._engine.store.load(child.key)
            row["ran_twice"], row["outcome"], row["way"] = (
                _ran_twice(snapshot),
                outcome_digest(snapshot.row),
                steps_digest(snapshot),
            )
        if child.execution > 1:
            row["not_reached"] = await self._not_reached(child)
        if snapshot.row.error is not None:
            row["error"] = {"name": snapshot.row.error["name"], "message": snapshot.row.error["message"]}
        lost = {f"{step['name']}-{step['count']}" for step in row["ran_twice"]}
        doubled = {
            (it["kind"], it["step"]): None
            for it in effects_json(await self._engine.store.effects.of_instance(child.key))
            if it["double_of"] and it["step"] in lost
        }
        row["effects_twice"] = [{"kind": kind, "step": step} for kind, step in doubled]
        return row

    async def _not_reached(self, child: Child) -> list[dict[str, Any]] | None:
        """The steps that a replay left out though they had been called; None when every replay went the same way."""
        found: list[dict[str, Any]] | None = None
        after = 0
        while page := await self._engine.store.events_json(child.key, after=after, limit=PAGE):
            for after, type, text in page:  # noqa: B007 - the last one is where the next page begins
                if type == ev.REPLAY_DIVERGED:
                    found = [*(found or ()), *json.loads(text)["data"]["steps"]][:NOT_REACHED_SHOWN]
        return found


def _ran_twice(snapshot: History) -> list[dict[str, Any]]:
    """The steps of which an attempt was lost with its worker, so that what it did was done again."""
    found = []
    for step in sorted(snapshot.steps.values(), key=lambda step: step.started_seq):
        lost = step.attempt - step.failures - (step.status == STEP_COMPLETED)
        if step.key.kind == ev.DO and lost > 0:
            found.append({**step.key.as_json(), "times": lost + 1})
    return found


def outcome_digest(row: InstanceRow) -> str:
    """What two runs are compared by: how they ended and with what, in a few bytes."""
    error = row.error and [row.error["name"], row.error["message"]]
    return hashlib.sha256(encode([row.status, row.output, error]).encode()).hexdigest()


def steps_digest(snapshot: History) -> str:
    """By which steps an instance came to its end, and how each ended, in a few bytes.

    What each gave is left out: it may be by chance.
    """
    steps = sorted([repr(step.key), step.status] for step in snapshot.steps.values())
    return hashlib.sha256(encode(steps).encode()).hexdigest()
