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
    found = await context.store.effects.of(row.key)
    return json_response({"effects": shown(found)}, headers={"Cache-Control": "no-store"})


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


def _id(effect: EffectRow) -> str:
    return f"{effect.kind}-{effect.number}"
