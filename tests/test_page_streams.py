"""What the page makes of streams: text that grows, progress and the end that it foretells, at every moment."""

import json
from typing import Any

import pytest
from page_code_support import node

STEP = {"kind": "do", "name": "write", "count": 1}
OTHER = {"kind": "do", "name": "copy", "count": 1}

SEEN = """
import { Moments } from "RUN/moments.js";
import { partsOf } from "RUN/fold-streams.js";
import { textsOf } from "RUN/stream-text.js";
globalThis.document = { createElement() {} };
const moments = new Moments({ every: 2, most: 4 });
const seen = (state) => ({
  texts: textsOf(state).map((step) => [
    step.name,
    ...partsOf(state, step).map(({ stream, attempt, values, text }) => [stream, attempt, values, text]),
  ]),
});
const live = given.map((event) => (moments.push(event), seen(moments.state)));
const past = [...given].reverse().map((event) => seen(moments.at(event.seq))).reverse();
return { live, past };
"""
MARKS = """
import { fold } from "RUN/fold.js";
import { parse } from "RUN/../exact.js";
import { marksOf } from "RUN/marks.js";
import { lastForeseen } from "RUN/progress.js";
const state = fold(parse(given));
return {
  marks: state.rows.map((step) =>
    marksOf(step, state, false).map(({ type, text, to, name, title }) => ({ type, text, to, name, title }))),
  foreseen: lastForeseen(state),
};
"""
WORDS = """
import { foreseenEnd } from "RUN/progress.js";
import { percentText } from "RUN/words.js";
return {
  ends: given.ends.map(([percent, at, from]) => foreseenEnd({ percent, at }, from)),
  texts: given.percents.map(percentText),
};
"""


def journal(*events: tuple[str, dict[str, Any] | None, dict[str, Any]]) -> list[dict[str, Any]]:
    """Events of these types, steps and data, a second apart."""
    return [
        {"seq": seq, "at": seq * 1_000, "type": type, "execution": 1, "data": data} | ({"step": step} if step else {})
        for seq, (type, step, data) in enumerate(events, 1)
    ]


def appended(step: dict[str, Any], stream: str, attempt: int, first: int, *values: Any) -> tuple[str, Any, Any]:
    data = {"stream": stream, "attempt": attempt, "first": first, "count": len(values), "values": list(values)}
    return ("stream_appended", step, data)


def begun(step: dict[str, Any], attempt: int = 1) -> tuple[str, Any, Any]:
    return ("attempt_started", step, {"attempt": attempt})


RUN = journal(
    ("workflow_queued", None, {"params": None, "trigger": "api"}),
    ("execution_started", None, {"execution": 1}),
    ("step_started", STEP, {"line": 3}),
    begun(STEP),
    appended(STEP, "answer", 1, 1, "one ", "two "),
    appended(STEP, "answer", 1, 3, "three"),
    ("attempt_errored", STEP, {"attempt": 1, "error": {"name": "E", "message": "m"}, "retry_delay_ms": 10}),
    begun(STEP, 2),
    appended(STEP, "answer", 2, 1, "again"),
    ("step_completed", STEP, {"output": "again"}),
    ("step_started", OTHER, {"line": 5}),
    begun(OTHER),
    appended(OTHER, "progress", 1, 1, {"percent": 25.0, "text": "1 of 4"}),
    appended(OTHER, "log", 1, 1, "copied"),
)


def test_text_grows_begins_anew_and_stays_until_another_step_has_some() -> None:
    seen = node(SEEN, RUN)
    texts = [each["texts"] for each in seen["live"]]
    assert texts[4] == [["write", ["answer", 1, 2, "one two "]]]
    assert texts[5] == texts[6] == [["write", ["answer", 1, 3, "one two three"]]]
    assert texts[7] == []
    assert texts[8] == texts[9] == texts[12] == [["write", ["answer", 2, 1, "again"]]]
    assert [name for name, *_ in texts[13]] == ["copy"]
    assert seen["past"] == seen["live"], "replay shows what was shown live"


def test_a_bar_goes_on_to_the_end_that_progress_foretells() -> None:
    found = node(MARKS, json.dumps(RUN[:13]))
    live, ahead = found["marks"][1]
    assert (live["type"], live["text"], live["name"]) == ("live", "1 of 4", "Progress of copy")
    assert live["title"] == "attempt 1 running, 25\u00a0%, 1 of 4"
    assert (ahead["type"], ahead["to"]) == ("ahead", 16_000)  # it began at 12 s, and had a quarter at 13 s
    assert found["foreseen"] == 16_000
    over = journal(*[(event["type"], event.get("step"), event["data"]) for event in RUN[:13]],
                   ("step_completed", OTHER, {"output": 1}))  # fmt: skip
    assert node(MARKS, json.dumps(over))["foreseen"] is None


FAR = """
import { apply, keyOf, meanPercent, newState, stepMs } from "RUN/fold.js";
import { wordsOf } from "RUN/graph-draw.js";
import { modelOf, walk } from "RUN/graph-model.js";
import { Placement, standing } from "RUN/graph-overlay.js";
const asked = { keyOf, stepMs, meanPercent };
const state = newState();
for (const event of given) apply(state, event);
const model = modelOf([{ kind: "do", name: "copy", line: 5 }]);
const { steps } = new Placement(model, asked).place(state);
const [[found]] = [...walk(model)].filter(([each]) => each.name === "copy");
return [meanPercent(state, state.rows), wordsOf(found, standing(model, steps, state, false, asked).get(found.id))];
"""


def test_a_group_and_the_graph_say_how_far_those_are_that_run() -> None:
    again = {**OTHER, "count": 2}
    more = [(event["type"], event.get("step"), event["data"]) for event in RUN]
    one = node(FAR, RUN)
    assert one == [25, "copy, running, 25\u00a0%, line 5"]
    started = [("step_started", again, {"line": 5}), begun(again)]
    two = node(FAR, journal(*more, *started, appended(again, "progress", 1, 1, {"percent": 75.5, "text": ""})))
    assert two == [50.2, "copy, 2 open, 50.2\u00a0%, line 5"]
    assert node(FAR, journal(*more, ("step_completed", OTHER, {"output": 1})))[0] is None


HEARD = """
import { apply, newState } from "RUN/fold.js";
import { quarters } from "RUN/progress-voice.js";
const state = newState();
const heard = new Map();
return given.map((event) => (apply(state, event), quarters(state, heard))).flat();
"""


def test_progress_is_said_at_each_quarter_once_and_again_by_a_new_attempt() -> None:
    def at(attempt: int, *percents: float) -> list[tuple[str, Any, Any]]:
        return [
            appended(STEP, "progress", attempt, number, {"percent": percent, "text": ""})
            for number, percent in enumerate(percents, 1)
        ]

    run = journal(
        ("step_started", STEP, {"line": 3}),
        begun(STEP),
        *at(1, 0, 24, 26, 27, 76, 50),
        ("attempt_errored", STEP, {"attempt": 1, "error": {"name": "E", "message": "m"}, "retry_delay_ms": 10}),
        begun(STEP, 2),
        *at(2, 25, 100),
        ("step_completed", STEP, {"output": 1}),
    )
    said = [sentence.replace("\u00a0", " ") for sentence in node(HEARD, run)]
    assert said == ["write: 26 %", "write: 76 %", "write: 25 %", "write: 100 %"]


@pytest.mark.parametrize("percent", [0, 100])
def test_nothing_is_foretold_at_the_beginning_and_at_the_end(percent: float) -> None:
    run = journal(
        ("step_started", STEP, {"line": 3}), begun(STEP), appended(STEP, "progress", 1, 1, {"percent": percent})
    )
    (marks,) = node(MARKS, json.dumps(run))["marks"]
    assert [mark["type"] for mark in marks] == ["live"]


def test_words() -> None:
    found = node(
        WORDS,
        {
            "ends": [[50, 20, 10], [10, 10, 10], [0, 20, 10], [100, 20, 10]],
            "percents": [0, 62.58, 100],
        },
    )
    assert found["ends"] == [30, None, None, None]
    assert found["texts"] == ["0\u00a0%", "62.5\u00a0%", "100\u00a0%"]
