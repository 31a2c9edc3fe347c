"""What a new workflow begins with: templates that run as they stand, what is pasted from a chat, what a file holds."""

from typing import Any

import pytest
from page_code_support import node

from playground.analysis import check
from playground.workflows.titles import title_of


@pytest.mark.parametrize("template", ["blank", "skeleton"])
def test_a_template_has_its_name_and_nothing_to_mend(template: str) -> None:
    made = node('import { fromTemplate } from "RUN/../starts.js";\nreturn fromTemplate(given, "Invoices");', template)
    assert made["name"] == title_of(made["source"]) == "Invoices"
    assert check(made["source"])["diagnostics"] == []


def from_text(text: str, name: str = "") -> dict[str, Any] | None:
    return node(
        'import { fromText } from "RUN/../starts.js";\nreturn fromText(given[0], { name: given[1] });', [text, name]
    )


def test_code_of_a_chat_comes_without_its_fences_and_words() -> None:
    chat = "Sure! First:\n\n```sh\npip install x\n```\n\nThen:\n\n```python\nx = 1\ny = '```'\n```\nThat is all."
    assert from_text(chat) == {"name": "Untitled workflow", "source": "x = 1\ny = '```'\n"}
    assert from_text("~~~~ py\nx = '''\n~~~\n'''\n~~~~") == {
        "name": "Untitled workflow",
        "source": "x = '''\n~~~\n'''\n",
    }
    assert from_text("Here:\n```python\nx = 1\ny = 2")["source"] == "x = 1\ny = 2\n"  # type: ignore[index]
    assert from_text("x = 1\n") == {"name": "Untitled workflow", "source": "x = 1\n"}
    assert from_text("```\n\n```") is None
    assert from_text(" \n") is None


def test_a_file_is_called_as_its_code_says_else_by_its_name() -> None:
    assert from_text('\ufeff"""Invoices"""\r\nx = 1\r\n', "file.py") == {
        "name": "Invoices",
        "source": '"""Invoices"""\nx = 1\n',
    }
    assert from_text("x = 1", "send_all-invoices.v2.py")["name"] == "send all invoices.v2"  # type: ignore[index]


def test_what_is_too_large_or_no_text_is_refused_with_its_figures() -> None:
    why = node(
        'import { whyNot } from "RUN/../starts.js";\nreturn given.map((file) => whyNot(file, 1000));',
        [
            {"name": "a.py", "size": 1001},
            {"name": "a.py", "size": 1000, "text": "x"},
            {"name": "a.zip", "size": 3, "text": "P\0K"},
        ],
    )
    assert why == ["a.py has 1,001 bytes; the most is 1,000.", "", "a.zip is no text."]


HINTS = """
import { STAGES, hintOf, stageAfter } from "RUN/../hint-steps.js";
let stage = given.from ?? "run";
return given.moments.map((run) => {
  stage = stageAfter(stage, run);
  const hint = hintOf(stage, run, given.task ?? null);
  return [STAGES.indexOf(stage) + 1, hint && hint.at, hint && hint.words.replace(/[`*]/g, "")];
});
"""
BEFORE = {"status": None, "executions": 0, "replayed": 0, "killed": False, "alive": False, "steps": []}


PAST = (
    "Drag the slider back over the cut: every view shows that moment. "
    "Then make it yours: change the code, and press Run."
)


def do(name: str, status: str) -> dict[str, str]:
    return {"kind": "do", "name": name, "status": status}


def test_hints_follow_a_run_from_its_start_over_the_kill_to_its_end() -> None:
    begun = {**BEFORE, "status": "running", "executions": 1, "alive": True}
    first, second = do("greet", "completed"), do("engrave", "running")
    again = {**begun, "executions": 2, "replayed": 1, "steps": [first, second]}
    moments = [
        BEFORE,
        {**begun, "alive": False},  # in line for a worker: nothing to kill
        {**begun, "steps": [do("greet", "running")]},
        {**begun, "steps": [first, second]},
        {**begun, "killed": True, "steps": [first, second]},  # the narrator tells of it
        again,
        {**again, "steps": [first, do("engrave", "completed")]},  # no longer true
        {**again, "status": "complete"},
    ]
    task = {"say": "Press Kill worker while `engrave` runs: it takes 8 seconds."}
    assert node(HINTS, {"moments": moments, "task": task}) == [
        [1, "run", "Press Run, then press Kill worker while engrave runs: it takes 8 seconds."],
        [2, None, None],
        [2, "kill", "greet runs in a worker. Press Kill worker: the process dies, with all it had in memory."],
        [2, "kill", "greet is in the journal. Now press Kill worker: the process dies, with all it had in memory."],
        [2, None, None],
        [3, "row", "The ring: execution 2 read this result and did not run it again. Watch engrave begin again."],
        [3, None, None],
        [4, "slider", PAST],
    ]


def test_a_run_that_ends_before_it_could_be_killed_is_to_be_run_again() -> None:
    over = {**BEFORE, "status": "complete", "executions": 1, "steps": [do("greet", "completed")]}
    early = {**BEFORE, "status": "running", "executions": 2, "alive": True, "steps": [do("greet", "running")]}
    said = node(HINTS, {"moments": [over, early]})
    assert said[0] == [2, "restart", "This run is over. Press Restart, then kill its worker while a step runs."]
    assert said[1][:2] == [3, "kill"]
    assert "Nothing was in the journal yet" in said[1][2]


@pytest.mark.parametrize(
    ("typed", "asked", "words"),
    [
        ({}, {}, "at once"),
        ({"key": " order-7 ", "delay": "5 minutes"}, {"key": "order-7", "delay": "5 minutes"},
         "key order-7, delay 5 minutes"),
        ({"priority": "0"}, {"priority": 0}, "priority 0"),
    ],
)  # fmt: skip
def test_a_tenants_start_says_when_it_may_be(typed: dict[str, str], asked: dict[str, Any], words: str) -> None:
    found = node(
        """
        import { askedOf, askedWords } from "RUN/../tenants/begin.js";
        const asked = askedOf(given);
        return [asked, askedWords(asked)];
        """,
        {"key": "", "delay": "", "priority": "", **typed},
    )
    assert found == [asked, words]


def test_the_field_that_a_start_is_refused_for_is_the_one_that_the_server_names() -> None:
    refusals = ["`delay` takes at most 365 days.", "Entry 0 of the batch: `key` takes text", "There is no version v9."]
    script = (
        'import { refusedField } from "RUN/../tenants/begin.js";\nreturn given.map((it) => refusedField(it) ?? "");'
    )
    assert node(script, refusals) == ["delay", "key", ""]
