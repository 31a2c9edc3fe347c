"""Children on the page: what is said of a step that runs another workflow, and which of them are asked about."""

from typing import Any

import pytest
from page_code_support import node

STARTED = {"child": "kid", "line": 7}
AT = 1_000_000


def shown(*ends: tuple[str, dict[str, Any]], started: dict[str, Any] = STARTED, final: bool = False) -> dict[str, Any]:
    """What the page says of a run whose step has started a child, after these events."""
    key = {"kind": "child", "name": "total", "count": 1}
    events: list[dict[str, Any]] = [
        {"type": "workflow_queued", "data": {"params": {}, "trigger": "api"}},
        {"type": "workflow_started", "data": {}},
        {"type": "execution_started", "data": {"execution": 1, "worker": "w1", "replayed": 0, "code_version": "c"}},
        {"type": "child_started", "step": key, "data": started},
        *({"type": type, "data": data, **({"step": key} if type.startswith("child") else {})} for type, data in ends),
    ]
    for seq, event in enumerate(events, 1):
        event |= {"seq": seq, "at": AT + 1_000 * seq, "execution": 1}
    return node(
        """
        import { apply, newState } from "RUN/fold.js";
        import { marksOf } from "RUN/marks.js";
        import { narrate } from "RUN/narrator.js";
        import { askedAbout, isPast } from "RUN/child-runs.js";
        const state = newState();
        for (const event of given.events) apply(state, event);
        const [step] = state.rows;
        const now = given.now;
        const { parts } = narrate(state, { now, final: given.final });
        return { status: step.status, child: step.child, has: step.hasOutput, output: step.output,
            marks: marksOf(step, state, given.final).map(({ type, title }) => [type, title]),
            said: parts.flat().map((part) => (typeof part === "string" ? part : Object.values(part)[0])).join(""),
            asked: askedAbout(state).map(({ child }) => child), past: isPast(step) };
        """,
        {"events": events, "now": AT + 10_000, "final": final},
    )


WAITING = ("workflow_waiting", {"until": None})


def test_a_child_that_runs_is_waited_for_and_asked_about() -> None:
    it = shown(WAITING)
    assert (it["status"], it["child"], it["asked"], it["past"]) == ("waiting", "kid", ["kid"], False)
    [[type, title]] = it["marks"]
    assert type == "child-on" and title.startswith("waiting for the run kid since"), "it has no deadline to be drawn"
    assert "total waits for the run that it has started." in it["said"]


@pytest.mark.parametrize(
    ("end", "status", "title"),
    [
        (("child_completed", {"output": 3}), "completed", "its run completed after 1 s"),
        (("child_errored", {"error": {"name": "E", "message": "no"}}), "errored", "its run failed after 1 s"),
        (("child_cancelled", {}), "cancelled", "waiting for the run kid until it was cancelled, after 1 s"),
    ],
)
def test_how_a_child_ended_is_said(end: tuple[str, dict[str, Any]], status: str, title: str) -> None:
    it = shown(end)
    assert (it["status"], it["asked"], it["past"]) == (status, [], True), "its row leads to it from its end"
    assert [mark[1].replace("\u00a0", " ") for mark in it["marks"]] == [title]
    assert it["has"] == (status == "completed") and it["output"] == (3 if status == "completed" else None)


def test_a_run_that_ended_first_is_said_too() -> None:
    it = shown(("workflow_terminated", {}), final=True)
    assert it["status"] == "cancelled" and it["asked"] == []
    assert it["marks"][0][1] == "waiting for the run kid until the end"
