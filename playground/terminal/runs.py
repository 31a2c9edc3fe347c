"""`playground runs …`: what there is, how it stands, and all that may be done to a run."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from playground.client import NOTHING, Anonymous, NotFound, RunOf
from playground.client.tenants import OfTenant
from playground.terminal.bulk import bulk, filter_of
from playground.terminal.files import (
    export_file,
    file_words,
    is_file,
    print_export,
    read_file,
    sensible_journal,
    view_of,
)
from playground.terminal.following import Follower, follow_words, journal_event, now_ms, run_safely
from playground.terminal.inputs import json_input, read_text, step_of
from playground.terminal.narration import (
    NOTE,
    WAY,
    Line,
    Narrator,
    duration,
    error_text,
    moment,
    open_rows,
    plain,
    preview,
)
from playground.terminal.outcomes import DIFFERS, OK, BadCommand
from playground.terminal.places import Opened, Place, opened_place
from playground.terminal.screen import Screen
from playground.terminal.state import KnownRun
from playground.web.api.response_types import Accepted, Instance, Listed, StatusRow
from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey

LISTED = 50  # runs that `list` shows without --limit
LISTED_MAX = 1_000
CHAOS_LOOK_SECONDS = 0.5  # between two looks at reruns
GONE = "not kept"

Action = Callable[[argparse.Namespace, Opened, Screen], Awaitable[int]]


async def runs(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground runs ACTION`; returns the exit status."""
    action = ACTIONS[options.action]
    if options.action == "logs" and options.follow:
        return await _follow(options, place, screen)
    if options.action in ("show", "export") and is_file(options.id):
        return _show_file(options, screen) if options.action == "show" else export_file(options, screen)
    async with opened_place(place, plays=options.action == "chaos") as opened:
        try:
            return await action(options, opened, screen)
        except NotFound as error:
            if error.code != "instance.not_found":
                raise
            raise BadCommand(
                f"{error.message} `playground runs list` shows those that were started from here."
            ) from None


async def _follow(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    async with opened_place(place, plays=True) as opened:
        known = opened.known(options.id)
        id = options.left = options.id if known is None else known.id
        follower = Follower(place, id, screen, now_ms, shows_steps=True)
        return await run_safely(follower.follow_anywhere(opened), place, id)


async def _list(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    limit = min(options.limit, LISTED_MAX)
    filter = filter_of(options)
    if opened.place.tenant:
        rows = shown = await _of_tenant(filter, opened, limit)
    else:
        if filter.keys() - {"status", "tag"}:
            raise BadCommand("runs that were started from here are chosen by --status and --tag; name a --tenant")
        rows = await _started_here(opened, limit)
        shown = [row for row in rows if _fits(row, filter)]
    columns = {"run": "run", "status": "status", "name": "name", "created_at": "created", "took_ms": "took"}
    if any(row["tags"] for row in shown):
        columns["tags"] = "tags"
    empty = f"No run was started from here on {opened.place.shown}. `playground run FILE` starts one."
    screen.table("run", columns, shown, empty if not (rows or filter) else "No run fits.")
    return OK


def _fits(row: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    statuses = filter.get("status", row["status"]).split(",")
    return row["status"] in statuses and set(filter.get("tag", ())) <= set(row["tags"])


async def _started_here(opened: Opened, limit: int) -> list[dict[str, Any]]:
    known = [run for run in opened.place.runs.all() if run.where == opened.place.key][-limit:]
    known.reverse()
    now = {row.id: row for row in await opened.client.statuses(run.id for run in known)} if known else {}
    return [_listed(run.id, run.name, run.created_at, now.get(run.id)) for run in known]


async def _of_tenant(filter: Mapping[str, Any], opened: Opened, limit: int) -> list[dict[str, Any]]:
    tenant, found, before = opened.tenant(), list[Listed](), None
    while len(found) < limit:
        page = await tenant.instances(**filter, before=before, limit=min(limit - len(found), 200))
        found += page.instances
        before = page.before
        if before is None:
            break
    return [_listed(it.id, it.workflow, it.created_at or 0, it) for it in found]


def _listed(id: str, name: str, created_at: int, row: StatusRow | Listed | None) -> dict[str, Any]:
    took = None
    if row is not None and row.started_at is not None:
        took = (row.ended_at or now_ms()) - row.started_at
    return {
        "run": id,
        "status": GONE if row is None else row.status,
        "name": plain(name),
        "created_at": created_at,
        "_created_at": moment(created_at, now_ms()),
        "took_ms": took,
        "_took_ms": "" if took is None else duration(took),
        "tags": [] if row is None else row.tags,
        "_tags": "" if row is None else plain(", ".join(row.tags)),
    }


async def _show(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    run = opened.run(options.id)
    shown, now = await run.get(), now_ms()
    narrator = Narrator()
    if _show_facts(shown, _facts(shown, now), screen):
        async for event in run.journal():
            _show_event(journal_event(event), narrator, screen)
        _show_end(shown, narrator, now, screen)
    return OK


def _show_file(options: argparse.Namespace, screen: Screen) -> int:
    found = read_file(options.id)
    shown, now, narrator = view_of(found), found.head.written_at, Narrator()
    if _show_facts(shown, [("file", file_words(found.head, options.id)), *_facts(shown, now)], screen):
        with sensible_journal():
            for event in found.events:
                _show_event(event, narrator, screen)
            _show_end(shown, narrator, now, screen)
    return OK


def _show_facts(shown: Instance, facts: list[tuple[str, str]], screen: Screen) -> bool:
    """Print what is known of a run; in JSON that is all, and the result is False."""
    screen.json("run", run=shown.id, **msgspec.to_builtins(shown))
    screen.print(f"run {plain(shown.id)}  {shown.status}")
    for title, value in facts:
        screen.print(f"  {title:<10} {value}")
    return not screen.shows_json


def _show_event(event: Event, narrator: Narrator, screen: Screen) -> None:
    screen.lines([it for it in narrator.lines(event) if it.kind != "log"])


def _show_end(shown: Instance, narrator: Narrator, now: int, screen: Screen) -> None:
    screen.lines(open_rows(narrator.state, now))
    if shown.output is not None:
        screen.value(shown.output)


async def _export(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    run = opened.run(options.id)
    if options.as_test:
        screen.bytes((await run.test_file()).encode())
    else:
        await print_export(run, screen)
    return OK


def _facts(shown: Instance, now: int) -> list[tuple[str, str]]:
    found = [("workflow", plain(shown.workflow)), ("params", preview(shown.params))]
    if shown.created_at:
        found.append(("created", moment(shown.created_at, now)))
    if shown.started_at and shown.ended_at:
        found.append(("took", duration(shown.ended_at - shown.started_at)))
    found.append(("workers", str(len(shown.executions))))
    if shown.queue:
        found.append(("queue", plain(shown.queue.text)))
    if shown.stopped_before:
        found.append(("stopped", f"before {plain(str(shown.stopped_before.get('step', {}).get('name')))}"))
    if shown.error:
        found.append(("error", error_text(shown.error)))
    return found


async def _logs(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    narrator = Narrator()
    async for item in opened.run(options.id).journal(after=options.after):
        lines = list(narrator.lines(journal_event(item)))
        screen.json("event", **msgspec.to_builtins(item))
        screen.lines(lines)
    screen.lines(open_rows(narrator.state, now_ms()))
    return OK


async def _send_event(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    payload = json_input(options.payload, "the payload")
    payload = None if payload is NOTHING else payload
    run = opened.run(options.id)
    if options.reply:
        reply = await run.ask(options.type, payload)
        screen.json("reply", run=run.id, reply=reply)
        screen.value(reply)
        return OK
    return _accepted(await run.send_event(options.type, payload), opened, screen)


def _simple(act: Callable[[RunOf, argparse.Namespace], Awaitable[Accepted]]) -> Action:
    """An operation that is answered with how the run stands."""

    async def carry_out(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
        return _accepted(await act(opened.run(options.id), options), opened, screen)

    return carry_out


def _accepted(accepted: Accepted, opened: Opened, screen: Screen) -> int:
    screen.json("accepted", run=accepted.id, status=accepted.status, last_seq=accepted.last_seq)
    screen.print(f"run {plain(accepted.id)} is {accepted.status}")
    if not opened.place.server and opened.isolation and accepted.status not in ev.FINAL_STATUSES:
        way = follow_words(opened.place, accepted.id)
        screen.lines([Line(NOTE, "", "nothing runs here by itself; it goes on with"), Line(WAY, "", way)])
    return OK


def _step(options: argparse.Namespace, name: str | None) -> Any:
    return step_of(name, options.count, options.kind)


async def _fork(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    output = json_input(options.output, "--output")
    source = None if options.source is None else read_text(options.source)
    run = opened.run(options.id)
    assert isinstance(run, Anonymous | OfTenant), "there are no others"
    made: RunOf = await run.fork(_step(options, options.from_step), output=output, source=source)
    token = made.token if isinstance(made, Anonymous) else None
    known = opened.known(options.id)
    name = f"fork of {known.name if known else run.id}"
    opened.place.runs.add(KnownRun(opened.place.key, made.id, token or "", name, now_ms()))
    screen.json("run", run=made.id, where=opened.place.key, fork_of=run.id)
    screen.print(f"run {made.id}  {plain(name)}")
    screen.lines([Line(NOTE, "", "follow it with"), Line(WAY, "", follow_words(opened.place, made.id))])
    return OK


async def _delete(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    run = opened.run(options.id)
    await run.delete()
    opened.place.runs.forget(opened.place.key, run.id)
    screen.json("deleted", run=run.id)
    screen.print(f"run {plain(run.id)} is deleted")
    return OK


async def _chaos(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    run = opened.run(options.id)
    if not isinstance(run, Anonymous):
        raise BadCommand("chaos runs are of runs that are no tenant's; `playground test FILE` crashes any workflow")
    await run.chaos()
    report = await run.chaos_report()
    async with screen.drawing(list, lambda: f"{report.summary['ended']} of {report.summary['rows']} reruns are over"):
        while report.status == "running":
            await asyncio.sleep(CHAOS_LOOK_SECONDS)
            report = await run.chaos_report()
    rows = [
        {
            "number": it["number"],
            "killed": _killed(it["killed"]),
            "result": it["result"],
            "status": it["status"],
            "ran_twice": ", ".join(plain(str(step["name"])) for step in it["ran_twice"]),
            "error": error_text(it["error"]),
        }
        for it in report.rows
    ]
    columns = {"number": "#", "killed": "killed before", "result": "result", "status": "status"}
    screen.table("rerun", columns | {"ran_twice": "ran twice", "error": "error"}, rows, "There was nothing to kill.")
    screen.json("summary", run=run.id, **report.summary)
    return DIFFERS if report.summary.get("differs", 0) + report.summary.get("diverged", 0) else OK


def _killed(killed: Any) -> str:
    """Before which commit a rerun was killed: that of a step's result, or the last one."""
    if killed is None:
        return "never"
    step = killed["before"]
    return "the end" if step is None else StepKey.from_json(step).label


ACTIONS: Mapping[str, Action] = {
    "list": _list,
    "bulk": bulk,
    "show": _show,
    "export": _export,
    "logs": _logs,
    "send-event": _send_event,
    "pause": _simple(lambda run, options: run.pause()),
    "resume": _simple(lambda run, options: run.resume()),
    "terminate": _simple(lambda run, options: run.terminate(rollback=options.rollback)),
    "restart": _simple(lambda run, options: run.restart(_step(options, options.from_step))),
    "fork": _fork,
    "wake": _simple(lambda run, options: run.wake(_step(options, options.step))),
    "skip-sleeps": _simple(lambda run, options: run.skip_sleeps(on=not options.off)),
    "kill-worker": _simple(lambda run, options: run.kill_worker(options.when)),
    "code": _simple(lambda run, options: run.change_code(read_text(options.source))),
    "chaos": _chaos,
    "delete": _delete,
}
