"""What the API and the pages show of an instance: its journal, folded, with the few facts that only its row knows.

Beside it stand what templates ask of that JSON (steps in the order in which they are drawn, their names, errors in one
line), which is `static/js/run/nested.js` and a part of `words.js` and `errors.js` for pages without scripts, and the
ledger of effects with which of them repeat which.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from playground.engine import queues
from playground.engine.code.sources import shown_workflow
from playground.store.projection_rules import own_retention_ms
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.store.tables import EffectRow
from playground.web.fold_cache import FoldCache
from playground.web.journal_reader import ValueBudget, decode_steps, left_out_marker, read_events
from playground.web.queue_view import queue_json
from playground.workflows import events as ev
from playground.workflows.errors import InstanceExpired, InstanceNotFound
from playground.workflows.logs import LogJoiner, LogText
from playground.workflows.state import State

ANONYMOUS = ""  # the tenant of instances started without one; they share one namespace of ids
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
LOG_LINES_SHOWN = 1_000  # on a page without JavaScript
LOG_EVENTS_READ = 10_000  # events looked through for them
BRIEF_CHARACTERS = 120  # of an error in a list of runs
LONG_EVENTS = (
    5_000  # to fold more takes over 100 ms of a processor: a page shows what the row says, unless asked for all
)

JsonObject = Mapping[str, Any]

_MEMBER_COUNT = re.compile(r"\((\d{1,9}) sub-exceptions?\)\Z")  # ends the message of a group
_NESTED_DEEPEST = 100  # more than any step lies in others
_LOG_TYPES = frozenset({ev.LOG, ev.REPLAY_DIVERGED})


class InstanceViews:
    """What people are shown. `forget` lets go of what is kept for speed; `now` is epoch milliseconds."""

    def __init__(self, store: Store, retention_days: int, chaos_hours: int, now: Callable[[], int]) -> None:
        self._store, self._retention_days, self._chaos_hours = store, retention_days, chaos_hours
        self._now = now
        self._folds = FoldCache(store)
        self.clear_cache = self._folds.clear

    async def find_instance(self, id: str, tenant: str = ANONYMOUS) -> InstanceRow:
        """The instance of an id. Raises InstanceNotFound, in words for people."""
        try:
            return await self._store.find(tenant, id)
        except InstanceExpired:
            raise
        except InstanceNotFound:
            kept = (
                f" Finished runs are kept {self._retention_days} day{'s' if self._retention_days != 1 else ''}."
                if self._retention_days
                else ""
            )
            raise InstanceNotFound(f"No run has this address.{kept}") from None

    async def view_json(self, row: InstanceRow, at: int | None = None) -> dict[str, Any]:
        """What `GET /api/instances/{id}` answers; its steps and large values in it are JSON text (`msgspec.Raw`).

        `at` is the seq after whose event the instance is shown; None: as it stands.
        """
        fold = await (self._folds.current_fold(row) if at is None else self._folds.fold_at(row, at))
        state = fold.state
        shown = _identity(row) | state.as_json(fold.steps_json())
        ended = state if state.status in ev.FINAL_STATUSES else row
        ended_at = ended.ended_at if ended.status in ev.FINAL_STATUSES else None
        shown["kept_until"] = None if ended_at is None else self._kept_until(row, ended_at, ended.status)
        shown["queue"] = None if at is not None else await queue_json(self._store, row, self._now())
        return shown

    async def summary_json(self, row: InstanceRow) -> dict[str, Any]:
        """What the row of a long run says of it, with None for what only the fold of its journal has."""
        is_final = row.status in ev.FINAL_STATUSES
        kept_until = self._kept_until(row, row.ended_at, row.status) if is_final and row.ended_at is not None else None
        return _identity(row) | {
            "status": row.status,
            "output": row.output,
            "error": row.error,
            "rollback": row.rollback,
            "params": row.params,
            "generation": row.generation,
            "created_at": row.created_at,
            "started_at": row.started_at,
            "ended_at": row.ended_at,
            "executions": None,
            "last_seq": row.last_seq,
            "steps": None,
            "streams": None,
            "kept_until": kept_until,
            "queue": await queue_json(self._store, row, self._now()),
        }

    def _kept_until(self, row: InstanceRow, ended_at: int, status: str) -> int | None:
        kept_ms = self._chaos_hours * HOUR_MS if queues.is_chaos(row.queue) else self._retention_days * DAY_MS
        own_ms = own_retention_ms(row.limits, status)
        lasts = min(filter(None, (kept_ms, own_ms)), default=None)
        return None if lasts is None else ended_at + lasts

    def events_unread(self, row: InstanceRow) -> int:
        """How many events of its journal `state` has to read."""
        return self._folds.unread(row)

    async def state(self, row: InstanceRow) -> State:
        """The fold of its journal, to be looked at before the next await. Of its steps it has those that go on."""
        return (await self._folds.current_fold(row)).state

    async def view_with_steps(self, row: InstanceRow, at: int | None = None) -> dict[str, Any]:
        """The same with its steps as objects; large values in them stay JSON text, which `as_objects` reads."""
        shown = await self.view_json(row, at)
        return {**shown, "steps": decode_steps(shown["steps"])}

    async def streams(self, row: InstanceRow) -> list[dict[str, Any]]:
        """The streams that its steps have appended to, without their values."""
        fold = await self._folds.current_fold(row)
        return fold.state.streams_json()

    async def logs_and_divergences(self, row: InstanceRow, at: int | None = None) -> dict[str, list[dict[str, Any]]]:
        """What a page without JavaScript shows beside the fold; with `at`, up to the event of that seq.

        `logs` are the first texts that the instance printed; `diverged` tells where a replay took another way:
        execution, steps that it did not reach.
        """
        joiner = LogJoiner()
        diverged: list[dict[str, Any]] = []
        after, budget = 0, ValueBudget()
        until = row.last_seq if at is None else at
        while len(joiner.texts) < LOG_LINES_SHOWN and after < min(LOG_EVENTS_READ, until):
            batch, reached = await read_events(self._store, row.key, after=after, budget=budget, only=_LOG_TYPES)
            for event in batch:
                if event.seq > until:
                    break
                joiner.add(event)
                if event.type == ev.REPLAY_DIVERGED:
                    diverged.append({"execution": event.execution, **event.data})
            if reached == after:
                break
            after = reached
        return {"logs": [_log_line(text) for text in joiner.texts[:LOG_LINES_SHOWN]], "diverged": diverged}


def _identity(row: InstanceRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "url": instance_address(row) if row.tenant else instance_url(row.id),
        "workflow": shown_workflow(row.workflow),
        "snippet": row.snippet,
        "code_version": row.snippet,
    }


def _log_line(text: LogText) -> dict[str, Any]:
    step = step_label(text.step.as_json()) if text.step else None
    shown = {name: getattr(text, name) for name in ("at", "execution", "stream", "level", "text", "replay", "line")}
    return {**shown, "step": step}


def decode_values(view: Any, most: int | None = None) -> Any:
    """A view as objects. With `most`, large values past so many bytes in all are left out."""
    left = [most]

    def read_all(tree: Any) -> Any:
        if isinstance(tree, msgspec.Raw):
            size = len(bytes(tree))
            if left[0] is not None:
                left[0] -= size
                if left[0] < 0:
                    return left_out_marker(size)
            return msgspec.json.decode(tree)
        if isinstance(tree, dict):
            return {name: read_all(value) for name, value in tree.items()}
        return [read_all(value) for value in tree] if isinstance(tree, (list, tuple)) else tree

    return read_all(view)


def instance_url(id: str) -> str:
    """Where people look at an instance."""
    return f"/instances/{id}"


def instance_address(row: InstanceRow) -> str:
    """Where a tenant's instance is found over the API."""
    return f"/api/tenants/{row.tenant}/instances/{row.id}"


def snippet_url(id: str) -> str:
    """Where people look at a snippet."""
    return f"/s/{id}"


def steps_in_order(steps: Sequence[JsonObject]) -> list[tuple[JsonObject, int]]:
    """Steps with how many others each lies in: in the order in which they began, but those called in another one under
    it.
    """
    keys = {_step_key(step) for step in steps}
    inside: dict[Any, list[JsonObject]] = {}
    for step in steps:
        parent = step.get("parent")
        key = None if parent is None else _step_key(parent)
        inside.setdefault(key if key in keys else None, []).append(step)
    return list(_nested_steps(inside, None, 0))


def step_label(step: JsonObject) -> str:
    """A step's name as people see it, after those of the steps that it was called in; counts are said from the second
    on.
    """
    own = f"{step['name']}-{step['count']}" if step["count"] > 1 else str(step["name"])
    return own if step.get("parent") is None else f"{step_label(step['parent'])} › {own}"


def first_error(error: JsonObject) -> JsonObject:
    """What went wrong: of a group of errors its first member."""
    while error.get("errors"):
        error = error["errors"][0]
    return error


def brief_error(error: JsonObject | None) -> JsonObject | None:
    """What went wrong, cut for one line of a list: name, message, line of the code or None."""
    if error is None:
        return None
    first = first_error(error)
    message = " ".join(str(first.get("message") or "").split())
    cut = message if len(message) <= BRIEF_CHARACTERS else message[: BRIEF_CHARACTERS - 1] + "…"
    return {"name": str(first.get("name") or "Error")[:BRIEF_CHARACTERS], "message": cut, "line": first.get("line")}


def omitted_errors(error: JsonObject) -> int:
    """How many members of a group were not kept; its message ends with how many there were."""
    found = _MEMBER_COUNT.search(error.get("message") or "")
    return max(0, int(found[1]) - len(error["errors"])) if found else 0


def _nested_steps(
    inside: Mapping[Any, Sequence[JsonObject]], parent: Any, depth: int
) -> Iterator[tuple[JsonObject, int]]:
    assert depth < _NESTED_DEEPEST, "no step lies in itself"
    for step in inside.get(parent, ()):
        yield step, depth
        yield from _nested_steps(inside, _step_key(step), depth + 1)


def _step_key(step: JsonObject) -> tuple[Any, ...]:
    parent = step.get("parent")
    return step["kind"], step["name"], step["count"], None if parent is None else _step_key(parent)


def effects_json(effects: list[EffectRow]) -> list[dict[str, Any]]:
    """Effects as the API shows them. A double is one of the same step, kind and data as an earlier attempt's."""
    first: dict[tuple[Any, ...], EffectRow] = {}
    listed = []
    for effect in effects:
        what = (effect.step, effect.kind, repr(effect.data))
        before = first.setdefault(what, effect)
        double = effect.step is not None and (before.attempt, before.execution) != (effect.attempt, effect.execution)
        listed.append(
            {
                "id": _effect_id(effect),
                "kind": effect.kind,
                "at": effect.at,
                "key": effect.key,
                "data": effect.data,
                "step": effect.step,
                "attempt": effect.attempt,
                "execution": effect.execution,
                "asked": effect.asked,
                "double_of": _effect_id(before) if double else None,
            }
        )
    return listed


def effect_rows(effects: list[EffectRow]) -> list[dict[str, Any]]:
    """Effects as a table without scripts shows them: one row for what happened and all its doubles."""
    rows: dict[str, dict[str, Any]] = {}
    for effect in effects_json(effects):
        before = rows.get(effect["double_of"])
        if before is None:
            rows[effect["id"]] = {**effect, "attempts": [effect["attempt"]], "times": 1}
        else:
            before["times"] += 1
            before["attempts"].append(effect["attempt"])
    return list(rows.values())


def _effect_id(effect: EffectRow) -> str:
    return f"{effect.kind}-{effect.number}"
