"""Admission on PostgreSQL (store/flow.py), in the claim's transaction.

A key is locked while what may be admitted of it is decided (an advisory lock, which ends with the transaction), since
nodes may take two notes of one key. What is read after the lock was granted sees what its last holder committed.
"""

from collections.abc import Sequence
from typing import Any

from playground.store import columns
from playground.store.cache import CachedInstance
from playground.store.flow import (
    ADMITTED_MOST,
    AHEAD_MOST,
    COUNTED_MOST,
    LOOKS_MOST,
    Look,
    Place,
    Scope,
    admit,
    ahead_values,
    counted_since,
    is_waiting,
    next_start_at,
    scope_of_unique,
)
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Transaction
from playground.store.postgres.lanes import Lane, lane_of, share_lanes
from playground.store.postgres.write import Staged, write_statement
from playground.store.projection import project
from playground.store.rows import InstanceRow, NewInstance
from playground.workflows.events import WORKFLOW_ADMITTED, NewEvent
from playground.workflows.flow import DEBOUNCED, RATE_SECONDS_MOST, SINGLETON, limits_of

Admitted = tuple[InstanceRow, InstanceRow]  # after, and before
_SEPARATOR = "\x1f"


async def lock_scopes(tx: Transaction, sql: NamedSql, scopes: Sequence[Scope]) -> None:
    """Take turns at keys with other transactions, until this one ends."""
    await tx.rows(sql["lock_scopes"], [_SEPARATOR.join(("flow", *scope)) for scope in scopes])


async def admit_due(tx: Transaction, sql: NamedSql, now: int) -> list[Admitted]:
    """Admit the held instances whose turn has come, by the notes that are due."""
    notes = [Look(*row) for row in await tx.rows(sql["due_looks"], now, LOOKS_MOST)]
    if not notes:
        return []
    tx.changed = True
    scopes = sorted({look.scope for look in notes if look.scope is not None})
    keys = {look.instance for look in notes if look.scope is None}
    if scopes:
        await lock_scopes(tx, sql, scopes)
        found = await tx.rows(sql["held_of_keys"], *_columns(scopes), now, ADMITTED_MOST)
        keys |= {key for (key,) in found}
    if not keys:
        return []
    read = await tx.rows(sql["instances_locked"], [*keys])
    weights = {row[0]: columns.instance_weight(row) for row in read}
    held = [row for row in map(columns.instance_row, read) if _may_start(row, now)]
    chosen = [row for row in held if row.flow_key is None]
    if scopes:
        chosen += await _of_scopes(tx, sql, scopes, held, now)
    if not chosen:
        return []
    staged = [_staged(row, weights[row.key], now) for row in chosen]
    statement = write_statement(staged)
    moved, _ = await tx.row(statement.text(), *statement.values)
    assert set(moved) == {row.key for row in chosen}, "the rows are locked, so they are as they were read"
    await _put_in_lanes(tx, sql, chosen)
    return [(each.cached.row, row) for each, row in zip(staged, chosen, strict=True)]


def _may_start(row: InstanceRow, now: int) -> bool:
    return is_waiting(row) and row.held_until is not None and row.held_until <= now


async def _of_scopes(
    tx: Transaction, sql: NamedSql, scopes: Sequence[Scope], held: Sequence[InstanceRow], now: int
) -> list[InstanceRow]:
    begun = {tuple(scope): count for *scope, count in await tx.rows(sql["begun_of_keys"], *_columns(scopes))}
    chosen: list[InstanceRow] = []
    again: list[Look] = []
    for scope in scopes:
        candidates = [row for row in held if (row.tenant, row.workflow, row.flow_key) == scope]
        candidates.sort(key=lambda row: (-row.priority, row.key))
        since = [counted for row in candidates if (counted := counted_since(row, now)) is not None]
        starts = [at for (at,) in await tx.rows(sql["starts_of_key"], *scope, min(since))] if since else []
        admission = admit(candidates, begun[scope], starts, now)
        admitted = set(admission.keys)
        chosen += [row for row in candidates if row.key in admitted]
        if since:
            limited = [row.key for row in candidates if row.key in admitted and limits_of(row.limits).rate is not None]
            await tx.rows(sql["add_starts"], *scope, now, limited)
            await tx.rows(sql["drop_starts"], now - RATE_SECONDS_MOST * 1_000)
        if admission.again_at is not None:
            again.append(Look(admission.again_at, candidates[-1].key, *scope))
    if again:
        await tx.rows(sql["add_looks"], *_columns(again))
    return chosen


def _staged(row: InstanceRow, weight: int, now: int) -> Staged:
    events = [NewEvent(WORKFLOW_ADMITTED)]
    staged = Staged(CachedInstance(row, weight))
    staged.apply(project(row, events, now, {}), columns.event_values(row, events, row.execution or None, now)[0])
    return staged


async def _put_in_lanes(tx: Transaction, sql: NamedSql, rows: Sequence[InstanceRow]) -> None:
    """As `lanes.put_back`, for many."""
    first: dict[Lane, int] = {}
    for row in rows:
        lane = lane_of(row)
        first[lane] = min(row.key, first.get(lane, row.key))
    await share_lanes(tx, sql, first)
    for lane, key in sorted(first.items()):
        await tx.rows(sql["lower_head"], *lane, key)


async def living_of(tx: Transaction, sql: NamedSql, instances: Sequence[NewInstance]) -> dict[tuple[Scope, str], str]:
    """The ids of instances that there are in place of new ones, by key and code of the refusal.

    Their keys are locked, so that nobody else creates one of them until the transaction ends.
    """
    wanted = sorted({unique for new in instances if (unique := scope_of_unique(new)) is not None})
    if not wanted:
        return {}
    await lock_scopes(tx, sql, [scope for scope, _ in wanted])
    scopes, unstarted = _columns([scope for scope, _ in wanted]), [code == DEBOUNCED for _, code in wanted]
    found = await tx.rows(sql["living_of_keys"], *scopes, unstarted)
    return {
        ((tenant, workflow, key), DEBOUNCED if only_unstarted else SINGLETON): id
        for tenant, workflow, key, only_unstarted, id in found
        if id is not None
    }


async def ahead(tx: Transaction, sql: NamedSql, row: InstanceRow, now: int) -> int:
    """See `Store.ahead`."""
    [found] = await tx.row(sql["ahead_in_queue"], *ahead_values(row, now))
    return min(int(found), AHEAD_MOST)


async def place(tx: Transaction, sql: NamedSql, row: InstanceRow, now: int) -> Place:
    """See `Store.place`."""
    assert row.flow_key is not None
    scope = (row.tenant, row.workflow, row.flow_key)
    [*_, begun] = await tx.row(sql["begun_of_keys"], *_columns([scope]))
    [ahead] = await tx.row(sql["ahead_of_key"], *scope, now, row.priority, row.key, COUNTED_MOST)
    since = counted_since(row, now)
    starts = [] if since is None else [at for (at,) in await tx.rows(sql["starts_of_key"], *scope, since)]
    return Place(begun, ahead, next_start_at(row, starts, now))


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
