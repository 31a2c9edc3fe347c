"""What the page says of a step's requests: in its row, in its drawer and in the journal, at every moment."""

from typing import Any

from page_code_support import node

STEP = {"kind": "do", "name": "order", "count": 1}
SEEN = """
import { Moments } from "RUN/moments.js";
import { fetchBrief, fetchLines, isBad, statusesOf } from "RUN/fetches.js";
globalThis.document = { createElement() {} };
const moments = new Moments({ every: 2, most: 4 });
for (const event of given.events) moments.push(event);
const at = (seq) => statusesOf([...moments.at(seq).steps.values()][0] ?? {});
return {
  live: statusesOf([...moments.state.steps.values()][0]),
  lines: fetchLines([...moments.state.steps.values()][0]).replaceAll("\u00a0", " "),
  past: given.events.map(({ seq }) => at(seq)),
  bad: given.events.filter(({ type }) => type === "fetch_called").map(({ data }) => isBad(data)),
  words: given.words.map(fetchBrief).map((text) => text.replaceAll("\u00a0", " ")),
};
"""
WORDS = """
import { sentWith } from "RUN/../tenants/fetch.js";
return given.map(sentWith);
"""


def asked(seq: int, **data: Any) -> dict[str, Any]:
    call = {"method": "POST", "host": "a.example", "took_ms": 12, "attempt": 1, **data}
    return {"seq": seq, "at": seq * 1000, "type": "fetch_called", "execution": 1, "step": STEP, "data": call}


def test_a_row_has_the_last_answers_and_each_moment_those_before_it() -> None:
    begun = [
        {"seq": 1, "at": 1000, "type": "workflow_queued", "execution": None, "data": {"params": None}},
        {"seq": 2, "at": 2000, "type": "execution_started", "execution": 1, "data": {"execution": 1, "replayed": 0}},
        {"seq": 3, "at": 3000, "type": "step_started", "execution": 1, "step": STEP, "data": {"config": {}, "line": 3}},
        {"seq": 4, "at": 4000, "type": "attempt_started", "execution": 1, "step": STEP, "data": {"attempt": 1}},
    ]
    calls = [
        asked(5, status=503, bytes=1),
        asked(6, error="fetch: Could not connect to a.example."),
        asked(7, status=200, bytes=1234, redirects=1),
        asked(8, status=404, bytes=0),
    ]
    words = [calls[0]["data"], calls[1]["data"], calls[2]["data"]]
    seen = node(SEEN, {"events": [*begun, *calls], "words": words})
    assert seen["live"] == "… failed 200 404"
    assert seen["past"] == ["", "", "", "", "503", "503 failed", "503 failed 200", "… failed 200 404"]
    assert seen["bad"] == [True, True, False, True]
    assert seen["words"] == [
        "POST a.example, 503, 1 byte, 12 ms",
        "POST a.example, fetch: Could not connect to a.example., 12 ms",
        "POST a.example, 200, 1,234 bytes, 1 redirect, 12 ms",
    ]
    assert seen["lines"].split("\n")[:3] == seen["words"]


def test_a_tenants_list_says_what_is_sent_along() -> None:
    entries = [{}, {"secret": "KEY"}, {"secret": "KEY", "header": "X-Api-Key: {secret}", "idempotency": True}]
    assert node(WORDS, entries) == ["", "with KEY", "with KEY as X-Api-Key, with a key of the step"]
