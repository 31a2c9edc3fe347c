"""Chaos over the API: run an instance again with its worker killed before each commit in turn, and see what came of it.

Only instances that are nobody's: a tenant's keys and effects are shared by all its instances, so that reruns would
change them.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.engine import queues
from playground.engine.chaos_runs import is_unfinished, lacks_kill_reruns
from playground.store.protocol import Committed
from playground.store.rows import InstanceRow
from playground.web.api.chaos_rows import outcome_digest
from playground.web.api.check import check_daily_storage
from playground.web.api.operations import NoBody, accepted_response, find_controlled_instance
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import find_instance
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows import events as ev

# What an outcome is compared as.
SAME = "same"
DIFFERS = "differs"
VARIES = "varies"  # it differs, but so it does without a kill
DIVERGED = "diverged"  # a replay took another way: it left steps out, or the run came to its end by other steps


async def start(context: Context, request: Request) -> Response:
    """Run the instance once more for each commit it made, with the worker killed before that commit."""
    row = await find_controlled_instance(context, request)
    await bodies.read_short(request, NoBody)
    address = context.addresses.client_of(request)
    queue = queues.of_address(address)
    await check_daily_storage(context, queue)
    await context.chaos.check(row)  # what is refused is not counted
    await context.limits.chaos.charge_request(request, address)
    await context.chaos.start(row, queue)
    return accepted_response(Committed((), row))


async def rows(context: Context, request: Request) -> Response:
    """The reruns of an instance: whether each came to the same, and what ran twice."""
    return json_response(await chaos_json(context, await find_instance(context, request)), headers=NO_STORE)


async def chaos_json(context: Context, row: InstanceRow) -> dict[str, Any]:
    """The reruns of an instance, each compared, and how many came to what."""
    children = await context.chaos.children(row)
    told = [await context.chaos_rows.row_of_rerun(child) for child in children]
    control = next((it for it in told if it["number"] is None), None)
    final = row.status in ev.FINAL_STATUSES and row.status != ev.TERMINATED
    if lacks_kill_reruns(children) and children[0].status in ev.FINAL_STATUSES:
        context.chaos.follow(row)
    by_itself = outcome_digest(row) if final else None
    without_a_kill = None if control is None else control["outcome"]
    good = [it for it in (by_itself, without_a_kill) if it is not None]
    steady = len(set(good)) <= 1
    expected = control["way"] if control is not None else None
    way = expected if not final or expected == await context.chaos_rows.steps_digest_of(row) else None
    reruns = [_compared_row(it, good, way, steady=steady) for it in told if it is not control]
    return {
        "of": row.id,
        "status": "none" if not told else "running" if is_unfinished(children) else "complete",
        "most": context.chaos.most,
        "kept_hours": context.settings.chaos_retention_hours,
        "steady": None if without_a_kill is None or not final else steady,
        "control": control and _compared_row(control, good, None, steady=steady),
        "rows": reruns,
        "summary": _summary(reruns),
    }


def _compared_row(row: dict[str, Any], good: list[str], way: str | None, *, steady: bool) -> dict[str, Any]:
    """A row with the comparison in place of what is compared.

    `way` is the one to go, where the run and its rerun without a kill agree on one.
    """
    outcome = row["outcome"]
    compared = None if outcome is None or not good else SAME if outcome in good else DIFFERS if steady else VARIES
    if compared is not None and (
        row["not_reached"] is not None or (compared == SAME and way not in (None, row["way"]))
    ):
        compared = DIVERGED
    return {name: value for name, value in row.items() if name not in ("outcome", "way")} | {"result": compared}


def _summary(told: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "rows": len(told),
        "ended": sum(it["result"] is not None for it in told),
        **{result: sum(it["result"] == result for it in told) for result in (SAME, DIFFERS, VARIES, DIVERGED)},
        "ran_twice": sum(bool(it["ran_twice"]) for it in told),
        "effects_twice": sum(bool(it["effects_twice"]) for it in told),
        "not_killed": sum(it["result"] is not None and it["killed"] is None for it in told),
    }
