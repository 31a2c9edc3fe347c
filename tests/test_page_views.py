"""What the smaller parts of the run panel decide, computed by its own modules: which executions have a column, what is
told and when, how long a quiet spell is drawn, and which flags carry words.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from page_code_support import node

COLUMNS = """
import { columnsOf } from "RUN/lens.js";
const executions = Array.from({ length: given.many }, (_, index) => ({ execution: index + 1 }));
return columnsOf(executions, given.most, given.from).map((one) =>
    (one.folded ? one.between.map((each) => -each.execution) : [one.execution])).flat();
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
await new Promise((resolve) => setTimeout(resolve, paces[1] + 1));
paces.push(telling.tell(state, state, { now: 2, final: false, stale: false, past: null }));
return { said, held: paces.map(Boolean) };
"""
DRAWN = """
import { Scale } from "RUN/scale.js";
return given.map((spells) => {
  let at = 0;
  const quiet = spells.map(([busy, length]) => [(at += busy), (at += length)]);
  const scale = new Scale();
  scale.update({ generationAt: 0, endedAt: at + 1_000, quiet, open: new Set(),
      executions: [], rows: [{ attempts: [1] }], status: "complete" }, at + 1_000, true);
  return quiet.map(([from, to]) => (scale.at(to) - scale.at(from)) / 100);
});
"""
FLAGS = """
import { labels } from "RUN/axis.js";
const scale = { at: (at) => at, moment: (at) => at, now: 90,
    idles: [], spans: () => [], span: 100, start: 0, view: null };
const cuts = given.at.map((at) => ({ at, reason: "killed", execution: 1 }));
return labels({ scale, cuts, stale: false, final: true, width: 360, narrow: given.narrow, held: "" })
    .filter(({ kind }) => kind === "cut").map(({ text, a }) => (given.places ? a : text));
"""
LATE = """
import { Lesson } from "RUN/lesson.js";
import { belongs } from "RUN/../lessons.js";
const shelves = new Map();
globalThis.localStorage = { getItem: (key) => shelves.get(key) ?? null,
    setItem: (key, text) => shelves.set(key, text) };
globalThis.document = { dispatchEvent() {} };
const answers = [];
globalThis.fetch = () =>
    new Promise((resolve) => answers.push((slug) =>
        resolve(new Response(JSON.stringify({ slug, tasks: [], params: null })))));
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


def test_the_parts_of_a_bracket_go_on_beside_what_its_steps_have_called() -> None:
    """Rows of one bracket: a step of its own, two side by side of which the first called another,
    and one after them.
    """
    rows = [("first", 1, None), ("one", 2, None), ("inner", None, "one"), ("two", 2, None), ("last", 3, None)]
    script = """
import { bracketAt } from "RUN/nested.js";
const rows = given.map(([key, bracket, parent]) => ({ key, bracket, parent }));
return rows.map((_, index) => bracketAt(rows, index));
"""
    assert node(script, rows) == [
        [False, False, False],
        [False, True, False],
        [True, True, True],
        [True, False, False],
        [False, False, False],
    ]


LENS = """
import { fold } from "RUN/fold.js";
import { cell } from "RUN/lens.js";
import { rowsOf } from "RUN/nested.js";
const state = fold(given.events);
return rowsOf(state).map((step) => state.executions.map((one, index) =>
    cell(step, one, state, index === state.executions.length - 1 && !given.final)[1]));
"""


def events(*given: tuple[str, int | None, dict[str, str] | None, dict[str, object]]) -> list[dict[str, object]]:
    return [
        {
            "seq": place,
            "at": place * 1_000,
            "type": type,
            "execution": execution,
            "data": data,
            **({"step": {"count": 1, **step}} if step else {}),
        }
        for place, (type, execution, step, data) in enumerate(given, 1)
    ]


def test_no_execution_slept_or_waited_to_the_end_that_was_over_before() -> None:
    nap, go = {"kind": "sleep", "name": "nap"}, {"kind": "wait", "name": "go"}
    journal = events(
        ("workflow_queued", None, None, {}),
        ("execution_started", 1, None, {"execution": 1}),
        ("sleep_started", 1, nap, {"until": 9_000}),
        ("wait_started", 1, go, {"until": 99_000, "event_type": "go"}),
        ("execution_ended", 1, None, {"reason": "killed"}),
        ("execution_started", 2, None, {"execution": 2}),
        ("execution_ended", 2, None, {"reason": "hibernated"}),
        ("execution_started", 3, None, {"execution": 3}),
        ("sleep_completed", 3, nap, {}),
        ("wait_cancelled", 3, go, {}),
        ("execution_ended", 3, None, {"reason": "completed"}),
        ("workflow_completed", 3, None, {"output": None}),
    )
    assert node(LENS, {"events": journal, "final": True}) == [
        ["fell asleep", "still asleep", "slept"],
        ["began to wait", "still waiting", "cancelled"],
    ]


def test_an_execution_that_took_another_way_did_not_read_what_it_passed_by() -> None:
    pay, refund = {"kind": "do", "name": "pay"}, {"kind": "do", "name": "refund"}
    journal = events(
        ("workflow_queued", None, None, {}),
        ("execution_started", 1, None, {"execution": 1}),
        ("step_started", 1, pay, {}),
        ("attempt_started", 1, pay, {"attempt": 1}),
        ("attempt_completed", 1, pay, {"attempt": 1, "took_us": 320}),
        ("step_completed", 1, pay, {"output": 1}),
        ("execution_ended", 1, None, {"reason": "killed"}),
        ("execution_started", 2, None, {"execution": 2}),
        ("replay_diverged", 2, None, {"steps": [{"count": 1, **pay}]}),
        ("step_started", 2, refund, {}),
    )
    assert node(LENS, {"events": journal, "final": False})[0] == ["ran, 320\xa0µs", "not reached again"]
    said = node(
        'import { notReached } from "RUN/diverged.js";\nreturn given.map(notReached);',
        [[pay | {"count": 2}], [pay | {"count": many} for many in range(1, 6)]],
    )
    assert said == ["pay-2 was not reached again", "pay, pay-2 and 3 more steps were not reached again"]


def test_a_run_that_ended_in_a_group_names_the_step_that_raised_one_of_it() -> None:
    error = {"name": "ValueError", "message": "no price"}
    inner = {"name": "ExceptionGroup", "message": "inner", "errors": [error]}
    script = """
import { blamed, culprit } from "RUN/fold.js";
const rows = [{ name: "a", error: null }, { name: "b", error: given.error }];
const state = { rows, error: { name: "ExceptionGroup",
    message: "outer", errors: [{ name: "KeyError", message: "k" }, given.inner] } };
return [culprit(state) ?? null, blamed(state).name, blamed({ ...state, error: null }) ?? null];
"""
    assert node(script, {"error": error, "inner": inner}) == [None, "b", None]


QUEUED = """
import { Scale } from "RUN/scale.js";
import { labels } from "RUN/axis.js";
import { lifeOf } from "RUN/marks.js";
import { fold } from "RUN/fold.js";
return given.map(([wait, ran, again]) => {
  const at = 1_000_000;
  const started = at + wait;
  const events = [["workflow_queued", at], ["execution_started", started, { execution: 1 }],
      ["workflow_started", started]];
  let end = started + ran;
  if (again !== null) {
    events.push(["execution_ended", end, { reason: "killed" }], ["execution_started", end + again, { execution: 2 }]);
    end += again + ran;
  }
  events.push(["workflow_completed", end, { output: null }]);
  const state = fold(events.map(([type, when, data = {}], index) =>
      ({ seq: index + 1, at: when, type, data, execution: null })));
  const scale = new Scale();
  scale.update(state, end, true);
  return {
    begins: scale.at(started), ends: scale.at(end),
    labels: labels({ scale, cuts: [], stale: false, final: true, width: 900, narrow: false, held: "" })
        .map(({ kind, text }) => [kind, text]),
    lane: lifeOf(state, true).bands.filter(({ type }) => type === "none").map(({ text }) => text),
  };
});
"""


def test_the_axis_counts_from_the_first_worker_and_names_the_wait_for_it() -> None:
    """A run of 48 ms that waited 24 s for a worker: its axis goes from 0 to 48 ms."""
    [long, short] = node(QUEUED, [[24_000, 48, None], [22, 48, None]])
    assert ["skipped", "24\N{NO-BREAK SPACE}s in line for a worker"] in long["labels"]
    assert long["lane"] == ["in line for a worker"]
    assert ["start", "0 s"] in long["labels"] and ["tick", "40 ms"] in long["labels"]
    assert 20 < long["begins"] < 30
    assert short["begins"] == 0 and short["lane"] == []
    assert [text for kind, text in short["labels"] if kind == "skipped"] == []
    assert ["tick", "40 ms"] in short["labels"]


def test_the_wait_for_the_next_worker_is_out_of_scale_and_named_too() -> None:
    [killed] = node(QUEUED, [[22, 48, 3_000]])
    assert ["skipped", "3\N{NO-BREAK SPACE}s in line for a worker"] in killed["labels"]
    assert killed["lane"] == ["in line for a worker"]
    assert killed["ends"] > 95


SKIPPED = """
import { apply, newState } from "RUN/fold.js";
import { marksOf } from "RUN/marks.js";
import { narrate } from "RUN/narrator.js";
import { planned, skippedWaits, skippedWords } from "RUN/skipped.js";
const state = newState();
for (const event of given.journal) apply(state, event);
return { words: state.rows.map(skippedWords), all: skippedWaits(state),
    cut: state.rows.flatMap((step) => marksOf(step, state, true)).filter((one) => one.skipped).map((one) => one.title),
    said: narrate(state, { now: state.endedAt, final: true }).parts.filter((part) => typeof part === "string").join(""),
    planned: given.lengths.map(planned) };
"""


def test_a_skipped_wait_says_how_long_it_was_to_be_and_how_long_it_was() -> None:
    path = Path(__file__).parent / "journals" / "sleeps-skipped.json"
    lengths = [500, 7_200_000, 86_400_000, 30 * 86_400_000, 90_000_000]
    found = node(SKIPPED, {"journal": json.loads(path.read_text()), "lengths": lengths})
    space = "\N{NO-BREAK SPACE}"
    words = [text.replace(space, " ") for text in found["words"]]
    assert words == ["1 day, woken after 1.4 s", "", "30 days, woken after 2 ms", "", "8 h, woken after 4 ms"]
    assert found["all"]["count"] == 5  # three sleeps, two waits before a retry
    cut = [text.replace(space, " ") for text in found["cut"]]
    assert "waited 2 ms of 2 h before attempt 2, ended early by hand" in cut and len(cut) == 5
    assert "5 waits of 31 d 12 h in all were skipped and took 1.41 s." in found["said"].replace(space, " ")
    assert [text.replace(space, " ") for text in found["planned"]] == ["500 ms", "2 h", "1 day", "30 days", "1 d 1 h"]


PAUSING = """
import { apply, newState } from "RUN/fold.js";
import { narrate } from "RUN/narrator.js";
const state = newState();
for (const event of given) apply(state, event);
return narrate(state, { now: state.lastAt }).parts.map((part) => part.code ?? part).join("");
"""


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        (None, "Pausing: ship finishes first, and nothing new begins."),
        ("sleep", "Pausing: ship finishes first; inside, ship › dry sleeps until 00:00:09."),
        ("wait", "Pausing: ship finishes first; inside, ship › dry waits for the event signed, until 00:00:09."),
    ],
)
def test_a_pause_says_which_attempt_it_waits_for_and_what_that_waits_for(inner: str | None, said: str) -> None:
    ship = {"kind": "do", "name": "ship", "count": 1}
    told: list[tuple[str, Any, Any]] = [
        ("workflow_queued", None, {}),
        ("execution_started", None, {"execution": 1}),
        ("step_started", ship, {"config": {}}),
        ("attempt_started", ship, {"attempt": 1}),
    ]
    if inner:
        key = {"kind": inner, "name": "dry", "count": 1, "parent": ship}
        told.append((f"{inner}_started", key, {"until": 9_000, "event_type": "signed"}))
    told.append(("workflow_waiting_for_pause", None, {}))
    journal = [
        {"seq": seq, "at": seq, "type": type, "execution": 1, "data": data} | ({"step": step} if step else {})
        for seq, (type, step, data) in enumerate(told, 1)
    ]
    assert node(PAUSING, journal) == said


IN_LINE = """
import { apply, newState } from "RUN/fold.js";
import { narrate } from "RUN/narrator.js";
const state = newState();
for (const event of given) apply(state, event);
const place = { text: "Waits for a worker; 3 runs are ahead of it." };
return [null, place].map((found) => narrate(state, { now: state.lastAt, place: found }).parts.join(""));
"""


def test_a_queued_run_says_how_many_are_ahead_once_the_server_has_said_so() -> None:
    queued = {"seq": 1, "at": 1, "type": "workflow_queued", "execution": None, "data": {}}
    assert node(IN_LINE, [queued]) == ["Waiting for a worker.", "Waits for a worker; 3 runs are ahead of it."]
    life = [
        ("execution_started", {"execution": 1}),
        ("workflow_waiting", {}),
        ("execution_ended", {"reason": "hibernated"}),
    ]
    told = [queued]
    for type, data in (*life, ("workflow_paused", {}), ("workflow_resumed", {})):
        told.append({"seq": len(told) + 1, "at": len(told) + 1, "type": type, "execution": 1, "data": data})
    assert node(IN_LINE, told)[1] == "Its time has come. Waits for a worker; 3 runs are ahead of it."
