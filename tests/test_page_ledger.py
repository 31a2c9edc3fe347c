"""The ledger of effects as the page shows it: what happened twice, why, and what would have cured it."""

import json
from pathlib import Path
from typing import Any

from page_code_support import node

KILLED = json.loads((Path(__file__).parent / "journals" / "killed-and-woken.json").read_text())
ROWS = """
import { fold } from "RUN/fold.js";
import { ledger } from "RUN/ledger.js";
return given.map(({ events, effects, past }) => ledger(effects, fold(events), past));
"""


def attempts(*errors: Any) -> list[dict[str, Any]]:
    """A journal of one step `pay`, with an attempt per error; None is one that succeeds."""
    events: list[dict[str, Any]] = [
        {"type": "execution_started", "data": {"execution": 1, "worker": "w1", "replayed": 0, "code_version": None}},
        {"type": "step_started", "data": {"config": {}, "line": 7}, "step": True},
    ]
    for number, error in enumerate(errors, start=1):
        events.append({"type": "attempt_started", "data": {"attempt": number}, "step": True})
        ended = (
            {"type": "attempt_completed", "data": {}}
            if error is None
            else {"type": "attempt_errored", "data": {"attempt": number, "error": {"name": error, "message": ""}}}
        )
        events.append({**ended, "step": True})
    key = {"kind": "do", "name": "pay", "count": 1}
    return [
        {"seq": seq, "at": 1000 + seq, "execution": 1, **({"step": key} if event.pop("step", False) else {}), **event}
        for seq, event in enumerate(events, start=1)
    ]


def effect(number: int, attempt: int, double_of: str | None = None, **rest: Any) -> dict[str, Any]:
    return {
        "id": f"charge-{number}", "kind": "charge", "at": 1000 + 2 * number, "key": None,
        "data": {"amount": 49, "currency": "EUR"},
        "step": "pay-1", "attempt": attempt, "execution": 1, "asked": 1, "double_of": double_of, **rest,
    }  # fmt: skip


def rows(events: list[dict[str, Any]], *effects: dict[str, Any], past: bool = False) -> list[dict[str, Any]]:
    (found,) = node(ROWS, [{"events": events, "effects": list(effects), "past": past}])
    return list(found)


def said(row: dict[str, Any]) -> str:
    return "".join(part if isinstance(part, str) else part["code"] for part in row["why"])


def test_what_a_lost_attempt_did_and_the_next_one_did_again_is_one_row_with_its_cure() -> None:
    (row,) = rows(attempts("WorkerLost", None), effect(1, 1), effect(2, 2, "charge-1"))
    assert (row["kind"], row["what"], row["step"], row["line"]) == (
        "charge",
        {"main": "49", "rest": "currency EUR"},
        "pay",
        7,
    )
    assert (row["times"], row["word"], row["attempts"]) == (2, "twice", [1, 2])
    assert said(row) == (
        "Charged by attempt 1, which lost its worker before its commit, and again by attempt 2. Pass key= and the "
        "second one is recognised."
    )


def test_an_attempt_that_failed_after_its_effect_is_told_from_one_that_was_killed() -> None:
    (row,) = rows(
        attempts("TimeoutError", "TimeoutError", None), effect(1, 1), effect(2, 2, "charge-1"), effect(3, 3, "charge-1")
    )
    assert row["word"] == "3 times"
    assert said(row).startswith("Charged by attempt 1, which failed after it, and again by attempt 2 and 3.")
    (gone,) = rows(attempts(None), effect(1, 1, execution=9), effect(2, 1, "charge-1"))
    assert "before the run was restarted" in said(gone)


def test_keys_are_what_makes_it_happen_once() -> None:
    (kept,) = rows(attempts("WorkerLost", None), effect(1, 1, key="order-7", asked=2))
    assert (kept["word"], said(kept)) == (
        "once",
        "Asked for once more with the same key: the first was given back, and nothing happened again.",
    )
    (changing,) = rows(attempts("WorkerLost", None), effect(1, 1, key="a"), effect(2, 2, "charge-1", key="b"))
    assert said(changing).endswith(
        "Each attempt named another key: one that is the same for all of them is recognised."
    )
    (quiet,) = rows(attempts(None), effect(1, 1))
    assert (quiet["word"], quiet["why"]) == ("once", [])


def test_an_earlier_moment_knows_only_what_had_happened() -> None:
    events = attempts("WorkerLost", None)
    both = (effect(1, 1), effect(2, 2, "charge-1", at=5000))
    assert [row["word"] for row in rows(events, *both, past=True)] == ["once"]
    assert [row["word"] for row in rows(events, *both)] == ["twice"]
    assert rows(events[:1], *both, past=True) == []


def test_effects_outside_steps_and_of_unknown_kinds_are_shown_too() -> None:
    outside = effect(1, 1) | {
        "step": None,
        "attempt": None,
        "kind": "shipment",
        "data": {"parcels": 2, "note": "", "to": {"city": "Oslo"}},
    }
    (row,) = rows(KILLED, outside)
    assert (row["step"], row["line"], row["what"]["main"]) == (None, None, "")
    assert row["what"]["rest"] == 'parcels 2, to {"city":"Oslo"}'


def test_a_kind_may_be_called_like_what_every_object_of_the_page_has() -> None:
    (row,) = rows(
        attempts("WorkerLost", None), effect(1, 1, kind="constructor"), effect(2, 2, "charge-1", kind="constructor")
    )
    assert said(row).startswith("Done by attempt 1, which lost its worker")
    assert node('import { verb } from "RUN/ledger.js";\nreturn verb("toString");') == "did its toString"


def test_a_result_may_have_a_key_called_so_too() -> None:
    script = 'import { tagOf } from "RUN/value.js";\nreturn given.map(tagOf);'
    assert node(script, [{"toString": 1}, {"constructor": {}}, {"$int": "9"}, {"$int": "9", "a": 1}]) == [
        None,
        None,
        "$int",
        None,
    ]
