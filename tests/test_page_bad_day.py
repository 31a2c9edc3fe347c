"""What the page says while something goes wrong, computed by its own modules: an error before its last attempt,
sentences that stay true.
"""

import re
from itertools import pairwise
from typing import Any

import pytest
from page_code_support import node
from test_page_fold import JOURNALS

TOLD = """
import { fold } from "RUN/fold.js";
import { FINAL } from "RUN/fold.js";
import { Telling } from "RUN/telling.js";
globalThis.document = new EventTarget();
let steps = null;
document.addEventListener("playground:steps", ({ detail }) => (steps = detail));
const state = fold(given.events);
new Telling().tell(state, state, { now: state.lastAt, final: FINAL.has(state.status), stale: false, past: false });
return steps;
"""

SAID = """
import { apply, FINAL, newState } from "RUN/fold.js";
import { Pace } from "RUN/pace.js";
const answer = [];
for (const { events, task } of given.runs) {
  const state = newState();
  const pace = new Pace();
  let said = "";
  let moved = 0;
  for (const event of events) {
    apply(state, event);
    moved += given.apart;
    const context = { now: event.at, final: FINAL.has(state.status), stale: false, past: null, task };
    said = pace.next(state, context, moved)?.words ?? said;
    answer.push({ said, status: state.status,
        running: [...state.open].filter((step) => step.status === "running").map((step) => step.name) });
  }
}
return answer;
"""


def up_to_failure(name: str, error: str | None = None) -> list[dict[str, Any]]:
    """A journal up to its first failed attempt, or the first that failed with `error`."""
    events = JOURNALS[name]
    failed = (
        index
        for index, event in enumerate(events)
        if event["type"] == "attempt_errored" and error in (None, event["data"]["error"]["name"])
    )
    return events[: next(failed) + 1]


def test_the_first_failed_attempt_reddens_its_line_and_says_what_and_which() -> None:
    told = node(TOLD, {"events": up_to_failure("between-attempts")})
    assert told["error"] == {"line": 18, "message": "GatewayTimeout: no answer in 800 ms (attempt 1 of 4)"}


def test_an_attempt_that_was_lost_or_broken_on_purpose_is_no_error_of_the_code() -> None:
    lost = node(TOLD, {"events": up_to_failure("killed-and-woken", "WorkerLost")})
    broken = node(TOLD, {"events": up_to_failure("broken-on-purpose")})
    assert lost["error"] is None
    assert broken["error"] is None


def test_a_step_whose_worker_broke_a_limit_reads_failed_and_the_others_stopped() -> None:
    told = node(TOLD, {"events": JOURNALS["limit-broken"]})
    open_ends = [step["status"] for step in told["steps"] if step["status"] != "completed"]
    assert open_ends and set(open_ends) <= {"errored", "stopped"}
    assert "errored" in open_ends


@pytest.mark.parametrize("apart", [1, 30, 400, 2_000], ids=lambda apart: f"{apart} ms between events")
def test_a_sentence_is_never_left_standing_once_it_is_untrue(apart: int) -> None:
    told = node(SAID, {"apart": apart, "runs": [{"events": events, "task": None} for events in JOURNALS.values()]})
    assert len(told) > 400
    for moment in told:
        said = moment["said"]
        one = re.match(r"(?:.* › )?(\S[^.,]*?)(?:-\d+)? runs[.,]", said)
        if one and not said.startswith("Your code"):
            assert one[1] in moment["running"], moment
        if re.search(r"steps? (run side by side)", said):
            assert len(moment["running"]) > 1, moment
        for words, statuses in (
            ("Waiting for a worker.", {"queued"}),
            ("Your code runs", {"running", "waiting"}),
            ("Paused", {"paused"}),
            ("Complete", {"complete"}),
        ):
            if said.startswith(words):
                assert moment["status"] in statuses, moment


def test_what_is_to_be_tried_is_not_said_any_more_once_it_cannot_be() -> None:
    task = {
        "do": "kill-worker",
        "during": "reserve stock",
        "say": "Press Kill worker while `reserve stock` runs.",
        "seen": "It did.",
    }
    told = node(SAID, {"apart": 5, "runs": [{"events": JOURNALS["killed-and-woken"], "task": task}]})
    tried = [moment["said"].startswith("Try it") for moment in told]
    assert any(tried)
    assert all("reserve stock" in moment["running"] for moment, tries in zip(told, tried, strict=True) if tries)


def test_steps_that_hurry_are_told_of_together() -> None:
    told = node(SAID, {"apart": 5, "runs": [{"events": JOURNALS["loop"], "task": None}]})
    sentences = [moment["said"] for moment in told]
    changes = sum(before != after for before, after in pairwise(sentences))
    assert any("one step after another" in said for said in sentences)
    assert changes <= 12, "a burst of steps is no burst of sentences"
