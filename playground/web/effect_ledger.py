"""Effects as they are shown: which repeat which."""

from typing import Any

from playground.store.tables import EffectRow


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
