"""What the page says of breaks and of chaos runs, and which break it marks a step with. In Node, without a browser."""

from typing import Any

import pytest
from page_code_support import node

STEP = {"kind": "do", "name": "a"}


def said(*breaks: dict[str, Any]) -> list[str]:
    return list(node('import { says } from "RUN/breaks.js";\nreturn given.map(says);', list(breaks)))


def test_a_break_is_said_in_words() -> None:
    assert said(
        {"how": "fail", "left": 1, "times": 3},
        {"how": "fail", "times": 2},
        {"how": "timeout", "times": 1},
        {"how": "slow", "times": 1, "ms": 1500},
        {"how": "return", "times": 2, "value": {"a": None}},
    ) == [
        "fails its next attempt",
        "fails its next 2 attempts",
        "times out at its next attempt",
        "is 1.5\u00a0s slow at its next attempt",
        'returns {"a":null} without running, 2 times',
    ]


def test_a_row_is_marked_with_the_break_that_the_server_would_find() -> None:
    breaks = [
        {"id": 1, "step": STEP},
        {"id": 2, "step": {**STEP, "count": 2}},
        {"id": 3, "step": {**STEP, "name": "b", "count": 1}},
    ]
    asked = [
        {"kind": "do", "name": "a", "count": 1, "endedAt": None},
        {"kind": "do", "name": "a", "count": 2, "endedAt": None},
        {"kind": "do", "name": "a", "count": 1, "endedAt": 5},
        {"kind": "do", "name": "a", "count": 2, "endedAt": 5},
        {"kind": "do", "name": "b"},
        {"kind": "do", "name": "b", "count": 2, "endedAt": None},
        {"kind": "sleep", "name": "a", "count": 1, "endedAt": None},
    ]
    code = (
        'import { rowBreak } from "RUN/row-break.js";\nreturn given.asked.map((step) => rowBreak(given.breaks, '
        "step)?.id ?? null);"
    )
    assert node(code, {"breaks": breaks, "asked": asked}) == [1, 2, None, 2, 3, None, None]


def row(
    number: int | None,
    result: str = "same",
    *,
    killed: bool = True,
    ran: list[Any] | None = None,
    effects: list[Any] | None = None,
) -> dict[str, Any]:
    before = {"before": None} if killed and number is not None else None
    return {
        "number": number,
        "result": result,
        "killed": before,
        "error": None,
        "ran_twice": ran or [],
        "effects_twice": effects or [],
    }


def told(*rows: dict[str, Any], steady: bool | None = True) -> dict[str, Any]:
    counts = {name: sum(it["result"] == name for it in rows) for name in ("same", "differs", "varies", "diverged")}
    twice = {name: sum(bool(it[name]) for it in rows) for name in ("ran_twice", "effects_twice")}
    return {"rows": list(rows), "control": row(None), "steady": steady, "summary": counts | twice}


VARIES = (
    "The output differs without a kill too, so it depends on time, chance, a break or the run's own id. What a step "
    "returns is stored and stays as it is."
)
ANOTHER_WAY = (
    "What its code does outside of steps must follow from the params and the results of steps alone; "
    "put what depends on chance, the time or anything else into a step."
)
TWICE = [{"name": "a", "count": 1, "times": 2}]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (told(row(1), row(2)), "2 kills: each time it came to the same output."),
        (told(row(1), row(60)), "2 kills, 2 of its 60 commits: each time it came to the same output."),
        (
            told(row(1, ran=TWICE, effects=[1]), row(2, ran=TWICE)),
            (
                "2 kills: each time it came to the same output. 2 times a step ran twice, and once its effect happened "
                "twice: an idempotency key cures that."
            ),
        ),
        (
            told(row(1, "differs")),
            (
                "1 kill: once it came to another output. Look at that run: what is in no step's result was gone with "
                "the worker."
            ),
        ),
        (
            told(row(1, "diverged"), row(2)),
            f"2 kills: once it took another way when it was replayed. {ANOTHER_WAY}",
        ),
        (
            told(row(1, "varies"), steady=False),
            VARIES,
        ),
        (told(row(1, killed=False)), "No kill fell: this run came to no commit."),
    ],
)
def test_a_chaos_run_comes_down_to_a_sentence(run: dict[str, Any], words: str) -> None:
    assert node('import { summary } from "RUN/chaos-words.js";\nreturn summary(given).words;', run) == words


def test_what_ran_twice_is_named() -> None:
    several = [{"name": name, "count": n, "times": 2} for n, name in enumerate(("a", "b", "c"), 1)]
    rows = [
        row(1),
        row(1, ran=TWICE),
        row(1, ran=TWICE, effects=[1]),
        row(1, ran=several),
        row(1, ran=[{**TWICE[0], "times": 3}]),
    ]
    assert node('import { twiceWords } from "RUN/chaos-words.js";\nreturn given.map(twiceWords);', rows) == [
        "",
        "a ran twice",
        "a ran twice, and so did its effect",
        "a, b-2 and 1 more ran twice",
        "a ran again",
    ]


def test_what_a_replay_did_not_come_to_is_named() -> None:
    steps = [{"kind": "do", "name": name, "count": n} for n, name in enumerate(("a", "b", "c"), 1)]
    more = [*steps, {"kind": "do", "name": "d", "count": 1}]
    assert node(
        'import { notReached } from "RUN/diverged.js";\nreturn given.map(notReached);', [steps[:1], steps, more]
    ) == [
        "a was not reached again",
        "a, b-2, c-3 were not reached again",
        "a, b-2 and 2 more steps were not reached again",
    ]
