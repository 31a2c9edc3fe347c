"""The page's scrubber: the state at any seq, found from checkpoints,
is the very state that folding up to there gives.
"""

import random

from page_code_support import node
from test_page_fold import JOURNALS, invented

INVENTED = 60
EVERY = 7  # events between checkpoints: far fewer than the page's, so that short journals cross many
MOST = 5  # … so that they are thinned out, too
LONG = 10_000

ANY_MOMENT = """
import assert from "node:assert";
import { apply, newState } from "RUN/fold.js";
import { Moments } from "RUN/moments.js";
const folded = (events) => events.reduce((state, event) => (apply(state, event), state), newState());
let compared = 0;
for (const { events, order } of given.journals) {
  const moments = new Moments(given);
  for (const event of events) moments.push(event);
  for (const seq of order) {
    assert.deepStrictEqual(moments.at(seq), folded(events.slice(0, seq)), `at ${seq} of ${events.length}`);
    compared += 1;
  }
  assert.deepStrictEqual(moments.state, folded(events));
}
return compared;
"""

WHILE_IT_GROWS = """
import assert from "node:assert";
import { fold } from "RUN/fold.js";
import { Moments } from "RUN/moments.js";
const moments = new Moments({ every: 4, most: 3 });
given.forEach((event, index) => {
  moments.push(event);
  const seq = (index * 7) % (index + 1);
  assert.deepStrictEqual(moments.at(seq), fold(given.slice(0, seq)));
});
return moments.last;
"""

GENERATIONS = """
import { Moments } from "RUN/moments.js";
const moments = new Moments();
for (const event of given) moments.push(event);
return given.map((event) => moments.generationEnd(event.seq));
"""

HOW_MUCH = """
import { Moments } from "RUN/moments.js";
const moments = new Moments();
const events = [{ seq: 1, at: 1, type: "workflow_queued", execution: null, data: {} },
    { seq: 2, at: 1, type: "execution_started", execution: 1, data: { execution: 1 } }];
for (let step = 0; events.length < given; step += 1) {
  for (const type of ["step_started", "attempt_started", "attempt_completed", "step_completed"]) {
    events.push({ seq: events.length + 1, at: events.length, type, execution: 1,
        step: { kind: "do", name: `s${step}`, count: 1 },
        data: { attempt: 1, output: 1, config: {} } });
  }
}
for (const event of events) moments.push(event);
const copies = new Set(moments.kept.flatMap((state) => state.rows)).size;
return { checkpoints: moments.kept.length, rows: moments.state.rows.length, copies };
"""


def test_every_moment_of_a_recorded_or_invented_journal_is_what_the_fold_up_to_it_gives() -> None:
    pick = random.Random(6)
    journals = list(JOURNALS.values()) + [invented(random.Random(seed)) for seed in range(INVENTED)]
    asked = [{"events": events, "order": pick.sample(range(len(events) + 1), len(events) + 1)} for events in journals]
    compared = node(ANY_MOMENT, {"journals": asked, "every": EVERY, "most": MOST})
    assert compared == sum(len(events) + 1 for events in journals)


def test_moments_stay_right_while_the_journal_grows_behind_them() -> None:
    events = JOURNALS["killed-five-times"]
    assert node(WHILE_IT_GROWS, events) == len(events)


def test_a_moment_belongs_to_the_timeline_of_its_generation() -> None:
    events = JOURNALS["restarted-from-a-step"]
    restarts = [event["seq"] for event in events if event["type"] == "workflow_restarted"]
    ends = node(GENERATIONS, events)
    assert ends[0] == restarts[0] - 1
    assert ends[restarts[0] - 1] == (restarts[1] - 1 if len(restarts) > 1 else len(events))
    assert ends[-1] == len(events)


def test_checkpoints_share_the_steps_that_did_not_change_between_them() -> None:
    kept = node(HOW_MUCH, LONG)
    assert kept["checkpoints"] == LONG // 256 + 1
    assert kept["copies"] < kept["rows"] + 2 * kept["checkpoints"]
