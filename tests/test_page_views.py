"""What the smaller parts of the run panel decide, computed by its own modules: which executions have a column, what is told and when,
how long a quiet spell is drawn, and which flags carry words."""

import pytest
from page_code_support import node

COLUMNS = """
import { columnsOf } from "RUN/lens.js";
const executions = Array.from({ length: given.many }, (_, index) => ({ execution: index + 1 }));
return columnsOf(executions, given.most, given.from).map((one) => (one.folded ? one.between.map((each) => -each.execution) : [one.execution])).flat();
"""
TOLD = """
import { Telling } from "RUN/telling.js";
import { apply, newState } from "RUN/fold.js";
const said = [];
globalThis.document = { dispatchEvent: ({ type, detail }) => type === "playground:status" && said.push(detail.status) };
const state = newState();
const telling = new Telling();
const tell = (type, data = {}) => {
  const seq = state.lastSeq + 1;
  apply(state, { seq, at: seq, type, data });
  return telling.tell(state, state, { now: seq, final: false, stale: false, past: null });
};
const paces = [tell("workflow_queued"), tell("execution_started", { execution: 1, worker: "w1", replayed: 0 })];
await new Promise((resolve) => setTimeout(resolve, paces[1]));
paces.push(telling.tell(state, state, { now: 2, final: false, stale: false, past: null }));
return { said, held: paces.map(Boolean) };
"""
DRAWN = """
import { Scale } from "RUN/scale.js";
return given.map((spells) => {
  let at = 0;
  const quiet = spells.map(([busy, length]) => [(at += busy), (at += length)]);
  const scale = new Scale();
  scale.update({ generationAt: 0, endedAt: at + 1_000, quiet, open: new Set(), rows: [{ attempts: [1] }], status: "complete" }, at + 1_000, true);
  return quiet.map(([from, to]) => (scale.at(to) - scale.at(from)) / 100);
});
"""
FLAGS = """
import { labels } from "RUN/axis.js";
const scale = { at: (at) => at, moment: (at) => at, now: 90, idles: [], spans: () => [], span: 100, start: 0, view: null };
const cuts = given.at.map((at) => ({ at, reason: "killed", execution: 1 }));
return labels({ scale, cuts, stale: false, final: true, width: 360, narrow: given.narrow, held: "" }).filter(({ kind }) => kind === "cut").map(({ text, a }) => (given.places ? a : text));
"""
LATE = """
import { Lesson } from "RUN/lesson.js";
import { belongs } from "RUN/../lessons.js";
const shelves = new Map();
globalThis.localStorage = { getItem: (key) => shelves.get(key) ?? null, setItem: (key, text) => shelves.set(key, text) };
globalThis.document = { dispatchEvent() {} };
const answers = [];
globalThis.fetch = () => new Promise((resolve) => answers.push((slug) => resolve(new Response(JSON.stringify({ slug, tasks: [], params: null })))));
const lesson = new Lesson({ root: { replaceChildren() {} } });
belongs("first", "saga");
belongs("second", "hello");
const settled = () => new Promise((resolve) => setTimeout(resolve));
lesson.open({ id: "first", token: "mine", example: null });
lesson.open({ id: given, token: given === "second" ? "mine" : null, example: null });
const seen = [];
for (const slug of ["saga", "hello"].slice(0, answers.length)) {
  answers.shift()(slug);
  await settled();
  seen.push(lesson.example?.slug ?? null);
}
return seen;
"""


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        (None, [1, -2, -3, -4, -5, -6, 7, 8, 9]),
        (0, [1, 2, 3, 4, -5, -6, -7, -8, -9]),
        (2, [-1, -2, 3, 4, 5, 6, -7, -8, -9]),
        (5, [-1, -2, -3, -4, -5, 6, 7, 8, 9]),
    ],
)
def test_every_execution_has_a_column_or_is_folded_into_one_that_opens(start: int | None, shown: list[int]) -> None:
    assert node(COLUMNS, {"many": 9, "most": 4, "from": start}) == shown


@pytest.mark.parametrize(("second", "shown"), [("second", [None, "hello"]), ("somebody else's", [None])])
def test_the_lesson_of_the_run_before_comes_too_late_for_this_one(second: str, shown: list[str | None]) -> None:
    assert node(LATE, second) == shown


def test_what_was_held_back_is_asked_for_again_while_the_run_is_live() -> None:
    """A page whose next frame is a second away would say `Queued` of a run that waits."""
    told = node(TOLD)
    assert told["said"] == ["queued", "running"]
    assert told["held"] == [False, True, False]


def test_a_spell_that_is_over_is_drawn_to_scale_or_as_a_strip_never_in_between() -> None:
    three, uneven = node(DRAWN, [[[600, 3_002]], [[500, 3_010], [500, 6_000]]])
    assert three == pytest.approx([3_002 / 4_602], rel=0.02)
    assert uneven[0] > 3 * uneven[1] > 0.2, "the longer one is the strip, and has room for its length"


def test_a_flag_that_would_be_cut_off_at_the_panels_edge_has_no_words() -> None:
    near_and_far = [6, 60]
    assert node(FLAGS, {"at": near_and_far, "narrow": True}) == ["worker killed", ""]
    assert node(FLAGS, {"at": near_and_far, "narrow": False}) == ["worker killed", "worker killed"]
    [end] = node(FLAGS, {"at": [100], "narrow": False, "places": True})
    assert 80 < end < 95, "whole beside the buttons"
    assert node(FLAGS, {"at": [120], "narrow": False, "places": True}) == [], "zoomed out of view"
