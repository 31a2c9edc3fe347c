"""What the store's tests share: every database that must keep the contract, short words for events,
and ways to wait.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aio import run

from playground.store import open_store
from playground.store.protocol import Store
from playground.store.rows import InstanceRow, NewInstance, Snippet
from playground.store.sqlite.migrations import empty_database
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

AT = 1_700_000_000_000
NODE = "node-a"
LEASE_MS = 60_000  # of which a database must answer within three tenths, on any machine
CONFIG = {"retries": {"limit": 2, "delay": 1000, "backoff": "constant"}, "timeout": 5000}
SQLITE, POSTGRES = "sqlite", "postgres"
NEVER_SECONDS = 3_600.0  # without polls, hints come from commits alone


def sqlite_url(folder: Path) -> str:
    """The URL of an empty SQLite database."""
    return new_file(folder / "store.db")


def new_file(path: Path) -> str:
    """The URL of an empty SQLite database in a new file, which needs no migration; one that is there is left alone."""
    if not path.exists():
        path.write_bytes(empty_database())
    return f"sqlite:///{path}"


def is_sqlite(url: str) -> bool:
    """Whether a database is SQLite's."""
    return url.startswith("sqlite:")


def opened(url: str, **given: Any) -> Store:
    """A store whose time is the test's: what is due is compared with `at`, and leases last."""
    if is_sqlite(url):
        given = {"synchronous": "normal"} | given
    if not is_sqlite(url):
        given = {"uses_caller_clock": True, "lease_clock": lambda: 0, "poll_seconds": NEVER_SECONDS} | given
    return open_store(url, **given)


async def _on_a_store(test: Callable[[Store], Awaitable[None]], url: str) -> None:
    store = opened(url)
    try:
        await test(store)
    finally:
        await store.close()


def with_store(test: Callable[[Store], Awaitable[None]]) -> Callable[[str], None]:
    """Run a test coroutine on a fresh store of each kind."""

    def in_a_loop(store_url: str) -> None:
        run(_on_a_store(test, store_url))

    functools.update_wrapper(in_a_loop, test)
    del in_a_loop.__wrapped__  # pytest would look at the inner signature
    return in_a_loop


def with_sqlite(test: Callable[[Store], Awaitable[None]]) -> Callable[[Path], None]:
    """Run a test coroutine on SQLite only, since it is about the file, its one process or the writer's thread."""

    def in_a_loop(tmp_path: Path) -> None:
        run(_on_a_store(test, sqlite_url(tmp_path)))

    functools.update_wrapper(in_a_loop, test)
    del in_a_loop.__wrapped__
    return in_a_loop


def new(
    id: str,
    *,
    tenant: str = "",
    queue: str = "q",
    workflow: str = "playground",
    snippet: str | Snippet = "snip",
    **given: Any,
) -> NewInstance:
    return NewInstance(
        tenant=tenant, id=id, workflow=workflow, snippet=snippet, queue=queue, **{"params": {"n": 1}, **given}
    )


def do(name: str = "s", count: int = 1) -> StepKey:
    return StepKey(ev.DO, name, count)


def sleep(name: str = "nap", count: int = 1) -> StepKey:
    return StepKey(ev.SLEEP, name, count)


def wait(name: str = "approval", count: int = 1) -> StepKey:
    return StepKey(ev.WAIT, name, count)


def started(step: StepKey, **data: Any) -> NewEvent:
    """The first event of a step of any kind."""
    if step.kind == ev.DO:
        return NewEvent(ev.STEP_STARTED, {"config": CONFIG, "line": 5, **data}, step)
    if step.kind == ev.SLEEP:
        return NewEvent(ev.SLEEP_STARTED, {"until": AT + 5000, "line": 6, **data}, step)
    return NewEvent(ev.WAIT_STARTED, {"event_type": "go", "until": AT + 9000, "line": 7, **data}, step)


def attempt(step: StepKey, number: int = 1) -> NewEvent:
    return NewEvent(ev.ATTEMPT_STARTED, {"attempt": number}, step)


def attempt_errored(step: StepKey, number: int = 1, name: str = "ValueError", **data: Any) -> NewEvent:
    return NewEvent(ev.ATTEMPT_ERRORED, {"attempt": number, "error": {"name": name, "message": "no"}, **data}, step)


def completed(step: StepKey, output: Any = "ok", secret: Any = None) -> NewEvent:
    return NewEvent(ev.STEP_COMPLETED, {"output": output}, step, secret)


def quick(step: StepKey, output: Any = "ok") -> list[NewEvent]:
    """A step that starts and completes at once."""
    return [started(step), attempt(step), NewEvent(ev.ATTEMPT_COMPLETED, {"attempt": 1}, step), completed(step, output)]


def execution_started(number: int = 1) -> NewEvent:
    return NewEvent(ev.EXECUTION_STARTED, {"execution": number, "worker": "w1", "replayed": 0, "code_version": "v1"})


def execution_ended(reason: str = ev.HIBERNATED) -> NewEvent:
    return NewEvent(ev.EXECUTION_ENDED, {"reason": reason})


def printed(text: str) -> NewEvent:
    return NewEvent(ev.LOG, {"stream": "stdout", "level": None, "text": text, "replay": False})


async def create(store: Store, *ids: str, at: int = AT, **given: Any) -> list[InstanceRow]:
    rows, refused = await store.create([new(id, **given) for id in ids], at=at)
    assert not refused
    return rows


async def owner(store: Store, node: str = NODE) -> str:
    """What stands in the rows of a node of this name, which joins if it has not."""
    owners: dict[str, str] = store.__dict__.setdefault("owners_of_a_test", {})
    if node not in owners:
        owners[node] = (await store.nodes.join(node, LEASE_MS)).owner
    return owners[node]


async def claim(store: Store, limit: int, *, at: int = AT, node: str = NODE, **given: Any) -> list[InstanceRow]:
    """What a node of this name takes."""
    return list((await store.claim(await owner(store, node), limit, at=at, **given)).rows)


async def running(store: Store, id: str = "i", at: int = AT, **given: Any) -> InstanceRow:
    """A new instance with its first execution under way. Nothing else may be due."""
    [created] = await create(store, id, at=at, **given)
    [claimed] = await claim(store, 1, at=at)
    assert claimed.key == created.key
    committed = await store.append(
        created.key, [execution_started(), NewEvent(ev.WORKFLOW_STARTED)], execution=claimed.execution, at=at
    )
    return committed.row


async def asleep(store: Store, id: str, until: int, at: int = AT, **given: Any) -> InstanceRow:
    """A new instance that has run once and sleeps until then, without a worker."""
    row = await running(store, id, at, **given)
    events = [started(sleep(), until=until), NewEvent(ev.WORKFLOW_WAITING, {"until": until}), execution_ended()]
    return (await store.append(row.key, events, execution=row.execution, at=at)).row


async def passes(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until the condition holds; the deadline is the test's."""
    while not condition():
        await asyncio.sleep(0)
