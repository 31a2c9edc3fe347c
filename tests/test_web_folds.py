"""Folds kept for people: what they answer is what folding the whole journal would,
though ended steps are kept as text.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from folds_support import from_json
from store_support import (
    AT,
    completed,
    create,
    do,
    execution_ended,
    execution_started,
    quick,
    sleep,
    started,
    with_store,
)

from playground.web.fold_cache import CachedFold, FoldCache
from playground.web.journal_reader import VALUES_BYTES, decode_steps
from playground.workflows import events as ev
from playground.workflows.events import Event, NewEvent
from playground.workflows.state import fold

JOURNALS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "journals").glob("*.json"))
}
NAPS = 1_200  # more than are read at once


def events(name: str) -> list[Event]:
    """A recorded journal."""
    return from_json(JOURNALS[name])


def whole(journal: list[Event]) -> Any:
    """The steps that a plain fold of all of it shows."""
    return json.loads(msgspec.json.encode(fold(journal).as_json()["steps"]))


@pytest.mark.parametrize("batch", [1, 3, 1_000])
@pytest.mark.parametrize("name", JOURNALS)
def test_after_every_batch_the_steps_are_those_of_the_whole_journal(name: str, batch: int) -> None:
    journal = events(name)
    kept = CachedFold(fold(journal).generation)
    for begin in range(0, len(journal), batch):
        if not kept.apply_events(
            journal[begin : begin + batch]
        ):  # what it has let go of is wanted again, as `Folds` has it
            kept = CachedFold(kept.state.generation + 1)
            assert kept.apply_events(journal[: begin + batch])
        assert msgspec.json.decode(kept.steps_json()) == whole(journal[: begin + batch])
    assert kept.state.status == fold(journal).status


def test_a_fold_that_has_put_steps_away_takes_no_restart() -> None:
    journal = events("restarted-from-a-step")
    assert not CachedFold(1).apply_events(journal)
    assert CachedFold(2).apply_events(journal)


def test_steps_are_read_with_their_large_values_as_text() -> None:
    large, small = ["x" * 200], [1]
    step = {
        "kind": "do",
        "output": large,
        "attempts": [{"attempt": 1, "error": {"message": "y" * 200}}],
        "config": {"timeout": 5},
    }
    rolled = {
        "kind": "do",
        "output": small,
        "rollback": {"status": "errored", "error": {"message": "z" * 200}, "attempts": []},
    }
    shown = decode_steps(msgspec.Raw(msgspec.json.encode([step, rolled])))
    assert bytes(shown[0]["output"]) == msgspec.json.encode(large)
    assert bytes(shown[0]["attempts"][0]["error"]) == msgspec.json.encode({"message": "y" * 200})
    assert (shown[0]["attempts"][0]["attempt"], shown[0]["config"], shown[1]["output"]) == (1, {"timeout": 5}, small)
    assert (shown[1]["rollback"]["status"], bytes(shown[1]["rollback"]["error"])) == (
        "errored",
        msgspec.json.encode({"message": "z" * 200}),
    )


@with_store
async def test_thousands_of_ended_steps_are_held_as_text_and_a_restart_folds_afresh(store):
    (row,) = await create(store, "i")
    naps = [
        event for count in range(1, NAPS + 1) for event in (started(sleep(count=count)), completed(sleep(count=count)))
    ]
    await store.append(row.key, [execution_started(), *naps, started(do("open"))], execution=None, at=AT)
    folds = FoldCache(store)
    kept = await folds.current_fold(await store.find("", "i"))
    shown = msgspec.json.decode(kept.steps_json())
    assert [step["status"] for step in shown] == ["completed"] * NAPS + ["running"]
    assert list(kept.state.steps) == [do("open")]
    origin = {"kind": ev.SLEEP, "name": "nap", "count": 3}
    await store.append(
        row.key,
        [execution_ended(), NewEvent(ev.WORKFLOW_RESTARTED, {"from_step": origin}), *quick(do("then"))],
        execution=None,
        at=AT,
    )
    assert [
        step["name"] for step in msgspec.json.decode((await folds.current_fold(await store.find("", "i"))).steps_json())
    ] == [
        "nap",
        "nap",
        "then",
    ]
    assert len(msgspec.json.decode((await folds.fold_at(await store.find("", "i"), 2 * NAPS)).steps_json())) == NAPS - 1


@with_store
async def test_two_who_ask_at_once_count_large_values_once(store):
    (row,) = await create(store, "i")
    first, second, third = (quick(do(count=count), "x" * (VALUES_BYTES // 4)) for count in (1, 2, 3))
    await store.append(row.key, [execution_started(), *first, *second], execution=None, at=AT)
    folds = FoldCache(store)
    grown = await store.find("", "i")
    await asyncio.gather(folds.current_fold(grown), folds.current_fold(grown))
    await store.append(row.key, third, execution=None, at=AT)
    shown = msgspec.json.decode((await folds.current_fold(await store.find("", "i"))).steps_json())
    assert [len(step["output"]) for step in shown] == [VALUES_BYTES // 4] * 3
