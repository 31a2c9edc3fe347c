"""`playground inbox`: what waits for a person in the runs that were started from here, or of a tenant.

It takes answers too, and makes links for somebody who has no account.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import msgspec

from playground.client import NOTHING
from playground.terminal.following import now_ms
from playground.terminal.inputs import json_input
from playground.terminal.narration import moment, plain
from playground.terminal.outcomes import OK, BadCommand
from playground.terminal.places import Opened, Place, opened_place
from playground.terminal.screen import Screen
from playground.web.api.response_types import InboxItem

RUNS_LOOKED_AT = 200  # of those started from here, the newest
SCHEMA_CHARACTERS = 60  # of one in a row
EMPTY = "Nothing waits for you. A run that calls wait_for_event stands here until somebody has answered."


async def inbox(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground inbox [ACTION]`; returns the exit status."""
    async with opened_place(place) as opened:
        if options.action in (None, "list"):
            return await _list(opened, screen)
        item = _chosen(await _items(opened, options.id), options)
        return await (_answer if options.action == "answer" else _link)(options, opened, screen, item)


async def _items(opened: Opened, id: str | None = None) -> list[InboxItem]:
    """What waits at a place, or in one run of it."""
    if opened.place.tenant:
        found = await opened.tenant().inbox()
        return [it for it in found if id is None or it.run.id == id]
    if id is None:
        known = [run.id for run in opened.place.runs.all() if run.where == opened.place.key][-RUNS_LOOKED_AT:]
        return await opened.client.inbox(reversed(known))
    return await opened.client.inbox([opened.run(id).id])


async def _list(opened: Opened, screen: Screen) -> int:
    rows = [_row(item) for item in await _items(opened)]
    columns = {"run": "run", "asked": "asked", "types": "event", "until": "until", "schema": "takes"}
    screen.table("asked", columns, rows, EMPTY)
    return OK


def _row(item: InboxItem) -> dict[str, Any]:
    schema = "any JSON" if item.schema is None else msgspec.json.encode(item.schema).decode()
    short = schema if len(schema) <= SCHEMA_CHARACTERS else schema[: SCHEMA_CHARACTERS - 1] + "…"
    return {
        "run": item.run.id,
        "asked": item.asked,
        "_asked": plain(item.asked),
        "types": item.types,
        "_types": " or ".join(item.types),
        "until": item.until,
        "_until": "" if item.until is None else moment(item.until, now_ms()),
        "schema": item.schema,
        "_schema": plain(short),
        "title": item.run.title,
        "paused": item.paused,
    }


def _chosen(items: list[InboxItem], options: argparse.Namespace) -> InboxItem:
    """The wait that is meant: the one of this name, or the only one. Raises BadCommand."""
    found = [it for it in items if options.step in (None, it.step["name"], it.asked)]
    if len(found) == 1:
        return found[0]
    if not items:
        raise BadCommand(f"nothing of run {options.id} waits for an answer now; `playground inbox` shows what does")
    names = ", ".join(plain(it.asked) for it in items)
    raise BadCommand(f"say which with --step: {names} wait{'s' if len(items) == 1 else ''} for an answer")


async def _answer(options: argparse.Namespace, opened: Opened, screen: Screen, item: InboxItem) -> int:
    payload = json_input(options.payload, "the answer")
    if options.type is not None and options.type not in item.types:
        raise BadCommand(f"--type takes {' or '.join(item.types)}")
    sent = await opened.run(item.run.id).answer(item, None if payload is NOTHING else payload, type=options.type)
    screen.json("accepted", run=sent.id, status=sent.status, last_seq=sent.last_seq)
    screen.print(f"run {plain(sent.id)} is {sent.status}")
    return OK


async def _link(options: argparse.Namespace, opened: Opened, screen: Screen, item: InboxItem) -> int:
    step: Mapping[str, Any] = item.step
    run = opened.run(item.run.id)
    made = await run.answer_link(step["name"], step["count"], label=options.label, expires_in=options.expires_in)
    url = made.url if "://" in made.url else f"{opened.place.server}{made.url}"
    screen.json("link", run=item.run.id, asked=item.asked, url=url, expires_at=made.expires_at, label=made.label)
    screen.print(url)
    return OK
