"""Operations on many runs of a tenant: terminate, pause, resume, restart, fork or delete all that fit a filter.

What fits is fixed when one is created: a run that fits later is not touched, and neither is one that was restarted
meanwhile. A dry run says how many there are, and of how many what is asked is true already. The operation is a row
(store/bulks.py); a node takes it for `LEASE_MS`, goes through it in steps of `AT_ONCE` runs, and writes how far it is
after each part. Where that node dies another takes the part up again: what was done then is found to be so already,
a restart happens once for a generation, and a fork has an id that follows from its origin.

`bulk_per_second` bounds what one node does in a second, for all tenants together, so that nobody's first start waits
for it. Limits: `bulks_per_tenant` at once, `bulk_runs` in each, `FAILURES_KEPT` failures with their reasons, and the
newest `ENDED_KEPT` that have ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from playground.engine import forks
from playground.engine.code.sources import is_deployed, shown_workflow
from playground.engine.code.tenants import Tenants
from playground.engine.engine import Engine
from playground.engine.instances import step_key
from playground.engine.looks import Looks
from playground.store.bulks import DONE, RUNNING, Bulk, Target
from playground.store.errors import StoreError
from playground.store.rows import InstanceRow
from playground.store.search import Head, RunFilter
from playground.workflows import events as ev
from playground.workflows.errors import (
    BulkNotFound,
    BulksFull,
    CannotFork,
    CannotTerminate,
    InstanceAlreadyExists,
    InstanceNotFound,
    InvalidBulk,
    WorkflowError,
)
from playground.workflows.filters import DELETE, FORK, OPERATIONS, PAUSE, RESTART, RESUME, TERMINATE
from playground.workflows.names import derived_id

NEWEST = "newest"  # version of a fork: the newest of the run's workflow

AT_ONCE = 10  # runs that a node operates on at the same time
LEASE_MS = 30_000
POLL_MS = 5_000  # for operations that other nodes were asked for
PAGE = 1_000  # keys read at once
FAILURES_KEPT = 100
ENDED_KEPT = 20
EXAMPLES = 5  # ids that a dry run names
# Its journal does not say by whom.
RESTARTED = "It was restarted meanwhile: by somebody, or by this operation before its server died. It is left as it is."

# The statuses in which an operation has nothing to do.
_DONE_ALREADY: Mapping[str, frozenset[str]] = {
    TERMINATE: ev.FINAL_STATUSES,
    PAUSE: ev.FINAL_STATUSES | {ev.PAUSED, ev.WAITING_FOR_PAUSE},
    RESUME: frozenset(ev.STATUSES) - {ev.PAUSED, ev.WAITING_FOR_PAUSE},
}


class Operation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is done to each run. `rollback` of terminate; `from_step` of restart and fork: `{name, count?, kind?}`;
    `version` of fork: its code, "newest" for the newest of its workflow.
    """

    operation: str
    rollback: bool = False
    from_step: dict[str, Any] | None = None
    version: str | None = None

    def check(self) -> None:
        """Raises InvalidBulk, CannotRestart."""
        if self.operation not in OPERATIONS:
            raise InvalidBulk(f"`operation` takes one of {', '.join(OPERATIONS)}.")
        if self.rollback and self.operation != TERMINATE:
            raise InvalidBulk("`rollback` goes with terminate.")
        if self.from_step is not None and self.operation not in (RESTART, FORK):
            raise InvalidBulk("`from_step` goes with restart and fork.")
        if self.version is not None and self.operation != FORK:
            raise InvalidBulk("`version` goes with fork.")
        step_key(self.from_step)


@dataclass(frozen=True, slots=True)
class Matches:
    """What fits: the targets, newest first; how many of them are as they are to be already; the first ids."""

    targets: list[Target]
    unchanged: int
    ids: list[str]


class BulkRuns:
    """The operations on many runs of one node. They are carried out until the engine closes."""

    def __init__(self, engine: Engine, tenants: Tenants) -> None:
        self._engine, self._tenants = engine, tenants
        self._store, self._clock, self._settings = engine.store, engine.clock, engine.settings
        self._looks = Looks(engine.clock, self._look, self._on_failure)
        self._paced_until = 0
        self._looks.wake()
        engine.run_in_background(self._looks.run())

    async def matches(self, tenant: str, operation: Operation, filter: RunFilter) -> Matches:
        """What an operation would be about now. Raises InvalidBulk: it is too many, or makes no sense."""
        operation.check()
        most, done_already = self._settings.bulk_runs, _DONE_ALREADY.get(operation.operation, frozenset())
        heads: list[Head] = []
        before: int | None = None
        while True:
            found = await self._store.search.keys(tenant, filter, before=before, limit=PAGE)
            if len(heads) + len(found.keys) > most:
                raise InvalidBulk(
                    f"More than {most:,} runs fit, which is the most for one operation. Narrow the filter, for example "
                    "by time, and go on with the rest.",
                    setting="bulk_runs",
                )
            if found.keys:
                heads += await self._store.search.heads(found.keys)
            if found.next is None:
                break
            before = found.next
        unchanged = sum(head.status in done_already for head in heads)
        targets = [Target(head.key, head.generation) for head in heads]
        return Matches(targets, unchanged, [head.id for head in heads[:EXAMPLES]])

    async def begin(self, tenant: str, operation: Operation, filter: RunFilter) -> Bulk:
        """Begin an operation on all runs of a tenant that fit now; they are done from the newest to the oldest.

        Raises:
            BulksFull: the tenant has as many under way as it may.
            InvalidBulk: see `matches`.
        """
        found, now = await self.matches(tenant, operation, filter), self._clock.now()
        [id] = self._engine.ids.instance_ids(1)
        asked, fits = msgspec.to_builtins(operation), msgspec.to_builtins(filter)
        bulk = Bulk(tenant, id, asked, fits, RUNNING, len(found.targets), created_at=now, due_at=now)
        most = self._settings.bulks_per_tenant
        if not await self._store.bulks.create(bulk, found.targets, most=most, kept=ENDED_KEPT):
            raise BulksFull(
                f"{most:,} operations on many runs are under way, which is the most at once. Wait for one to end, or "
                "stop it.",
                setting="bulks_per_tenant",
            )
        self._looks.wake()
        return bulk

    async def get(self, tenant: str, id: str) -> Bulk:
        """How an operation stands. Raises BulkNotFound."""
        found = await self._store.bulks.get(tenant, id)
        if found is None:
            raise BulkNotFound(f'There is no operation "{id[:80]}".')
        return found

    async def stop(self, tenant: str, id: str) -> Bulk:
        """Stop an operation; what is done stays. No effect on one that has ended. Raises BulkNotFound."""
        await self._store.bulks.stop(tenant, id, at=self._clock.now())
        return await self.get(tenant, id)

    # Carrying them out.

    def _on_failure(self, error: Exception) -> None:
        self._engine.log("scheduler_failed", error=f"{type(error).__name__}: {error}")

    async def _look(self) -> int | None:
        """Carry out what is due; gives when to look again."""
        while True:
            now = self._clock.now()
            due = await self._store.bulks.next_due()
            if due is None or due > now:
                return now + POLL_MS if due is None else min(due, now + POLL_MS)
            bulk = await self._store.bulks.take_due(at=now, until=now + LEASE_MS)
            if bulk is not None:
                await self._carry_out_part(bulk)

    async def _carry_out_part(self, bulk: Bulk) -> None:
        """Do the next part, and let the next operation have its turn: each in turn does a part."""
        act = self._act(bulk)
        targets = await self._store.bulks.part(bulk)
        counts = {"done": bulk.done, "unchanged": bulk.unchanged, "failed": bulk.failed}
        failures = [*bulk.failures]
        for at in range(0, len(targets), AT_ONCE):
            some = targets[at : at + AT_ONCE]
            await self._pace(len(some))
            rows = {row.key: row for row in await self._store.search.rows([target.key for target in some])}
            outcomes = await asyncio.gather(*(self._one(act, target, rows.get(target.key)) for target in some))
            for outcome in outcomes:
                counts[outcome if isinstance(outcome, str) else "failed"] += 1
                if not isinstance(outcome, str) and len(failures) < FAILURES_KEPT:
                    failures.append(outcome)
        now = self._clock.now()
        over = not targets or sum(counts.values()) >= bulk.matched
        moved = replace(
            bulk, **counts, failures=failures, part=bulk.part + 1, state=DONE if over else RUNNING,
            ended_at=now if over else None, due_at=None if over else now,
        )  # fmt: skip
        await self._store.bulks.advance(bulk, moved)

    async def _pace(self, count: int) -> None:
        """Wait until so many more runs may be operated on."""
        now = self._clock.now()
        begin = max(now, self._paced_until)
        self._paced_until = begin + count * 1_000 // self._settings.bulk_per_second
        if begin > now:
            reached = asyncio.get_running_loop().create_future()
            timer = self._clock.call_at(begin, _settle, reached)
            try:
                await reached
            finally:
                timer.cancel()

    async def _one(
        self, act: Callable[[InstanceRow], Awaitable[bool]], target: Target, row: InstanceRow | None
    ) -> str | dict[str, Any]:
        """Operate on one run: `done`, `unchanged`, or why it can't be."""
        if row is None:
            return "unchanged"
        if row.generation != target.generation:
            return {"id": row.id, "code": "bulk.restarted", "message": RESTARTED}
        try:
            return "done" if await act(row) else "unchanged"
        except StoreError:
            raise  # the part is tried again
        except InstanceNotFound:
            return "unchanged"
        except WorkflowError as error:
            return {"id": row.id, "code": error.code, "message": error.message[:200]}

    def _act(self, bulk: Bulk) -> Callable[[InstanceRow], Awaitable[bool]]:
        """What is done to each run; it says whether that changed anything."""
        asked, engine = msgspec.convert(bulk.operation, Operation), self._engine
        from_step = step_key(asked.from_step)

        async def terminate(row: InstanceRow) -> bool:
            if row.status in ev.FINAL_STATUSES:
                return False
            try:
                return bool((await engine.terminate(row, asked.rollback)).events)
            except CannotTerminate:
                if (await engine.store.row(row.key)).status in ev.FINAL_STATUSES:
                    return False
                raise

        async def pause(row: InstanceRow) -> bool:
            return bool((await engine.pause(row)).events)

        async def resume(row: InstanceRow) -> bool:
            return bool((await engine.resume(row)).events)

        async def restart(row: InstanceRow) -> bool:
            await engine.restart(row, from_step, generation=row.generation)
            return True

        async def fork(row: InstanceRow) -> bool:
            planned = await forks.plan(engine, row, from_step)
            template = planned.template
            if asked.version is not None:
                if not is_deployed(row.workflow):
                    raise CannotFork("The code of this run comes from a program on the server.")
                id = "" if asked.version == NEWEST else asked.version
                version = await self._tenants.version(row.tenant, id, shown_workflow(row.workflow))
                template = replace(template, version=version.id)
            new = replace(template, id=derived_id(f"bulk\0{bulk.tenant}\0{bulk.id}\0{row.key}"), id_is_chosen=False)
            try:
                await engine.create(new)
            except InstanceAlreadyExists:
                return False
            return True

        async def delete(row: InstanceRow) -> bool:
            await engine.delete(row)
            return True

        return {TERMINATE: terminate, PAUSE: pause, RESUME: resume, RESTART: restart, FORK: fork, DELETE: delete}[
            asked.operation
        ]


def _settle(reached: "asyncio.Future[None]") -> None:
    if not reached.done():
        reached.set_result(None)
