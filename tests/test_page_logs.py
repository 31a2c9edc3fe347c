"""The page's log: what was printed in pieces is one line again, as the server joins it, at any moment of the run."""

from typing import Any

import pytest
from page_code_support import node

from playground.workflows.events import Event, StepKey
from playground.workflows.logs import join_log

LINES = """
import { fold } from "RUN/fold.js";
import { Moments } from "RUN/moments.js";
const moments = new Moments({ every: 2 });
for (const event of given) moments.push(event);
const named = (step) => step?.name ?? null;
const shown = ({ step, seq, text, line, replay, more }) => ({ step: named(step), seq, text, line, replay, more });
const told = (state) => state.logs.map((line) => line.cut ?? shown(line));
const moved = given.map((event) => told(moments.at(event.seq)));
return [told(fold(given)), moved, given.map((event, index) => told(fold(given.slice(0, index + 1))))];
"""


def log(
    seq: int, text: str, *, partial: bool = False, execution: int = 1, step: str | None = "one", **more: Any
) -> dict[str, Any]:
    data = {
        "stream": "stdout",
        "level": None,
        "text": text,
        "replay": False,
        "line": seq,
        **({"partial": True} if partial else {}),
        **more,
    }
    shown: dict[str, Any] = {"seq": seq, "at": seq, "type": "log", "execution": execution, "data": data}
    return shown | ({"step": {"kind": "do", "name": step, "count": 1}} if step else {})


JOURNAL = [
    log(1, "loading", partial=True),
    log(2, "other", step="two"),
    log(3, " 50%", partial=True, replay=True),
    log(4, "outside\nall", step=None, partial=True),
    log(5, " ok\nthen", stream="stdout"),
    log(6, " steps", step=None),
    log(7, "a", execution=2, partial=True),
    {"seq": 8, "at": 8, "type": "execution_ended", "execution": 2, "data": {"reason": "killed"}},
    log(9, "b", execution=3),
]


def test_pieces_are_one_line_with_the_step_and_the_place_of_its_beginning() -> None:
    lines, _, _ = node(LINES, JOURNAL)
    assert [(line["seq"], line["step"], line["line"], line["text"]) for line in lines] == [
        (1, "one", 1, "loading 50% ok"),
        (2, "two", 2, "other"),
        (4, None, 4, "outside"),
        (4, None, 4, "all steps"),
        (5, "one", 5, "then"),
        (7, "one", 7, "a"),
        (9, "one", 9, "b"),
    ]
    assert not any(line["replay"] for line in lines)
    assert [line["more"] for line in lines] == [False, False, False, True, False, False, False]


def test_every_moment_of_a_run_has_the_lines_as_they_were_then() -> None:
    _, moments, anew = node(LINES, JOURNAL)
    assert moments == anew
    assert [line["text"] for line in moments[0]] == ["loading"]


def test_the_page_and_the_server_join_the_same_pieces() -> None:
    lines, _, _ = node(LINES, JOURNAL)
    events = [
        Event(
            it["seq"],
            it["at"],
            it["type"],
            it["execution"],
            StepKey(**it["step"]) if "step" in it else None,
            it["data"],
        )
        for it in JOURNAL
    ]
    assert sorted(line for text in join_log(events) for line in text.text.split("\n")) == sorted(
        line["text"] for line in lines
    )


def test_a_line_that_has_no_end_goes_on_in_another_row() -> None:
    lines, _, _ = node(LINES, [log(seq, "x" * 7_000, partial=True) for seq in range(1, 6)])
    assert [len(line["text"]) for line in lines] == [14_000, 14_000, 7_000]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("10%\r50%\r100%", "100%"),
        ("10%\r100%\r", "100%"),
        ("windows\r", "windows"),
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m\r\x1b[32mgreen", "green"),
    ],
)
def test_a_line_that_was_written_over_shows_what_was_written_last(text: str, seen: str) -> None:
    assert node('import { plain } from "RUN/ansi.js";\nreturn plain(given);', text) == seen
