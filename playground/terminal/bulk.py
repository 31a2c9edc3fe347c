"""`playground runs bulk …`: one operation on all of a tenant's runs that fit a filter.

Without `--yes` it only says how many there are. The operation is the server's: a terminal that goes away, or Ctrl-C,
leaves it going on; `playground runs bulk stop ID` stops it. The exit status is that of a failed run where it could not
be carried out on some.
"""

import argparse
import asyncio
from typing import Any

import msgspec

from playground.client.tenants import TenantClient
from playground.terminal.inputs import step_of
from playground.terminal.narration import FAILED, NOTE, WAY, Line, plain
from playground.terminal.outcomes import FAILED as EXIT_FAILED
from playground.terminal.outcomes import OK, BadCommand
from playground.terminal.places import Opened
from playground.terminal.screen import Screen
from playground.web.api.response_types import Bulk
from playground.workflows.filters import FIELDS

LOOK_SECONDS = 0.3
BAR_WIDTH = 24
STOP = "stop"
SHOWN = 10  # failures


def filter_of(options: argparse.Namespace) -> dict[str, Any]:
    """The filter that the command line has."""
    given = {name: getattr(options, name) for name in FIELDS}
    return {name: value for name, value in given.items() if value}


async def bulk(options: argparse.Namespace, opened: Opened, screen: Screen) -> int:
    """Carry out `playground runs bulk`; returns the exit status."""
    if not opened.place.tenant:
        raise BadCommand("operations on many runs are a tenant's: name it with --tenant")
    tenant = opened.tenant()
    if options.operation == STOP:
        if options.id is None:
            raise BadCommand("name the operation to stop: `playground runs bulk stop ID`")
        return _ended(await tenant.stop_bulk(options.id), screen)
    if options.id is not None:
        raise BadCommand("an operation takes a filter, such as --status waiting, and no id")
    filter = filter_of(options)
    if not (filter or options.all):
        raise BadCommand("name a filter, such as --status waiting, or --all for all of the tenant's runs")
    asked: dict[str, Any] = {"operation": options.operation, "filter": filter, "rollback": options.rollback}
    step = step_of(options.from_step, options.count, options.kind)
    if step is not None:
        asked["from_step"] = msgspec.to_builtins(step)
    if options.onto is not None:
        asked["version"] = options.onto
    if not options.yes:
        return await _try(tenant, asked, screen)
    begun = await tenant.begin_bulk(**asked)
    screen.json("bulk", **msgspec.to_builtins(begun))
    screen.print(f"operation {begun.id}: {options.operation} {begun.matched:,} runs")
    return _ended(await _follow(tenant, begun, screen), screen)


async def _try(tenant: TenantClient, asked: dict[str, Any], screen: Screen) -> int:
    found = await tenant.try_bulk(**asked)
    screen.json("matches", **msgspec.to_builtins(found))
    screen.print(f"{asked['operation']} {found.matched:,} runs? {found.unchanged:,} of them are so already.")
    if found.ids:
        more = "" if found.matched <= len(found.ids) else " …"
        screen.lines([Line(NOTE, "", "the newest: " + ", ".join(map(plain, found.ids)) + more)])
        screen.lines([Line(WAY, "", "carry it out: the same command with --yes")])
    return OK


async def _follow(tenant: TenantClient, begun: Bulk, screen: Screen) -> Bulk:
    now = begun

    def status() -> str:
        over = now.done + now.unchanged + now.failed
        full = round(BAR_WIDTH * over / now.matched) if now.matched else BAR_WIDTH
        failed = f", {now.failed:,} failed" if now.failed else ""
        return f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {over:,} of {now.matched:,}, {now.rate:,.0f}/s{failed}"

    async with screen.drawing(list, status):
        while now.state == "running":
            await asyncio.sleep(LOOK_SECONDS)
            now = await tenant.bulk(begun.id)
    return now


def _ended(bulk: Bulk, screen: Screen) -> int:
    screen.json("bulk", **msgspec.to_builtins(bulk))
    screen.print(f"{bulk.state}: {bulk.done:,} done, {bulk.unchanged:,} were so already, {bulk.failed:,} failed")
    for failure in bulk.failures[:SHOWN]:
        screen.lines([Line(FAILED, plain(str(failure["id"])), plain(str(failure["message"])))])
    if bulk.failed > SHOWN:
        screen.lines([Line(NOTE, "", f"and {bulk.failed - SHOWN:,} more")])
    return EXIT_FAILED if bulk.failed else OK
