"""What the store holds in memory only for speed: it is bounded, and can be given back at any time."""

import asyncio

from aio import story
from store_support import AT, attempt, completed, do, running, started, with_sqlite, with_store

from playground.engine.scheduler import IdleTrimmer
from playground.store.rows import Snippet
from playground.store.snippets import SnippetCache
from playground.workflows import events as ev
from playground.workflows.events import NewEvent


def test_snippets_known_longest_are_let_go_of_first() -> None:
    known = SnippetCache(characters_max=10)
    for id in ("a", "b"):
        known.put(Snippet(id, "12345", None, AT))
    assert known.get("a") is not None
    known.put(Snippet("c", "123", "45", AT))
    assert [known.get(id) is not None for id in "abc"] == [True, False, True]
    known.put(Snippet("large", "x" * 11, None, AT))
    assert [known.get(id) for id in ("a", "c", "large")] == [None, None, None]
    known.put(Snippet("d", "1234567890", None, AT))
    assert known.get("d") is not None


@with_store
async def test_a_snippet_is_what_was_stored_first_however_often_it_is_put(store) -> None:
    first = await store.put_snippet("source", None, at=AT)
    await store.shrink()
    assert await store.put_snippet("source", None, at=AT + 5) == first
    assert await store.put_snippet("source", None, at=AT + 6) == first
    await store.shrink()
    assert await store.snippet(first.id) == first
    assert await store.snippet("unknown") is None


@with_store
async def test_an_instance_goes_on_after_memory_was_given_back(store) -> None:
    row = await running(store)
    await store.shrink()
    ended = NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})
    committed = await store.append(row.key, [ended], execution=row.execution, at=AT + 1)
    assert committed.row.status == ev.COMPLETE


@with_sqlite
async def test_a_fenced_append_to_a_step_under_way_asks_the_database_nothing(store) -> None:
    """PostgreSQL is asked in the statement that appends."""
    row = await running(store)
    await store.append(row.key, [started(do()), attempt(do())], execution=1, at=AT)
    statements: list[str] = []
    store._transaction._db.set_trace_callback(statements.append)
    done = NewEvent(ev.ATTEMPT_COMPLETED, {"attempt": 1}, do())
    await store.append(row.key, [done, completed(do(), "x")], execution=1, at=AT)
    store._transaction._db.set_trace_callback(None)
    kinds = [statement.split()[0] for statement in statements]
    assert "INSERT" in kinds and "COMMIT" in kinds and "SELECT" not in kinds


class Shrinking:
    """Counts how often a store was asked to give memory back."""

    def __init__(self) -> None:
        self.times = 0
        self.asked = asyncio.Event()

    async def shrink(self) -> None:
        self.times += 1
        self.asked.set()
        if self.times == 2:
            raise OSError("no disk")


@story
async def test_memory_is_given_back_once_nothing_runs_and_not_while_something_does() -> None:
    store, said = Shrinking(), []
    trimmer = IdleTrimmer(store, lambda event, **fields: said.append((event, fields)), seconds=0)
    trimmer.add_cache(lambda: said.append(("forgotten", {})))
    trimmer.on_idle()
    trimmer.on_busy()
    await asyncio.sleep(0)
    assert (store.times, said) == (0, [])
    trimmer.on_idle()
    await store.asked.wait()
    store.asked.clear()
    trimmer.on_idle()
    await store.asked.wait()
    await trimmer.close()
    assert (store.times, said) == (
        2,
        [("forgotten", {}), ("forgotten", {}), ("shrink_failed", {"error": "OSError: no disk"})],
    )
    trimmer.on_idle()
    await trimmer.close()
    assert store.times == 2
