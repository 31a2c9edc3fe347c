"""`playground deploy`, `tenants`, `schedules` and `queues`: what a tenant does with its key, and the operator with the
operator's token (both in PLAYGROUND_TOKEN).
"""

import argparse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from playground.client import NOTHING, SourceRefused
from playground.terminal.following import now_ms
from playground.terminal.inputs import json_input, read_text
from playground.terminal.narration import WARNING, Line, moment, plain, preview
from playground.terminal.outcomes import BAD_USE, OK, BadCommand
from playground.terminal.places import TOKEN, Opened, Place, opened_place
from playground.terminal.screen import Screen

Action = Callable[[argparse.Namespace, Opened, Screen], Awaitable[int]]
FIRST_TIMES = 1  # of the next times of a schedule in the table


async def deploy(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground deploy TENANT FILE`; returns the exit status."""
    source = read_text(options.file)
    async with opened_place(place) as opened:
        try:
            made = await opened.tenant().deploy(
                source, options.workflow, class_name=options.class_name, warm=options.warm
            )
        except SourceRefused as error:
            screen.json("refused", file=options.file, code=error.code, diagnostics=error.diagnostics)
            screen.error(f"{options.file} is refused. {error.message} `playground check {options.file}` shows all.")
            return BAD_USE
    screen.json("version", **msgspec.to_builtins(made))
    new = "version" if made.created else "no change: it is version"
    screen.print(f"{plain(made.workflow)}: {new} {made.number}, {made.version}")
    for found in made.diagnostics:
        where = f"{options.file}:{found.line}:{found.column}"
        screen.lines([Line(WARNING, "", f"{where}: {found.code}: {plain(found.message)}")])
    return OK


async def act(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out an action of `tenants`, `schedules` or `queues`; returns the exit status."""
    async with opened_place(place, plays=options.action == "run") as opened:
        return await ACTIONS[options.command][options.action](options, opened, screen)


# Tenants.


def _operator_token(opened: Opened) -> str:
    if not opened.place.token and not opened.operator_token:
        raise BadCommand(
            f"set {TOKEN} to the operator's token: the one in --operator-token, or at the end of the link that the "
            "server printed at its start"
        )
    return opened.place.token or opened.operator_token


async def _list_tenants(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    operator, rows, after = opened.client.operator(_operator_token(opened)), list[dict[str, Any]](), ""
    while True:
        page = await operator.tenants(after=after)
        for it in page.tenants:
            busy = {status: count for status, count in it.instances.items() if count}
            rows.append(
                {
                    "tenant": it.name,
                    "workflows": it.workflows,
                    "instances": it.instances,
                    "_instances": ", ".join(f"{count:,} {status}" for status, count in busy.items()) or "none",
                    "created_at": it.created_at,
                    "_created_at": moment(it.created_at, now_ms()),
                }
            )
        if page.after is None:
            break
        after = page.after
    columns = {"tenant": "tenant", "workflows": "workflows", "instances": "runs", "created_at": "since"}
    screen.table("tenant", columns, rows, "There is no tenant. `playground tenants make-key NAME` makes one.")
    return OK


async def _show_tenant(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    tenant = opened.tenant()
    rows = [
        {
            "workflow": plain(it.workflow),
            "number": it.number,
            "version": it.version,
            "class_name": plain(it.class_name),
            "created_at": it.created_at,
            "_created_at": moment(it.created_at, now_ms()),
        }
        for it in await tenant.workflows()
    ]
    columns = {"workflow": "workflow", "number": "#", "version": "version", "created_at": "deployed"}
    screen.table("workflow", columns, rows, "Nothing is deployed. `playground deploy TENANT FILE` does it.")
    return OK


async def _make_key(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    made = await opened.client.operator(_operator_token(opened)).make_key(options.name, options.label)
    screen.json("key", **msgspec.to_builtins(made))
    screen.print(made.key)
    screen.print(f"Key {made.number} of tenant {made.tenant}. It is shown this once; only its hash is kept.")
    return OK


async def _delete_tenant(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    count = await opened.client.operator(_operator_token(opened)).delete_tenant(options.name, end=options.end)
    screen.json("deleted", tenant=options.name, instances=count)
    screen.print(f"Tenant {plain(options.name)} is deleted, and {count:,} runs of it.")
    return OK


# Schedules.


async def _list_schedules(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    rows = [_schedule_row(it) for it in await opened.tenant().schedules()]
    columns = {"name": "name", "workflow": "workflow", "cron": "cron", "timezone": "time zone", "next": "next"}
    screen.table("schedule", columns, rows, "There is no schedule. `playground schedules put NAME CRON` adds one.")
    return OK


def _schedule_row(schedule: Any) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(schedule)
    times = ", ".join(moment(at, now_ms()) for at in schedule.next[:FIRST_TIMES])
    return row | {"_next": "paused" if schedule.paused else times}


async def _show_schedule(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    return _shown_schedule(await opened.tenant().schedule(options.name), screen)


async def _put_schedule(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    more: dict[str, Any] = {"workflow": options.workflow, "timezone": options.timezone, "missed": options.missed}
    more |= {"params": json_input(options.params, "--params"), "paused": options.paused}
    return _shown_schedule(await opened.tenant().put_schedule(options.name, options.cron, **more), screen)


def _shown_schedule(schedule: Any, screen: Screen) -> int:
    screen.json("schedule", **msgspec.to_builtins(schedule))
    screen.print(f"{plain(schedule.name)}: {plain(schedule.cron)} ({schedule.timezone})")
    for at in () if schedule.paused else schedule.next:
        screen.print(f"  {moment(at, now_ms())}")
    if schedule.paused:
        screen.print("  paused")
    return OK


async def _pause_schedule(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    paused = options.action == "pause"
    return _shown_schedule(await opened.tenant().pause_schedule(options.name, paused=paused), screen)


async def _run_schedule(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    made = await opened.tenant().run_schedule(options.name)
    screen.json("run", run=made.id, where=opened.place.key)
    screen.print(f"run {plain(made.id)}")
    return OK


async def _delete_schedule(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    await opened.tenant().delete_schedule(options.name)
    return _done(screen, "schedule", options.name)


# Queues.


async def _list_queues(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    rows = [msgspec.to_builtins(it) for it in await opened.tenant().queues()]
    columns = {"name": "name", "consumer": "consumer", "waiting": "waiting", "delivering": "in delivery"}
    screen.table(
        "queue", columns | {"dead": "dead"}, rows, "There is no queue. `playground queues put NAME` makes one."
    )
    return OK


async def _put_queue(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    names = ("max_batch_size", "max_batch_timeout", "max_retries", "retry_delay", "delivery_delay", "max_concurrency")
    chosen = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.dead_letter_queue is not None:
        chosen["dead_letter_queue"] = options.dead_letter_queue
    made = await opened.tenant().put_queue(options.name, consumer=options.consumer, **chosen)
    screen.json("queue", **msgspec.to_builtins(made))
    screen.print(f"queue {plain(made.name)}: its messages go to {plain(made.consumer)}")
    return OK


async def _send_message(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    body = json_input(options.body, "the body")
    id = await opened.tenant().send_message(
        options.name, None if body is NOTHING else body, delay_seconds=options.delay
    )
    screen.json("message", id=id, queue=options.name)
    screen.print(f"message {plain(id)}")
    return OK


async def _dead(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    rows = []
    for it in await opened.tenant().dead_messages(options.name):
        dead_at = moment(it.dead_at, now_ms()) if it.dead_at else ""
        rows.append(msgspec.to_builtins(it) | {"_body": preview(it.body), "_dead_at": dead_at})
    columns = {"id": "message", "attempts": "deliveries", "dead_at": "dead since", "body": "body"}
    screen.table("message", columns, rows, f"No message of queue {plain(options.name)} is dead.")
    return OK


async def _retry_dead(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    await opened.tenant().retry_message(options.name, options.message)
    screen.json("sent", id=options.message, queue=options.name)
    screen.print(f"message {plain(options.message)} is sent again")
    return OK


async def _delete_dead(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    await opened.tenant().delete_message(options.name, options.message)
    return _done(screen, "message", options.message)


async def _delete_queue(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    await opened.tenant().delete_queue(options.name)
    return _done(screen, "queue", options.name)


def _done(screen: Screen, what: str, name: str) -> int:
    screen.json("deleted", **{what: name})
    screen.print(f"{what} {plain(name)} is deleted")
    return OK


ACTIONS: Mapping[str, Mapping[str, Action]] = {
    "tenants": {
        "list": _list_tenants,
        "show": _show_tenant,
        "make-key": _make_key,
        "delete": _delete_tenant,
    },
    "schedules": {
        "list": _list_schedules,
        "show": _show_schedule,
        "put": _put_schedule,
        "pause": _pause_schedule,
        "resume": _pause_schedule,
        "run": _run_schedule,
        "delete": _delete_schedule,
    },
    "queues": {
        "list": _list_queues,
        "put": _put_queue,
        "send": _send_message,
        "dead": _dead,
        "retry": _retry_dead,
        "delete-message": _delete_dead,
        "delete": _delete_queue,
    },
}
