"""The ledger of an instance's pretended side effects, which shows what happened twice."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.store.tables import EffectRow
from playground.web.access import find
from playground.web.context import Context
from playground.web.responses import json_response


async def effects(context: Context, request: Request) -> Response:
    """The side effects that an instance pretended to have, oldest first; `double_of` names the one that this one repeats."""
    row = await find(context, request)
    happened, asked = await context.store.effects.edition(row.key)
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{happened}-{asked}"'}
    if headers["ETag"] in request.headers.get("if-none-match", ""):  # a page asks often while a step runs
        return Response(status_code=304, headers=headers)
    found = await context.store.effects.of(row.key)
    return json_response({"effects": shown(found)}, headers=headers)


def shown(effects: list[EffectRow]) -> list[dict[str, Any]]:
    """Effects as the API shows them. A double is one of the same step, kind and data as an earlier attempt's."""
    first: dict[tuple[Any, ...], EffectRow] = {}
    listed = []
    for effect in effects:
        what = (effect.step, effect.kind, repr(effect.data))
        before = first.setdefault(what, effect)
        double = effect.step is not None and (before.attempt, before.execution) != (effect.attempt, effect.execution)
        listed.append(
            {
                "id": _id(effect),
                "kind": effect.kind,
                "at": effect.at,
                "key": effect.key,
                "data": effect.data,
                "step": effect.step,
                "attempt": effect.attempt,
                "execution": effect.execution,
                "asked": effect.asked,
                "double_of": _id(before) if double else None,
            }
        )
    return listed


def ledger(effects: list[EffectRow]) -> list[dict[str, Any]]:
    """Effects as a table without scripts shows them: one row for what happened and all its doubles."""
    rows: dict[str, dict[str, Any]] = {}
    for effect in shown(effects):
        before = rows.get(effect["double_of"])
        if before is None:
            rows[effect["id"]] = {**effect, "attempts": [effect["attempt"]], "times": 1}
        else:
            before["times"] += 1
            before["attempts"].append(effect["attempt"])
    return list(rows.values())


def _id(effect: EffectRow) -> str:
    return f"{effect.kind}-{effect.number}"
