"""What the run panel draws and says, computed by its own modules: places on the timeline, marks, the narrator's
sentences, long lists.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from page_code_support import node

JOURNALS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "journals").glob("*.json"))
}
LATER_MS = (0, 900, 3_500, 60_000, 86_400_000)

PLACES = """
import { FINAL, apply, newState } from "RUN/fold.js";
import { Scale } from "RUN/scale.js";
return given.journals.map((events) => {
  const state = newState();
  const scale = new Scale();
  const seen = [];
  for (const event of events) {
    apply(state, event);
    const final = FINAL.has(state.status);
    for (const later of given.later) {
      scale.update(state, state.lastAt + later, final);
      const moments = [...new Set(events.slice(0, state.lastSeq).map((one) => one.at))]
          .filter((at) => at >= state.generationAt).sort((a, b) => a - b);
      seen.push({ seq: event.seq, final, places: moments.map((at) => scale.at(at)),
          now: scale.at(scale.now), idles: scale.idles });
    }
  }
  return seen;
});
"""

MARKS = """
import { FINAL, apply, newState } from "RUN/fold.js";
import { lifeOf, marksOf } from "RUN/marks.js";
return given.map((events) => {
  const state = newState();
  return events.map((event) => {
    apply(state, event);
    const final = FINAL.has(state.status);
    const rows = state.rows.map((step) => ({
        ended: step.endedAt !== null && step.rollback?.status !== "running",
        marks: marksOf(step, state, final) }));
    return { seq: event.seq, final, rows, life: lifeOf(state, final) };
  });
});
"""

SENTENCES = """
import { FINAL, fold } from "RUN/fold.js";
import { narrate } from "RUN/narrator.js";
const words = (part) => (typeof part === "string" ? part : (part.code ?? part.b ?? part.tick ?? `line ${part.line}`));
return given.map(({ events, ...context }) => {
  const state = fold(events);
  const told = narrate(state, { now: state.lastAt + (context.later ?? 0),
      final: FINAL.has(state.status), stale: false, ...context });
  return told.parts.map(words).join("").replaceAll("\\u00a0", " ");
});
"""


@pytest.fixture(scope="module")
def places() -> dict[str, list[dict[str, Any]]]:
    return dict(zip(JOURNALS, node(PLACES, {"journals": list(JOURNALS.values()), "later": LATER_MS}), strict=True))


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[dict[str, Any]]]:
    return dict(zip(JOURNALS, node(MARKS, list(JOURNALS.values())), strict=True))


@pytest.mark.parametrize("name", JOURNALS)
def test_moments_stand_in_their_order_and_on_the_track(name: str, places: dict[str, list[dict[str, Any]]]) -> None:
    for seen in places[name]:
        assert seen["places"] == sorted(seen["places"]), seen["seq"]
        assert all(0 <= place <= 100 for place in seen["places"]), seen["seq"]


@pytest.mark.parametrize("name", JOURNALS)
def test_a_live_timeline_leaves_room_after_now_and_a_finished_one_fills_the_track(
    name: str, places: dict[str, list[dict[str, Any]]]
) -> None:
    for seen in places[name]:
        if seen["final"]:
            assert 98 <= seen["now"] <= 100, seen["seq"]
        else:
            assert seen["now"] <= 94.1, seen["seq"]


def test_six_idle_minutes_among_seconds_of_work_shrink_to_a_strip(places: dict[str, list[dict[str, Any]]]) -> None:
    [idle] = [idle for idle in places["killed-and-woken"][-1]["idles"] if not idle.get("ahead")]
    assert idle["length"] > 6 * 60_000
    assert 5 < idle["b"] - idle["a"] < 15


def test_idle_strips_never_take_more_than_their_share(places: dict[str, list[dict[str, Any]]]) -> None:
    for name, history in places.items():
        if name == "stopped-before-steps":
            continue  # its steps take no time, so that its one idle hour is all there is to show
        for seen in history:
            past = sum(idle["b"] - idle["a"] for idle in seen["idles"] if not idle.get("ahead"))
            assert past <= 60 or not seen["final"], (name, seen["seq"])


@pytest.mark.parametrize("name", JOURNALS)
def test_every_step_has_marks_in_order_and_none_is_live_once_it_is_over(
    name: str, drawn: dict[str, list[dict[str, Any]]]
) -> None:
    live = {"live", "sleep-on", "wait-on", "ahead", "ahead-gap"}
    for seen in drawn[name]:
        for row in seen["rows"]:
            types = {mark["type"] for mark in row["marks"]}
            assert types - {"read", "pause"}, seen["seq"]
            if seen["final"] or row["ended"]:
                assert not types & live, seen["seq"]
            for mark in row["marks"]:
                if mark.get("from") is not None and mark.get("to") is not None:
                    assert mark["from"] <= mark["to"], (seen["seq"], mark)


def test_a_killed_worker_is_a_cut_and_one_that_was_ended_with_its_run_is_none(
    drawn: dict[str, list[dict[str, Any]]],
) -> None:
    reasons = {name: [cut["reason"] for cut in history[-1]["life"]["cuts"]] for name, history in drawn.items()}
    assert reasons["killed-and-woken"] == ["killed"]
    assert reasons["killed-five-times"] == ["killed", "killed", "lost", "killed"]
    assert reasons["limit-broken"] == ["limit"]
    assert reasons["terminated"] == reasons["paused-and-resumed"] == reasons["hibernating"][1:] == []


def test_a_lost_attempt_ends_where_its_worker_did(drawn: dict[str, list[dict[str, Any]]]) -> None:
    end = drawn["killed-and-woken"][-1]
    [lost] = [mark for row in end["rows"] for mark in row["marks"] if mark["type"] == "lost"]
    assert lost["to"] == end["life"]["cuts"][0]["at"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "killed-and-woken",
            (
                "Complete after 3 executions. Every finished step ran once; ship lost one attempt with its worker. "
                "1 wait of 2 h was skipped and took 6 min 34 s."
            ),
        ),
        ("errored-outside-a-step", "The run stopped at line 40, outside any step. Nothing is retried there."),
        (
            "between-attempts",
            (
                "charge card failed at line 18: GatewayTimeout: no answer in 800 ms. That was attempt 1 of 4. The next "
                "begins at 11:06:43."
            ),
        ),
        (
            "saga-rolled-back",
            (
                "pay failed once and was not tried again. Nothing caught its error, so the run ended. 3 steps rolled "
                "back, the last first."
            ),
        ),
        ("terminated", "Terminated by hand. What had been committed is kept here."),
        (
            "limit-broken",
            "The worker broke a limit, so the run ended: CpuLimit: one attempt may use 10 seconds of processor time.",
        ),
        ("wait-times-out", "approval got no event in time. Nothing caught its error, so the run ended."),
        ("events-kept", "Complete. It took no steps, so nothing is in the journal but its output."),
        ("fan-out", "Complete. Each of its 13 steps ran once, and its result is in the journal."),
        ("retried-early", "flaky failed 2 times, its last attempt too. Nothing caught its error, so the run ended."),
    ],
)
def test_the_narrator_says_what_last_mattered(name: str, sentence: str) -> None:
    assert node(SENTENCES, [{"events": JOURNALS[name]}]) == [sentence]


@pytest.mark.parametrize(
    ("until", "context", "sentence"),
    [
        ("workflow_queued", {}, "Waiting for a worker."),
        (
            "attempt_started",
            {},
            "reserve stock runs. Its result is committed to the journal before anything outside your code can see it.",
        ),
        (
            "execution_ended",
            {},
            "The worker was killed in the middle of ship. The journal is not: a new worker continues from it.",
        ),
        (
            "attempt_started",
            {"stale": True},
            "The run goes on without this page. What it commits now will appear here, in order, once.",
        ),
        (
            "attempt_started",
            {
                "task": {
                    "do": "kill-worker",
                    "during": "reserve stock",
                    "say": "Press Kill worker while `reserve stock` runs.",
                    "seen": "It did.",
                }
            },
            "Try it: press Kill worker while reserve stock runs.",
        ),
    ],
)
def test_the_narrator_follows_a_run(until: str, context: dict[str, Any], sentence: str) -> None:
    events = JOURNALS["killed-and-woken"]
    upto = next(event["seq"] for event in events if event["type"] == until)
    assert node(SENTENCES, [{"events": events[:upto], **context}]) == [sentence]


def test_the_narrator_leaves_an_armed_kill_to_the_list_where_it_is_taken_back() -> None:
    events = JOURNALS["killed-and-woken"]
    upto = next(event["seq"] for event in events if event["type"] == "attempt_started")
    armed = {**events[upto - 1], "seq": upto + 1, "type": "kill_armed", "step": None, "data": {"when": "before-commit"}}
    task = {
        "do": "kill-worker",
        "during": "reserve stock",
        "say": "Press Kill worker while `reserve stock` runs.",
        "seen": "It did.",
    }
    said = node(SENTENCES, [{"events": [*events[:upto], armed], "task": task}])
    assert said == [
        "reserve stock runs. Its result is committed to the journal before anything outside your code can see it."
    ]


def test_the_narrator_says_what_a_new_execution_read() -> None:
    events = JOURNALS["killed-and-woken"]
    second = next(event["seq"] for event in events if event["type"] == "attempt_started" and event["execution"] == 2)
    assert node(SENTENCES, [{"events": events[:second]}]) == [
        "Execution 2: 2 steps read from the journal in 3 ms, continuing at ship."
    ]


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (292, "292 ms"),
        (3_270, "3.27 s"),
        (12_000, "12 s"),
        (59_940, "59.9 s"),
        (59_960, "1 min"),
        (406_000, "6 min 46 s"),
        (6_780_000, "1 h 53 min"),
    ],
)
def test_a_length_of_time_is_as_long_as_it_needs_to_be(ms: int, words: str) -> None:
    assert (
        node('import { lasting } from "RUN/words.js";\nreturn lasting(given).replaceAll("\\u00a0", " ");', ms) == words
    )


def test_heights_of_rows_agree_with_adding_them_up() -> None:
    assert node("""
import { Heights } from "RUN/heights.js";
let seed = 7;
const random = (below) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
const heights = new Heights();
const plain = [];
const wrong = [];
for (let turn = 0; turn < 3000; turn += 1) {
  const what = random(10);
  if (what < 6) { const size = 1 + random(60); heights.push(size); plain.push(size); }
  else if (what < 9 && plain.length) {
      const at = random(plain.length); plain[at] = 1 + random(90); heights.set(at, plain[at]); }
  else if (random(40) === 0) { plain.length = random(plain.length + 1); heights.truncate(plain.length); }
  const at = random(plain.length + 1);
  const sum = plain.slice(0, at).reduce((a, b) => a + b, 0);
  if (heights.offset(at) !== sum) wrong.push(["offset", turn]);
  if (plain.length && at < plain.length && heights.find(sum) !== at) wrong.push(["find", turn]);
  if (plain.length && at < plain.length && heights.find(sum + plain[at] - 1) !== at) wrong.push(["find end", turn]);
}
return { wrong, length: plain.length > 100 };
""") == {"wrong": [], "length": True}


def test_escape_sequences_are_taken_out_of_printed_text() -> None:
    hostile = [
        "\x1b[1;31mred\x1b[0m",
        "\x1b]0;title\x07text",
        "50 %\r100 %",
        "bell\x07 nul\x00",
        "\x1b[38;5;196mrich\x1b[m",
        "\x1b[2J\x1b[Hhome",
        "tab\tkept",
        "\x1b(B cut short \x1b[",
    ]
    seen = node('import { plain } from "RUN/ansi.js";\nreturn given.map(plain);', hostile)
    assert seen == ["red", "text", "100 %", "bell nul", "rich", "home", "tab\tkept", " cut short ["]
