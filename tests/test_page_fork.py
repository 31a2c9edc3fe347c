"""What the run panel draws and says of forks and of edited code, computed by its own modules."""

from typing import Any

import pytest
from page_code_support import node
from test_page_fold import JOURNALS
from test_page_pictures import MARKS, SENTENCES

EVENTS = JOURNALS["forked-and-recoded"]
LINES = """
import { fold } from "RUN/fold.js";
import { relocate } from "RUN/recode.js";
return given.map(({ events, plan }) => {
  const state = fold(events);
  relocate(state, plan, state);
  return state.rows.map(({ name, line }) => [name, line]);
});
"""
LOGS = """
import { fold } from "RUN/fold.js";
return fold(given).logs.map(({ cut, text }) => cut ?? text);
"""


def seq_of(type: str, nth: int = 0) -> int:
    return [event["seq"] for event in EVENTS if event["type"] == type][nth]


@pytest.mark.parametrize(
    ("upto", "sentence"),
    [
        (seq_of("kv_put"), "A fork at charge card: 6 finished steps copied, not run. Waiting for a worker."),
        (seq_of("attempt_started"), "Execution 1: 6 steps read from the journal in 5 ms, continuing at ship."),
        (
            seq_of("code_changed"),
            (
                "The code has changed. The next execution reads what finished from the journal and goes on with the "
                "edited code."
            ),
        ),
        (
            seq_of("attempt_started", 1),
            "Execution 2, on the edited code: 6 steps read from the journal in 4 ms, continuing at ship.",
        ),
        (
            len(EVENTS),
            (
                "Complete after 2 executions. 6 steps were copied from the run it was forked from. Every finished step "
                "ran once; ship lost one attempt with its worker."
            ),
        ),
    ],
)
def test_the_narrator_follows_a_fork_whose_code_changes(upto: int, sentence: str) -> None:
    assert node(SENTENCES, [{"events": EVENTS[:upto]}]) == [sentence]


def test_a_copied_step_stands_at_the_beginning_and_is_read_by_later_executions() -> None:
    end = node(MARKS, [EVENTS])[0][-1]
    marks: list[list[dict[str, Any]]] = [row["marks"] for row in end["rows"]]
    assert [[mark["type"] for mark in row] for row in marks[:6]] == [["copied", "read"]] * 6
    titles = [row[0]["title"].replace("\xa0", " ") for row in marks]
    assert "took 292 ms" in titles[0] and "14 s in 4 attempts" in titles[2] and "edited" in titles[5]
    assert [mark["type"] for mark in marks[6]] == ["lost", "ran"]


def test_edited_code_is_a_line_through_the_rows_and_no_death_of_a_worker() -> None:
    (cut,) = node(MARKS, [EVENTS])[0][-1]["life"]["cuts"]
    assert (cut["reason"], cut["soft"], cut["at"]) == ("recoded", True, EVENTS[seq_of("code_changed") - 1]["at"])
    assert node(LOGS, EVENTS) == ["code"]


def test_steps_of_other_code_stand_where_the_code_in_the_editor_has_them() -> None:
    plan = [
        {"kind": "do", "name": "reserve stock", "line": 40},
        {"kind": "do", "name": "ship", "line": 50},
        {"kind": "wait", "name": "ship", "line": 60},
    ]
    moved = dict(node(LINES, [{"events": EVENTS, "plan": plan}])[0])
    assert moved["reserve stock"] == 40 and moved["ship"] == 50 and moved["charge card"] is None
    assert node(LINES, [{"events": EVENTS, "plan": []}])[0][0] == ["reserve stock", 11]
