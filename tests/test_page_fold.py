"""The browser's fold of a journal agrees with the server's, event by event: on recorded cases, and on journals nobody
thought of.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from folds_support import from_json
from page_code_support import node

from playground.workflows import events as ev
from playground.workflows.state import FOLDED_TYPES, State

JOURNALS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "journals").glob("*.json"))
}
INVENTED = 300
LONGEST = 60

EVERY_STATE = """
import { apply, newState } from "RUN/fold.js";
import { view } from "RUN/view.js";
return given.map((events) => {
  const state = newState();
  return events.map((event) => (apply(state, event), view(state)));
});
"""


def views(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The server's view after each event, as JSON."""
    state, seen = State(), []
    for event in from_json(events):
        state.apply(event)
        seen.append(json.loads(json.dumps(state.as_json())))
    return seen


@pytest.fixture(scope="module")
def in_browser() -> dict[str, list[dict[str, Any]]]:
    return dict(zip(JOURNALS, node(EVERY_STATE, list(JOURNALS.values())), strict=True))


@pytest.mark.parametrize("name", JOURNALS)
def test_a_recorded_journal_folds_alike_after_every_event(
    name: str, in_browser: dict[str, list[dict[str, Any]]]
) -> None:
    for event, here, there in zip(JOURNALS[name], views(JOURNALS[name]), in_browser[name], strict=True):
        assert there == here, f"after event {event['seq']}, {event['type']}"


def test_the_recorded_journals_have_every_event_that_the_fold_heeds() -> None:
    types = {event["type"] for events in JOURNALS.values() for event in events}
    assert FOLDED_TYPES - types == set()


def test_invented_journals_fold_alike_after_every_event() -> None:
    journals = [invented(random.Random(seed)) for seed in range(INVENTED)]
    for seed, (events, there) in enumerate(zip(journals, node(EVERY_STATE, journals), strict=True)):
        for event, mine, its in zip(events, views(events), there, strict=True):
            assert its == mine, f"seed {seed}, after event {event['seq']}, {event['type']}"


def invented(pick: random.Random) -> list[dict[str, Any]]:
    """A journal in which events come in an order no engine would write, though every event itself is well made."""
    error = {"name": "E", "message": "x", "traceback": [], "line": 3}
    lost = {"name": "WorkerLost", "message": "", "traceback": [], "line": None}
    events: list[dict[str, Any]] = []
    opened: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ev.KINDS}
    at, execution = 1_000_000, 0

    def add(type: str, step: dict[str, Any] | None = None, **data: Any) -> None:
        event = {"seq": len(events) + 1, "at": at, "type": type, "execution": execution or None, "data": data}
        events.append(event | ({"step": step} if step else {}))

    def opens(kind: str) -> dict[str, Any]:
        step: dict[str, Any] = {"kind": kind, "name": f"s{len(opened[kind])}", "count": 1}
        if opened[ev.DO] and pick.random() < 0.2:
            step["parent"] = pick.choice(opened[ev.DO])
        opened[kind].append(step)
        return step

    def some(kind: str, done: bool = False) -> dict[str, Any] | None:
        if not opened[kind]:
            return None
        step = pick.choice(opened[kind])
        if done:
            opened[kind].remove(step)
        return step

    add(ev.WORKFLOW_QUEUED, params=pick.choice([None, {"a": 1}]), trigger="api")
    for _ in range(pick.randrange(5, LONGEST)):
        at += pick.choice([0, 1, 30, 5_000])
        match pick.randrange(32):
            case 0 | 1:
                execution += 1
                add(
                    ev.EXECUTION_STARTED, execution=execution, worker="w1", replayed=pick.randrange(3), code_version="c"
                )
            case 2:
                add(ev.EXECUTION_ENDED, reason=pick.choice(ev.END_REASONS))
            case 3 | 4:
                rollback = {"rollback": {"config": {}}} if pick.random() < 0.4 else {}
                add(ev.STEP_STARTED, opens(ev.DO), config={"timeout": 5}, line=4, **rollback)
            case 5 | 6 | 7 if step := some(ev.DO):
                add(
                    ev.ATTEMPT_STARTED,
                    step,
                    attempt=pick.randrange(1, 4),
                    **({"virtual": True} if pick.random() < 0.2 else {}),
                )
            case 8 if step := some(ev.DO):
                add(ev.ATTEMPT_COMPLETED, step, attempt=1, **({"took_us": 320} if pick.random() < 0.5 else {}))
            case 9 if step := some(ev.DO):
                add(
                    ev.ATTEMPT_ERRORED,
                    step,
                    attempt=1,
                    error=pick.choice([error, lost]),
                    **({"retry_delay_ms": 70} if pick.random() < 0.5 else {}),
                )
            case 10 if step := some(ev.DO, done=True):
                add(ev.STEP_COMPLETED, step, output=pick.choice([None, 1, {"$set": []}]))
            case 11 if step := some(ev.DO, done=True):
                add(ev.STEP_ERRORED, step, error=error)
            case 12:
                add(ev.SLEEP_STARTED, opens(ev.SLEEP), until=at + 500, line=5)
            case 13 if step := some(ev.SLEEP, done=True):
                add(ev.SLEEP_COMPLETED, step, **({"virtual": True} if pick.random() < 0.5 else {}))
            case 14:
                add(ev.WAIT_STARTED, opens(ev.WAIT), event_type="go", until=at + 900, line=6)
            case 15 if step := some(ev.WAIT, done=True):
                add(ev.WAIT_COMPLETED, step, event={"type": "go", "payload": 1}, received=2)
            case 16 if step := some(ev.WAIT, done=True):
                add(ev.WAIT_TIMED_OUT, step, error=error)
            case 28 if step := some(ev.SLEEP, done=True):
                add(ev.SLEEP_CANCELLED, step, clock_us=5)
            case 29 if step := some(ev.WAIT, done=True):
                add(ev.WAIT_CANCELLED, step, **({"returned": 2} if pick.random() < 0.5 else {}))
            case 17:
                add(ev.WORKFLOW_WAITING, **({"until": at + 9} if pick.random() < 0.5 else {}))
            case 18:
                add(pick.choice([ev.WORKFLOW_WAITING_FOR_PAUSE, ev.WORKFLOW_PAUSED, ev.WORKFLOW_RESUMED]))
            case 19 if step := some(ev.DO):
                add(pick.choice([ev.ROLLBACK_STARTED, ev.ROLLBACK_COMPLETED]))
                add(pick.choice([ev.ROLLBACK_STEP_STARTED, ev.ROLLBACK_ATTEMPT_STARTED]), step, attempt=1, config={})
                add(
                    pick.choice([ev.ROLLBACK_ATTEMPT_COMPLETED, ev.ROLLBACK_ATTEMPT_ERRORED]),
                    step,
                    attempt=1,
                    error=error,
                )
                add(
                    pick.choice([ev.ROLLBACK_STEP_COMPLETED, ev.ROLLBACK_STEP_ERRORED]),
                    step,
                    **pick.choice([{}, {"error": error}]),
                )
            case 20:
                add(ev.WORKFLOW_STARTED)
                add(
                    pick.choice([ev.WORKFLOW_COMPLETED, ev.WORKFLOW_ERRORED, ev.WORKFLOW_TERMINATED]),
                    output=3,
                    error=error,
                )
            case 21:
                step = some(ev.DO)
                add(ev.WORKFLOW_RESTARTED, **({"from_step": step} if step and pick.random() < 0.5 else {}))
                for steps in opened.values():
                    steps.clear()
            case 22 if step := some(ev.DO):
                add(ev.RETRY_WOKEN, step, virtual=True)
            case 23:
                error_of = {"status": "errored", "error": error}
                add(
                    ev.STEP_COPIED,
                    opens(ev.DO),
                    line=3,
                    attempts=1,
                    took_ms=4,
                    **pick.choice([{"status": "completed", "output": 1}, error_of]),
                )
                add(
                    ev.STEP_COPIED,
                    opens(ev.WAIT),
                    status="completed",
                    event_type="go",
                    edited=True,
                    output={},
                    rollback={"timeout": 1},
                )
            case 24:
                add(ev.CODE_CHANGED, **{"from": "a", "snippet": pick.choice("bc")})
            case 25:
                target = {
                    "kind": ev.DO,
                    "name": f"s{pick.randrange(3)}",
                    **({"count": 1} if pick.random() < 0.5 else {}),
                }
                add(pick.choice([ev.BREAK_SET, ev.BREAK_CLEARED]), how="fail", times=pick.randrange(1, 3))
                events[-1]["data"]["step"] = target
            case 26 if step := some(ev.DO):
                add(
                    ev.ATTEMPT_STARTED,
                    step,
                    attempt=1,
                    injected="fail",
                    **{"break": pick.randrange(1, len(events) + 1)},
                )
            case 27:
                chance = pick.random()
                if chance < 0.4:
                    add(ev.KILL_ARMED, when="during-step")
                else:
                    add(ev.KILL_DISARMED if chance < 0.6 else ev.SLEEPS_SKIPPED if chance < 0.9 else ev.SLEEPS_KEPT)
            case 28:
                step = pick.choice([{}, {"name": "s1"}, {"kind": ev.DO, "name": "s1", "count": 2}])
                add(pick.choice([ev.BREAKPOINT_SET, ev.BREAKPOINT_CLEARED]), **pick.choice([{}, {"once": True}]))
                events[-1]["data"]["step"] = step
            case 29:
                add(ev.BREAKPOINT_HIT, line=4, config={"timeout": 5})
                events[-1]["data"]["step"] = {"kind": ev.DO, "name": "s1", "count": 2}
                if pick.random() < 0.5:
                    add(ev.WORKFLOW_PAUSED)
                    if pick.random() < 0.5:
                        given = {"status": "completed", "line": 4, "edited": True, "config": {"timeout": 5}}
                        add(ev.STEP_GIVEN, opens(ev.DO), output=1, rollback={"timeout": 1}, **given)
                    add(ev.WORKFLOW_RESUMED)
            case _:
                add("of_a_later_version", anything=1)
    return events
