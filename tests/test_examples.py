"""The examples: a malformed file is refused with a sentence, and every one is what the page needs."""

import ast

import pytest
from aio import run
from run_support import Outcome, Program, run_all

from playground.examples import BadExample, Example, load, read

GOOD = '''"""A title

One paragraph about
`run`.

order: 3
params: {"name":
         "Ada"}
"""

class TenantWorkflow: ...
'''


def test_reads_the_header_and_leaves_it_out_of_the_source():
    example = read("a-title", GOOD)
    assert (example.slug, example.title, example.lesson, example.order) == ("a-title", "A title", "One paragraph about `run`.", 3)
    assert example.params == {"name": "Ada"}
    assert example.source == "class TenantWorkflow: ...\n"
    assert example.task is None


BAD = [
    ("no docstring", "class TenantWorkflow: ...\n", "does not start with a docstring"),
    ("no source", GOOD.partition("\nclass")[0], "1 to 60"),
    ("no lesson", GOOD.replace("One paragraph about\n`run`.\n\n", ""), "one paragraph and fields"),
    ("two paragraphs", GOOD.replace("about\n", "about\n\n"), "one paragraph and fields"),
    ("title too long", GOOD.replace("A title", "A" * 61), "up to 60 characters"),
    ("params not JSON", GOOD.replace('{"name":', "{name:"), "params of example bad is not JSON"),
    ("no params", GOOD.replace("params:", "task:"), "needs an order from 1 and params"),
    ("order 0", GOOD.replace("order: 3", "order: 0"), "needs an order from 1"),
    ("order true", GOOD.replace("order: 3", "order: true"), "needs an order from 1"),
    ("unknown field", GOOD.replace("order: 3", "order: 3\nlevel: 1"), "'level: 1'"),
    ("field twice", GOOD.replace("order: 3", "order: 3\norder: 3"), "once each"),
    ("unknown task", GOOD.replace("order: 3", 'order: 3\ntask: {"do": "dance", "say": "x"}'), "task of example bad"),
    ("task without what", GOOD.replace("order: 3", 'order: 3\ntask: {"do": "kill-worker", "say": "x"}'), "task of example bad"),
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


def test_ships_the_examples_in_order():
    slugs = [example.slug for example in load()]
    assert slugs == [
        "hello", "crash-and-resume", "retries", "hibernation", "approval", "fan-out", "dependencies", "saga", "agent-plan",
        "ci-pipeline", "onboarding", "long-poll", "effects", "two-tenants",
    ]  # fmt: skip


@pytest.mark.parametrize("example", load(), ids=lambda example: example.slug)
def test_every_example_names_only_steps_it_has(example):
    words = {node.value for node in ast.walk(ast.parse(example.source)) if isinstance(node, ast.Constant)}
    if example.task is not None:
        assert example.task.get("during", example.task.get("type")) in words
    assert example.lesson.endswith(".")
    assert all(len(line) <= 96 for line in example.source.splitlines())


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
}


def program(example: Example) -> Program:
    """An example as a visitor runs it who does what its task asks for."""
    task = example.task or {}
    events = {task["type"]: task["payload"]} if task.get("do") == "send-event" else {}
    return Program(example.source, example.params, events, task.get("during"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, Outcome]:
    """Every example run to its end, all at once."""
    return run(run_all({example.slug: program(example) for example in load()}, tmp_path_factory.mktemp("examples")))


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
    completed = [event.step for event in journal if event.type in ("step_completed", "sleep_completed", "wait_completed")]
    assert completed
    assert len(completed) == len(set(completed))


def test_crash_and_resume_goes_on_after_the_kill_its_task_asks_for(outcomes):
    journal = outcomes["crash-and-resume"].journal
    assert [event.data["reason"] for event in journal if event.type == "execution_ended"] == ["killed", "completed"]
    assert [event.data["replayed"] for event in journal if event.type == "execution_started"] == [0, 1]
    assert outcomes["crash-and-resume"].logged().count("reserving one lamp") == 1


def test_the_saga_undoes_its_bookings_last_first(outcomes):
    saga = outcomes["saga"]
    assert [event.step.name for event in saga.journal if event.type == "rollback_step_completed"] == ["book hotel", "book flight"]
    assert saga.state.rollback == "complete"
    assert "cancelling the hotel in Lisbon, because there is no car in Lisbon" in saga.logged()
