"""The examples: a malformed file is refused with a sentence, and every one is what the page needs."""

import ast
import re
from typing import Any

import pytest
from aio import run
from page_code_support import node
from run_support import Outcome, Program, run_all

from playground.examples import BadExample, Example, load, read
from playground.workflows.streams import standing_values

WORKERS = 30  # enough for all at once: for want of one, an idle worker would be taken away
SENTENCE = 140  # characters that a task may be asked in, and answered
PLAN = [{"tool": "weather"}, {"tool": "calendar"}, {"tool": "map"}]
FIRST_EVENTS = {"approval": {"decision": {"approved": True, "by": "Grace"}}}
GOOD = '''"""A title

One paragraph about
`run`.

order: 3
group: "Start here"
params: {"name":
         "Ada"}
tasks: [{"do": "finish", "say": "Run it.", "seen": "It ran."}]
"""

class TenantWorkflow: ...
'''


def test_reads_the_header_and_leaves_it_out_of_the_source():
    example = read("a-title", GOOD)
    assert (example.slug, example.title, example.lesson, example.order) == (
        "a-title",
        "A title",
        "One paragraph about `run`.",
        3,
    )
    assert example.params == {"name": "Ada"}
    assert example.source == "class TenantWorkflow: ...\n"
    assert example.tasks == ({"do": "finish", "say": "Run it.", "seen": "It ran."},)


BAD = [
    ("no docstring", "class TenantWorkflow: ...\n", "does not start with a docstring"),
    ("no source", GOOD.partition("\nclass")[0], "1 to 60"),
    ("no lesson", GOOD.replace("One paragraph about\n`run`.\n\n", ""), "one paragraph and fields"),
    ("two paragraphs", GOOD.replace("about\n", "about\n\n"), "one paragraph and fields"),
    ("title too long", GOOD.replace("A title", "A" * 61), "up to 60 characters"),
    ("params not JSON", GOOD.replace('{"name":', "{name:"), "params of example bad is not JSON"),
    ("no params", GOOD.replace('params: {"name":\n         "Ada"}\n', ""), "needs an order from 1 and params"),
    ("no group", GOOD.replace('group: "Start here"\n', ""), "needs a group"),
    ("order 0", GOOD.replace("order: 3", "order: 0"), "needs an order from 1"),
    ("order true", GOOD.replace("order: 3", "order: true"), "needs an order from 1"),
    ("unknown field", GOOD.replace("order: 3", "order: 3\nlevel: 1"), "'level: 1'"),
    ("schedule no text", GOOD.replace("order: 3", "order: 3\nschedule: 9"), "schedule of example bad"),
    ("field twice", GOOD.replace("order: 3", "order: 3\norder: 3"), "once each"),
    ("no task", GOOD.replace('{"do": "finish", "say": "Run it.", "seen": "It ran."}', ""), "tasks of example bad"),
    (
        "tasks forgotten",
        GOOD.replace("tasks: [", "")
        .replace(', "seen": "It ran."}]', "}")
        .replace('{"do": "finish"', ' {"do": "finish"'),
        "example bad",
    ),
    ("unknown task", GOOD.replace('"finish"', '"dance"'), "tasks of example bad"),
    ("task without what", GOOD.replace('"finish"', '"kill-worker"'), "tasks of example bad"),
    ("task with two", GOOD.replace('"finish"', '"kill-worker", "during": "a", "between": "b"'), "tasks of example bad"),
    ("task with more", GOOD.replace('"finish"', '"finish", "step": "a"'), "tasks of example bad"),
    ("task that shows nothing", GOOD.replace(', "seen": "It ran."', ""), "tasks of example bad"),
    ("task without a full stop", GOOD.replace("Run it.", "Run it"), "tasks of example bad"),
    ("too long", GOOD + "pass\n" * 60, "61 lines"),
]


@pytest.mark.parametrize(("text", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_refuses_a_malformed_file(text, sentence):
    with pytest.raises(BadExample) as refused:
        read("bad", text)
    assert sentence in str(refused.value)
    assert str(refused.value).endswith(".")


def test_refuses_two_of_one_order_and_an_empty_folder(tmp_path):
    with pytest.raises(BadExample, match="There is no example in"):
        load(tmp_path)
    (tmp_path / "one.py").write_text(GOOD)
    (tmp_path / "two_b.py").write_text(GOOD)
    (tmp_path / "__init__.py").write_text("")
    with pytest.raises(BadExample, match="one and two-b both have the order 3"):
        load(tmp_path)
    (tmp_path / "two_b.py").write_text(GOOD.replace("order: 3", "order: 4").replace("Start here", "Shapes"))
    (tmp_path / "three.py").write_text(GOOD.replace("order: 3", "order: 5"))
    with pytest.raises(BadExample, match="takes a group apart: Start here, Shapes, Start here"):
        load(tmp_path)


def test_ships_the_examples_in_order():
    slugs = [example.slug for example in load()]
    assert slugs == [
        "hello", "crash-and-resume", "retries", "hibernation", "approval", "long-poll", "onboarding", "fan-out",
        "dependencies", "agent-plan", "ci-pipeline", "saga", "effects", "two-tenants",
        "streaming-answer", "parcels", "support-desk", "agent-loop", "tool-call", "one-at-a-time", "asking-a-service",
        "several-workflows", "on-a-schedule", "tools-from-elsewhere",
    ]  # fmt: skip


@pytest.mark.parametrize("example", load(), ids=lambda example: example.slug)
def test_every_example_names_only_steps_it_has(example):
    words = {node.value for node in ast.walk(ast.parse(example.source)) if isinstance(node, ast.Constant)}
    words |= {f"measure {city}" for city in example.params.get("cities", ())} | {f"use {it['tool']}" for it in PLAN}
    words |= MADE_BY_CALLS.get(example.slug, set())
    words |= {f"test on {version}" for version in example.params.get("versions", ())}
    for task in example.tasks:
        named = {value for name, value in task.items() if name in ("during", "between", "undoing", "step", "type")}
        assert named <= words
        assert all(len(task[name]) <= SENTENCE for name in ("say", "seen"))
        if task["do"] in ("kill-worker", "wake") and not task.get("first"):
            assert set(re.findall("`([^`]+)`", task["say"])) & named
    assert len(example.tasks) <= 3
    assert example.lesson.endswith(".")
    assert all(len(line) <= 96 for line in example.source.splitlines())


MADE_BY_CALLS = {"tools-from-elsewhere": {"answer-book", "deliver works"}}  # of tools: docs/mcp.md
SAGA_ERROR = {"name": "NonRetryableError", "message": "there is no car in Lisbon"}
OUTPUTS = {
    "hello": {"greeting": "Hello, Ada! Durably yours."},
    "crash-and-resume": {"reserved": 2, "receipt": "R-B-2077", "attempt": 2, "tracking": "ZX-81"},
    "retries": {"charged": 42, "attempts": 3},
    "hibernation": {"litres": 0.4, "seen": "the fern has a new leaf"},
    "approval": {"order": "A-1001", "item": "standing desk"},
    "fan-out": {"measured": 5, "warmest": {"city": "Cairo", "degrees": 33}},
    "dependencies": {"mean": 5.43, "chart": ["###", "#########", "####", "", "#####", "#########", "##", "######"]},
    "saga": None,
    "agent-plan": {"answer": "Yes: sunny, 24 degrees, free from 11, Elm Park, 800 m."},
    "ci-pipeline": {
        "jobs": [
            {"job": "lint", "attempts": 1},
            {"job": "build", "attempts": 1},
            {"job": "test on 3.11", "attempts": 1},
            {"job": "test on 3.12", "attempts": 2},
            {"job": "test on 3.13", "attempts": 1},
        ],
        "outcome": "8f3c2d1 serves everyone",
    },
    "onboarding": {"mails": ["Welcome!", "Three things to try first", "Shall we set it up together?"], "active": True},
    "long-poll": {"url": "/videos/render-holiday.mov.mp4", "looks": 4},
    "effects": {"charged": 49, "receipt_to": "ada@example.com"},
    "two-tenants": {"greeting": "Hello, Ada! This is visit 1."},
    "asking-a-service": {"orders": 2},
    "tools-from-elsewhere": {"booking": "C-6LIS", "delivered": True},
    "several-workflows": {"invoice": "I-A-1001", "way": "it comes by parcel"},
    "on-a-schedule": {"fired": "Monday 09:00", "sold": 301},
    "parcels": {"sent": 3, "grams": 3900},
    "tool-call": {"refunded": 49},
    "one-at-a-time": {"charged": 3, "most_at_once": 1},
    "support-desk": {
        "refunded": 49,
        "answer": (
            "We are sorry that the lamp arrived broken. Your money is on its way. Thank you for writing to us, and for "
            "the photograph of the box."
        ),
    },
    "agent-loop": {
        "answer": (
            "In Lisbon a shirt will do, for it is warm and sunny all day long. Oslo is another matter: there is snow, "
            "and it is hardly above freezing, so take a coat and good boots."
        ),
        "tokens": 53,
    },
    "streaming-answer": {
        "answer": (
            "Because nothing that was finished is kept in memory alone. Each step writes its result into a journal "
            "before the code goes on, and when a worker dies, another one runs the same code from the top: it reads "
            "the results that are there, and continues with the first step that has none."
        ),
        "pages": 5,
    },
}


def program(example: Example, place: int = 0) -> Program:
    """An example as a visitor runs it who does its first task, as far as that changes nothing of its code, or the one
    at `place`.
    """
    events = {task["type"]: task["payload"] for task in example.tasks if task["do"] == "send-event"}
    task = example.tasks[place]
    if task["do"] == "send-event":
        events[task["type"]] = task["payload"]
    if not place:
        return Program(
            example.source,
            example.params,
            {**events, **FIRST_EVENTS.get(example.slug, {})},
            {} if task.get("hibernated") else task,
            example.schedule,
        )
    return Program(example.source, example.params, events, task, example.schedule)


# What a visitor changes for the tasks that begin before Run: in the source, and in the params; SCHEDULE is no param.
SCHEDULE = "the field Fired by"
EDITS: dict[tuple[str, int], tuple[dict[str, str], dict[str, Any]]] = {
    ("hello", 1): ({}, {"name": "Grace", "seconds": 0}),
    ("retries", 1): ({'"limit": 4': '"limit": 1'}, {}),
    ("dependencies", 0): (
        {
            "        @step.do()\n        async def chart": "        @step.do()\n        async def outliers(load):\n"
            "            return [number for number in load"
            " if number > 8]\n\n"
            "        @step.do()\n        async def chart",
            "report(clean, chart)": "report(clean, chart, outliers)",
        },
        {},
    ),
    ("saga", 1): ({}, {"cars": 1}),
    ("ci-pipeline", 0): ({' and ctx["attempt"] == 1': ""}, {}),
    ("long-poll", 1): ({'"4 seconds"': '"30 seconds"'}, {}),
    ("effects", 1): ({'charge(order["amount"])': 'charge(order["amount"], key=event["instanceId"])'}, {}),
    ("two-tenants", 1): ({'"Hello"': '"Good day"'}, {}),
    ("one-at-a-time", 1): ({"AT_ONCE = 1": "AT_ONCE = 2"}, {}),
    ("several-workflows", 1): ({'workflow="Parcel"': 'workflow="Pickup"'}, {}),
    ("on-a-schedule", 1): ({}, {SCHEDULE: "0 18 * * FRI"}),
    ("asking-a-service", 1): ({'            # headers["Idem': '            headers["Idem'}, {}),
}
LATER = [*EDITS, ("hibernation", 0), ("approval", 1), ("parcels", 1), ("support-desk", 1), ("tools-from-elsewhere", 1)]
BY_SLUG = {example.slug: example for example in load()}


def edited(slug: str, place: int) -> Program:
    """An example after what its task asks to be changed."""
    source, params = EDITS.get((slug, place), ({}, {}))
    made = program(BY_SLUG[slug], place)
    text = made.source
    for old, new in source.items():
        assert old in text
        text = text.replace(old, new)
    schedule = params.get(SCHEDULE, made.schedule)
    params = {name: value for name, value in params.items() if name != SCHEDULE}
    return Program(text, made.params | params, made.events, BY_SLUG[slug].tasks[place], schedule)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, Outcome]:
    """Every example run to its end, all at once."""
    return run(
        run_all(
            {example.slug: program(example) for example in load()}, tmp_path_factory.mktemp("examples"), workers=WORKERS
        )
    )


@pytest.fixture(scope="module")
def later(tmp_path_factory) -> dict[tuple[str, int], Outcome]:
    """The tasks that need another source, other params or a worker that is gone, each done in a run of its own."""
    return run(
        run_all(
            {each: edited(*each) for each in LATER}, tmp_path_factory.mktemp("later"), workers=WORKERS, idle_grace_ms=50
        )
    )


@pytest.mark.parametrize("example", load(), ids=lambda example: example.slug)
def test_every_example_ends_as_it_says(example, outcomes):
    state = outcomes[example.slug].state
    if example.slug == "saga":
        assert {key: state.error[key] for key in SAGA_ERROR} == SAGA_ERROR
    else:
        assert state.error is None
    assert state.output == OUTPUTS[example.slug]
    assert state.status == ("errored" if example.slug == "saga" else "complete")


@pytest.mark.parametrize("example", load(), ids=lambda example: example.slug)
def test_no_example_runs_a_committed_step_again(example, outcomes):
    journal = outcomes[example.slug].journal
    completed = [
        event.step for event in journal if event.type in ("step_completed", "sleep_completed", "wait_completed")
    ]
    assert completed
    assert len(completed) == len(set(completed))


def test_crash_and_resume_goes_on_after_the_kill_its_task_asks_for(outcomes):
    journal = outcomes["crash-and-resume"].journal
    assert [event.data["reason"] for event in journal if event.type == "execution_ended"] == ["killed", "completed"]
    assert [event.data["replayed"] for event in journal if event.type == "execution_started"] == [0, 1]
    assert outcomes["crash-and-resume"].logged().count("reserving one lamp") == 1


def test_the_answer_is_read_once_though_the_worker_was_killed_while_it_was_written(outcomes):
    answer = outcomes["streaming-answer"]
    values = standing_values("answer", answer.journal)
    assert {value.attempt for value in values} == {2}
    assert "".join(value.value for value in values).strip() == OUTPUTS["streaming-answer"]["answer"]
    assert standing_values("progress", answer.journal)[-1].value == {"percent": 100.0, "text": "5 of 5 pages"}


def test_the_agent_pays_for_no_call_twice_though_the_worker_was_killed_while_its_answer_streamed(outcomes):
    agent = outcomes["agent-loop"]
    calls = [(event.step.count, event.data["attempt"]) for event in agent.journal if event.type == "ai_called"]
    assert calls == [(1, 1), (2, 2)], "the lost attempt was cut off before its end"
    answer = "".join(value.value for value in standing_values("answer", agent.journal))
    assert answer == OUTPUTS["agent-loop"]["answer"]


def test_a_service_is_asked_again_under_the_same_key_and_carries_an_order_out_once(outcomes, later):
    def calls(outcome):
        return [(it.step.name, it.data["status"]) for it in outcome.journal if it.type == "fetch_called"]

    expected = [("look up weather", 503), ("look up weather", 200), ("place order", 503)]
    assert calls(outcomes["asking-a-service"]) == [*expected, ("place order", 201), ("count orders", 200)]
    assert calls(later["asking-a-service", 1]) == [*expected, ("place order", 200), ("count orders", 200)]
    assert later["asking-a-service", 1].state.output == {"orders": 1}


def test_the_support_desk_sends_one_mail_though_the_worker_was_killed_while_it_wrote_the_answer(later):
    desk = later["support-desk", 1]
    assert [it.data["body"]["text"] for it in desk.journal if it.type == "message_sent"] == [
        desk.state.output["answer"]
    ]
    assert {value.attempt for value in standing_values("answer", desk.journal)} == {2}


def test_the_saga_undoes_its_bookings_last_first(outcomes):
    saga = outcomes["saga"]
    assert [event.step.name for event in saga.journal if event.type == "rollback_step_completed"] == [
        "book hotel",
        "book flight",
    ]
    assert saga.state.rollback == "complete"
    assert "cancelling the hotel in Lisbon, because there is no car in Lisbon" in saga.logged()


NOTICED = """
import { apply, newState } from "RUN/fold.js";
import { isDone } from "RUN/tasks.js";
return given.map(({ journal, tasks, params }) => {
  const state = newState();
  const since = tasks.map(() => null);
  for (const event of journal) {
    apply(state, event);
    tasks.forEach((task, place) => (since[place] ??= isDone(task, state, params) ? event.type : null));
  }
  return since;
});
"""
# The event after which a task of this kind may have been done.
TELLING = {
    "finish": "workflow_completed", "step": "workflow_completed", "kill-worker": "attempt_started",
    "send-event": "wait_completed", "fail": "step_errored", "answer": "step_completed",
}  # fmt: skip


def noticed(runs: dict[Any, Outcome], slugs: dict[Any, str]) -> dict[Any, list[str | None]]:
    """For each run the event at which each task of its lesson was noticed, by the page's own code."""
    given = [
        {
            "journal": [
                {"seq": it.seq, "at": it.at, "type": it.type, "execution": it.execution, "data": it.data}
                | ({"step": {"kind": it.step.kind, "name": it.step.name, "count": it.step.count}} if it.step else {})
                for it in outcome.journal
            ],
            "tasks": BY_SLUG[slugs[name]].tasks,
            "params": BY_SLUG[slugs[name]].params,
        }
        for name, outcome in runs.items()
    ]
    return dict(zip(runs, node(NOTICED, given), strict=True))


def test_every_task_is_noticed_in_the_journal_of_who_did_it_and_in_no_other(outcomes, later):
    first = noticed(outcomes, {slug: slug for slug in outcomes})
    then = noticed(later, {each: each[0] for each in later})
    for example in load():
        for place, task in enumerate(example.tasks):
            done = then[example.slug, place] if (example.slug, place) in then else first[example.slug]
            assert done[place] is not None, (
                example.slug,
                place,
                [event.type for event in later.get((example.slug, place), outcomes[example.slug]).journal],
            )
            if (
                (telling := TELLING.get(task["do"]))
                and "undoing" not in task
                and task.get("during") not in ("wait a day", "deliver works")
                and "between" not in task
            ):
                assert done[place] == telling, (example.slug, place)
            if (example.slug, place) in then:
                assert first[example.slug][place] is None, (example.slug, place)
    assert first["hello"] == ["attempt_started", None]
    assert first["agent-plan"] == ["attempt_started", "wait_completed"]  # one run is enough for both
