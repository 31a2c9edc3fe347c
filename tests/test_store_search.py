"""Searches on both databases: what fits is found in pages, newest first, however short the walks."""

from random import Random
from typing import Any

import pytest
from aio import run
from store_support import AT, CONFIG, opened

from playground.engine.run_filters import run_filter
from playground.store import search
from playground.store.protocol import Store
from playground.store.rows import InstanceRow, NewInstance
from playground.store.search import NEWEST, RunFilter
from playground.workflows import events as ev
from playground.workflows.errors import InvalidFilter
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.tags import tags_of

MINUTE = 60_000
ERRORS = ("ValueError", 'Odd"Error', "TimeoutError")


def _error(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "message": f"order {number}\x00 was Größer"}


async def _filled(store: Store, pick: Random) -> dict[int, tuple[InstanceRow, list[str]]]:
    """Instances of two tenants a minute apart, with the types of events that each waits for."""
    made: dict[int, tuple[InstanceRow, list[str]]] = {}
    for number in range(40):
        tenant, tags = pick.choice(("acme", "acme", "other")), pick.sample(["vip", "eu", "half"], pick.randrange(4))
        new = NewInstance(
            tenant, f"i{number}", pick.choice(("deployed", "deployed/b")), pick.choice("vw"), None, tenant,
            events=[NewEvent(ev.WORKFLOW_TAGGED, {"tags": tags})] if tags else [],
        )  # fmt: skip
        at = AT + number * MINUTE
        [row], _ = await store.create([new], at=at)
        waits: list[str] = []
        what = pick.randrange(5)
        if what > 1:
            events = [NewEvent(ev.WORKFLOW_STARTED)]
            if what == 2:
                events.append(NewEvent(ev.WORKFLOW_ERRORED, {"error": _error(pick.choice(ERRORS), number)}))
            elif what == 3:
                events.append(NewEvent(ev.WORKFLOW_COMPLETED, {"output": None}))
            else:
                waits = pick.choice((["go"], ["go", "stop"], ["stop"]))
                step, types = StepKey(ev.WAIT, "answer", 1), ",".join(waits)
                events.append(NewEvent(ev.WAIT_STARTED, {"event_type": types, "until": at + 9, "config": CONFIG}, step))
            row = (await store.append(row.key, events, execution=None, at=at)).row
        if pick.random() < 0.3:
            await store.append(row.key, [NewEvent(ev.WORKFLOW_TAGGED, {"tags": ["late"]})], execution=None, at=at)
        made[row.key] = (await store.row(row.key), waits)
    gone = pick.sample(sorted(made), 6)
    for key in gone:
        await store.delete(key)
        del made[key]
    return made


def _fits(row: InstanceRow, waits: list[str], filter: RunFilter) -> bool:
    error = row.error or {}
    return (
        row.tenant == "acme"
        and (not filter.statuses or row.status in filter.statuses)
        and filter.workflow in (None, row.workflow)
        and filter.version in (None, row.snippet)
        and set(filter.tags) <= set(tags_of(row.injected))
        and (filter.waiting_for is None or filter.waiting_for in waits)
        and filter.error in (None, error.get("name"))
        and (filter.text is None or filter.text.lower() in (error.get("message") or "").lower())
        and (filter.since or 0) <= row.created_at < (filter.until or NEWEST)
    )


def _some_filter(pick: Random) -> RunFilter:
    fields: dict[str, Any] = {
        "statuses": pick.choice((("errored",), ("queued", "complete"), ("running", "errored"))),
        "workflow": pick.choice(("deployed", "deployed/b", "none")),
        "version": pick.choice("vwx"),
        "tags": pick.choice((("vip",), ("late", "eu"), ("half",), ("none",))),
        "waiting_for": pick.choice(("go", "stop", "none")),
        "error": pick.choice((ERRORS[0], "none")),
        "text": pick.choice(("WAS", "größer", "none")),
        "since": AT + pick.randrange(-5, 70) * MINUTE,
        "until": AT + pick.randrange(-5, 70) * MINUTE,
    }
    return RunFilter(**{name: fields[name] for name in pick.sample(sorted(fields), pick.randrange(4))})


def test_every_filter_finds_what_fits_in_pages(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TIERS", (2, 7))
    monkeypatch.setattr(search, "READ_TIERS", (1, 5))

    async def story() -> None:
        pick, store = Random(7), opened(store_url)
        try:
            made = await _filled(store, pick)
            for _ in range(50):
                monkeypatch.setattr(search, "RARE_WAITS", pick.choice((0, 1_000)))  # both ways to look for waits
                filter, found, before, limit = _some_filter(pick), list[int](), None, pick.choice((1, 3, 50))
                while True:
                    page = await store.search.keys("acme", filter, before=before, limit=limit)
                    assert len(page.keys) <= limit
                    found += page.keys
                    if page.next is None:
                        break
                    assert before is None or page.next < before, "a search goes on"
                    before = page.next
                expected = [key for key, (row, waits) in made.items() if _fits(row, waits, filter)]
                assert found == sorted(expected, reverse=True), filter
                rows = await store.search.rows(found)
                assert [row.key for row in rows] == found and all(row == made[row.key][0] for row in rows)
        finally:
            await store.close()

    run(story())


NOW = 1_700_000_000_000


def test_a_filter_is_read_in_the_words_of_people() -> None:
    asked = {"status": "errored,queued", "tag": "vip", "workflow": "main", "since": "2 hours", "until": "2023-11-14"}
    found = run_filter({**asked, "error": "", "text": None}, NOW)
    day = 1_699_920_000_000
    assert found == RunFilter(
        ("errored", "queued"), "tenant-workflow", None, ("vip",), since=NOW - 7_200_000, until=day
    )
    assert run_filter({"since": "1700000000000", "until": 5}, NOW) == RunFilter(since=NOW, until=5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"statos": "x"}, "There is no filter 'statos'"),
        ({"status": "sleepy"}, "`status` takes queued, running"),
        ({"status": 7}, "`status` takes a text or a list"),
        ({"tag": [f"t{n}" for n in range(6)]}, "up to 5 tags"),
        ({"tag": " "}, "can't be used"),
        ({"text": "x" * 201}, "1 to 200 characters"),
        ({"text": "a\x00"}, "1 to 200 characters"),
        ({"error": "\ud800"}, "1 to 200 characters"),
        ({"workflow": "a/b"}, "workflow name"),
        ({"waiting_for": "a.b"}, "event type"),
        ({"since": "yesterday"}, "`since` takes epoch milliseconds"),
        ({"until": True}, "`until` takes"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidFilter, match=said):
        run_filter(asked, NOW)
