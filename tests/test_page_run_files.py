"""The page reads a run's file as Python writes it, and says what is wrong with one of anybody's: run by node."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_code_support import node

from playground.runfiles.format import Code, Head, Writer

JOURNALS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "journals").glob("*.json"))
}
READ = """
import { isRunFile, readRunFile } from "RUN/../run-file.js";
const found = [];
for (const [name, hex] of given) {
  const file = Object.assign(new Blob([Buffer.from(hex, "hex")]), { name });
  try {
    const { head, events } = await readRunFile(file);
    found.push({ head, events, is: await isRunFile(file) });
  } catch (error) {
    found.push({ words: error.message, kind: error.constructor.name, is: await isRunFile(file) });
  }
}
return found;
"""
QUEUED = {"seq": 1, "at": 5, "type": "workflow_queued", "execution": None, "data": {"params": None, "trigger": "api"}}
STEP = {"kind": "do", "name": "a", "count": 1}
STARTED = {"seq": 2, "at": 6, "type": "step_started", "execution": 1, "step": STEP, "data": {"config": {}, "line": 1}}


def read(*files: tuple[str, bytes]) -> Any:
    return node(READ, [(name, content.hex()) for name, content in files])


def file_of(*events: Any, change: Callable[[bytes], bytes] = lambda text: text, end: bool = True) -> bytes:
    """A file with these events, `change`d before its end is written over."""
    head = Head("1.2.3", 9, "r1", "A run", "", "C", "running", len(events), {"a": 12.0}, Code("workflow.py", "v", "x"))
    writer = Writer()
    text = change(
        writer.head(head) + writer.events(it if isinstance(it, bytes) else json.dumps(it).encode() for it in events)
    )
    last = {"end": True, "events": len(events), "sha256": hashlib.sha256(text).hexdigest()}
    return text + (json.dumps(last).encode() + b"\n" if end else b"")


def nested(depth: int) -> bytes:
    value = b"[" * depth + b"]" * depth
    return b'{"seq":2,"at":6,"type":"log","execution":1,"data":{"text":"x","deep":%b}}' % value


def test_every_recorded_journal_is_opened_as_it_was_written() -> None:
    written = [(f"{name}.jsonl", file_of(*events)) for name, events in JOURNALS.items()]
    for (name, content), found in zip(written, read(*written), strict=True):
        assert "words" not in found, (name, found)
        assert found["is"]
        assert found["events"] == [json.loads(line) for line in content.splitlines()[1:-1]]
        assert found["head"]["code"] == {"name": "workflow.py", "version": "v", "source": "x"}


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "garbage": (b"\x00\xff\xfe" * 500, "it is no run’s file"),
    "another kind": (b'{"format":"other","version":1}\n', "it is no run’s file"),
    "a list": (b"[1]\n", "it is no run’s file"),
    "a later version": (
        file_of(QUEUED, change=lambda it: it.replace(b'"version":1', b'"version":2', 1)),
        "it is of version 2 of the format, and this page reads 1; a newer playground opens it.",
    ),
    "no status": (file_of(QUEUED, change=lambda it: it.replace(b"running", b"__proto__")), "there is no such status"),
    "cut off": (file_of(QUEUED, end=False), "it is cut off after line 2. Save the run again."),
    "cut off in a line": (file_of(QUEUED)[:-20], "it is cut off in line 3. Save the run again."),
    "more after the end": (file_of(QUEUED) + b"{}\n", "line 4: more follows the line that ends the file"),
    "changed": (file_of(QUEUED).replace(b'"at": 5', b'"at": 6'), "it was changed after it was written"),
    "out of order": (file_of(QUEUED, {**STARTED, "seq": 3}), "line 3: event 2 comes next"),
    "no beginning": (file_of(STARTED | {"seq": 1}), "line 2: a journal begins with workflow_queued"),
    "no event": (file_of(QUEUED, {**STARTED, "type": "<img src=x>"}), "line 3: it is not an event"),
    "no time": (file_of(QUEUED, {**STARTED, "at": 1e300}), "line 3: it is not an event"),
    "no kind": (file_of(QUEUED, {**STARTED, "step": {**STEP, "kind": "__proto__"}}), "line 3: there is no such step"),
    "no line": (
        file_of(QUEUED, {**STARTED, "data": {"config": {}, "line": "<b>"}}),
        "line 3: the field line of step_started is missing, or is none",
    ),
    "no error": (
        file_of(QUEUED, STARTED, {**STARTED, "seq": 3, "type": "step_errored", "data": {"error": "boom"}}),
        "line 4: the field error of step_errored is missing, or is none",
    ),
    "no attempt": (
        file_of(QUEUED, {**STARTED, "type": "attempt_started", "data": {"attempt": "1"}}),
        "line 3: the field attempt of attempt_started is missing, or is none",
    ),
    "deep": (file_of(QUEUED, nested(100_000)), "line 3: it is nested more than 200 levels deep"),
    "no JSON": (file_of(QUEUED, b"{'a': 1}"), "line 3: it is not a JSON object"),
    "no text": (file_of(QUEUED, b'{"a": "\xff"}'), "line 3: it is not UTF-8 text"),
}


@pytest.fixture(scope="module")
def refused() -> dict[str, Any]:
    return dict(zip(BAD, read(*((f"{name}.txt", content) for name, (content, _) in BAD.items())), strict=True))


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_file_is_said_with_its_line(name: str, refused: dict[str, Any]) -> None:
    assert refused[name]["kind"] == "BadRunFile", refused[name]
    assert refused[name]["words"].startswith(f"{name}.txt: ") and BAD[name][1] in refused[name]["words"]


def test_names_of_objects_in_values_do_no_harm() -> None:
    params = {"__proto__": {"polluted": 1}, "constructor": 1}
    text = file_of({**QUEUED, "data": {"params": params, "trigger": "api"}})
    (found,) = read(("x.jsonl", text))
    assert found["events"][0]["data"]["params"] == params
    assert node("return ({}).polluted ?? null;") is None


def test_a_file_that_is_too_large_or_too_long_is_not_read() -> None:
    large, long = node(
        """
import { FILE_BYTES, readRunFile } from "RUN/../run-file.js";
const words = async (file) => readRunFile(file).catch((error) => error.message);
const line = (seq, type) => `{"seq":${seq},"at":5,"type":"${type}","execution":null,"data":{}}`;
const rest = Array.from({ length: 250000 }, (_, index) => line(index + 2, "workflow_admitted"));
const lines = [given, line(1, "workflow_queued"), ...rest];
return [
  await words({ name: "a", size: FILE_BYTES + 1 }),
  await words(Object.assign(new Blob([lines.join("\\n")]), { name: "b" })),
];
""",
        file_of(QUEUED).splitlines()[0].decode(),
    )
    assert large.startswith("a has 67,108,865 bytes; the most is 67,108,864. A terminal reads twice as much")
    assert long == "b: line 250002: the file has more than 250,000 events"
