"""A test written from a run passes on the same code, and says in a sentence what has changed where the code has."""

import asyncio
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dispatch_support import workflow

from playground.examples import load
from playground.runfiles.format import Code, Head
from playground.runfiles.python_literals import render, text_of_lines
from playground.runfiles.written_test import file_name, write_test
from playground.testing import Run, WorkflowTester, recorded
from playground.workflows import values
from playground.workflows.errors import CannotBeATest
from playground.workflows.events import Event
from playground.workflows.state import fold

BEGAN = 1_795_000_000_000
EXAMPLES = {example.slug: example for example in load()}
RUFF = Path(sys.executable).with_name("ruff")
Act = Callable[[Run], Awaitable[Any]]


async def nothing(run: Run) -> None:
    """Nobody does anything."""


async def record(source: str, params: Any, act: Act = nothing) -> tuple[Head, list[Event]]:
    """A run of the code, as its file has it."""
    async with WorkflowTester(source, allow_divergence=True, begin=BEGAN) as tester:
        run = await tester.create(params, id="r-1")
        await act(run)
        if act is not leave:
            await run.wait_for_status("complete", "errored", "terminated")
        events = await run.journal()
    status, last = fold(events).status, events[-1]
    code = Code("workflow.py", "v", source)
    name = "TenantWorkflow"
    return Head("1.2.3", last.at, "r-1", 'A "run"', "", name, status, last.seq, values.encode(params), code), events


def written(source: str, params: Any = None, act: Act = nothing) -> str:
    return write_test(*asyncio.run(record(source, params, act)))


def names_of(text: str) -> dict[str, Any]:
    """What a module of this text defines."""
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        return runpy.run_path(file.name)


def check(text: str, *changes: tuple[str, str]) -> None:
    """Run a test after changes of the code in it."""
    code, mark, rest = text.partition("\ndef test_")
    for before, after in changes:
        assert before in code, before
        code = code.replace(before, after)
    names = names_of(code + mark + rest)
    (test,) = (found for name, found in names.items() if name.startswith("test_"))
    test()


def difference(text: str, *changes: tuple[str, str]) -> list[str]:
    """The sentences of a test that fails after these changes of the code."""
    with pytest.raises(recorded.RunDiffers) as failed:
        check(text, *changes)
    first, *sentences, last = str(failed.value).splitlines()
    assert first == "The code does not do what run r-1 did:" and last.startswith("Where that is meant, ")
    return [sentence.strip() for sentence in sentences]


def well_formatted(folder: Path, texts: Mapping[str, str]) -> None:
    """A formatter changes nothing, at two widths, and a linter finds nothing."""
    for name, text in texts.items():
        (folder / f"test_{name}.py").write_text(text)
    for words in (["format", "--check", "--line-length=88"], ["format", "--check", "--line-length=120"], ["check"]):
        done = subprocess.run([RUFF, *words, "--isolated", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


async def approve(run: Run) -> None:
    await run.wait_for_step("manager decides", status="waiting")
    await run.send_event("decision", {"approved": True, "by": "Grace"})


async def kill_twice(run: Run) -> None:
    for attempt in (1, 2):
        await run.wait_until(
            lambda state, attempt=attempt: any(
                step.key.name == "charge card" and step.attempt == attempt and step.status == "running"
                for step in state.steps.values()
            )
        )
        await run.kill_worker()


async def terminate(run: Run) -> None:
    await run.wait_for_step("nap", status="sleeping")
    await run.terminate()


async def leave(run: Run) -> None:
    await run.wait_for_step("manager decides", status="waiting")


async def restart(run: Run) -> None:
    await run.wait_for_status("complete")
    await run.restart()


SILENT = "ConnectionError: the payment service did not answer"
NAPS = workflow('await step.sleep("nap", "1 day")')
SLOW = workflow(
    """
@step.do("slow", config={"retries": {"limit": 1, "delay": "1 second"}, "timeout": "2 seconds"})
async def slow(ctx):
    await asyncio.sleep(60 if ctx["attempt"] == 1 else 1)
    return "in time"

return await slow()
""",
    head="import asyncio\n",
)
OWN_ERROR = workflow(
    """
@step.do("pick", config={"retries": {"limit": 1, "delay": "1 second"}})
async def pick():
    return random.random()

@step.do("pay", config={"retries": {"limit": 0, "delay": "1 second"}})
async def pay():
    raise Declined("no money", random.random())

picked = await pick()
try:
    await pay()
except Declined as error:
    return {"picked": picked, "why": str(error)}
""",
    head="import random\n\nclass Declined(Exception):\n    pass\n",
)


def of_example(slug: str, act: Act = nothing) -> tuple[str, Any, Act]:
    return EXAMPLES[slug].source, EXAMPLES[slug].params, act


RUNS: Mapping[str, tuple[tuple[str, Any, Act], list[str]]] = {
    "retries": (of_example("retries"), ['"ConnectionError",', "recorded.OK,", "recorded.ran("]),
    "approval": (of_example("approval", approve), ["recorded.sent(", 'after="wait manager decides-1 started"']),
    "killed": (
        of_example("crash-and-resume", kill_twice),
        [
            "attempts=[recorded.LOST, recorded.LOST, recorded.OK]",
            'recorded.killed(after="do charge card-1 attempt 1"),',
            'recorded.killed(after="do charge card-1 attempt 2"),',
        ],
    ),
    "fan_out": (of_example("fan-out"), ['recorded.error("TimeoutError", "no answer from Oslo")']),
    "saga": (of_example("saga"), ['rollback="completed"', 'status="errored"']),
    "children": (of_example("parcels"), ['recorded.child("pack lamp"', 'status="timed_out"']),
    "effects": (of_example("effects"), ['"at": recorded.ANY']),
    "terminated": ((NAPS, None, terminate), ['recorded.terminated(after="sleep nap-1 started")']),
    "unfinished": (of_example("approval", leave), ["status=None", 'status="waiting"']),
    "restarted": ((NAPS, None, restart), ['recorded.slept("nap")']),
    "timed_out": ((SLOW, None, nothing), ["attempts=[recorded.TIMED_OUT, recorded.OK]"]),
    "chance": ((OWN_ERROR, None, nothing), ['recorded.given("pick", 0.', "recorded.given(", 'qualname="Declined"']),
}


@pytest.fixture(scope="module")
def tests() -> dict[str, str]:
    """The text of a test for each of RUNS."""
    return {name: written(*run) for name, (run, _) in RUNS.items()}


@pytest.mark.parametrize("name", RUNS)
def test_a_test_of_a_run_passes_on_the_same_code(tests: Mapping[str, str], name: str) -> None:
    for words in RUNS[name][1]:
        assert words in tests[name], tests[name].partition("def test_")[2]
    check(tests[name])


def test_its_text_is_what_a_formatter_writes(tests: Mapping[str, str], tmp_path: Path) -> None:
    well_formatted(tmp_path, tests)


@pytest.mark.parametrize(
    ("name", "before", "after", "says"),
    [
        ("killed", '"ship parcel"', '"send parcel"', ["step 4 was `ship parcel`, is `send parcel`"]),
        ("killed", 'await step.sleep("wait for the courier", "4 seconds")', "pass",
         ["step 3 the sleep `wait for the courier` is gone"]),
        ("killed", "reserved = await reserve()", 'await step.sleep("x", 1)\n        reserved = await reserve()',
         ["the sleep `x` is new, before step 1 `reserve stock`"]),
        ("fan_out", "max(readings", "min(readings",
         ["step 6 `find the warmest` returned 'Cairo' at ['city'], returns 'Oslo'",
          "the run returned 'Cairo' at ['warmest']['city'], returns 'Oslo'"]),
        ("retries", '["attempt"] <= 2', '["attempt"] <= 1',
         [f"step 2 `charge card`: attempt 2 ended with {SILENT}, ends with success",
          "the run returned 3 at ['attempts'], returns 2"]),
        ("retries", '"limit": 4', '"limit": 1',
         ["step 2 `charge card` had 3 attempts, has 2 attempts",
          f"the run ended complete, ends errored: {SILENT}"]),
        ("approval", '"manager decides"', '"boss decides"',
         ["step 2 was the wait `manager decides`, is the wait `boss decides`", "step 3 `place order` is gone",
          "the run ended complete, ends errored: WorkflowTimeoutError: Execution timed out after 3600000ms",
          'the event "decision" could not be repeated: the run never came to `manager decides-1 started`']),
        ("saga", "rollback=cancel", "rollback=None",
         ["the rollback of step 1 `book flight` was completed, is none",
          "the rollback of step 2 `book hotel` was completed, is none"]),
        ("chance", 'return {"picked": picked', 'return {"picked": 7',
         ["the run returned 0.", ", returns 7"]),
        ("unfinished", '"ask the manager"', '"ask the boss"',
         ["step 1 was `ask the manager`, is `ask the boss`"]),
    ],
)  # fmt: skip
def test_a_change_is_said_in_a_sentence(
    tests: Mapping[str, str], name: str, before: str, after: str, says: list[str]
) -> None:
    # In the test, the text of the code has its quotes and backslashes as it has them in the file.
    found = difference(tests[name], (before, after))
    if name == "chance":
        assert found[0].startswith(says[0]) and found[0].endswith(says[1])
    else:
        assert found == says


def test_what_cannot_be_a_test_is_refused_with_the_reason() -> None:
    async def from_a_step(run: Run) -> None:
        await run.wait_for_status("complete")
        await run.restart("nap", kind="sleep")

    with pytest.raises(CannotBeATest, match="restarted from a step. Fork it there"):
        written(NAPS, None, from_a_step)
    head, events = asyncio.run(record(NAPS, None))
    with pytest.raises(CannotBeATest, match="comes from a program"):
        write_test(_with(head, code=Code("workflow.py", "v", None)), events)
    with pytest.raises(CannotBeATest, match="has not come to a step"):
        write_test(_with(head, status="queued"), events[:1])


def _with(head: Head, **changes: Any) -> Head:
    return Head(**{name: changes.get(name, getattr(head, name)) for name in Head.__struct_fields__})


ODD = [
    "",
    'it\'s "both" \\ and \n\r\t\x00\x1b\u2028\ufeff\U0001f600',
    '"""',
    "\ud800",
    "x" * 10_000,
    b"",
    b"\x00'\"\\\xff" * 3,
    0.1,
    1e300,
    -1e-300,
    5e-324,
    float("nan"),
    float("inf"),
    10**4_000,
    -1,
    True,
    None,
    {},
    [],
    set(),
    {1, 2, 3},
    {"__import__('os')": ["x" * 50, {"y" * 50: [[]]}]},
    datetime(2026, 1, 31, 10, tzinfo=UTC),
    datetime(2026, 3, 28, 9, 0, 0, 1, tzinfo=ZoneInfo("Europe/Berlin")),
]


def test_every_value_becomes_a_literal_of_it_and_nothing_else(tmp_path: Path) -> None:
    text = f"from playground.testing import recorded\n\nVALUE = {render(ODD, 0, 8)}\n"
    assert repr(names_of(text)["VALUE"]) == repr(ODD)
    hostile = '"\\"""\x00\n\'\'\'\\\n  \t"""\n\\N{DIGIT ONE}\\u0041 {x} %s\r\n"'
    source = f"SOURCE = {text_of_lines(hostile)}\n"
    assert names_of(source)["SOURCE"] == hostile
    well_formatted(tmp_path, {"values": text, "source": source})


def test_words_of_somebody_else_end_no_string_and_no_line() -> None:
    head, events = asyncio.run(record(NAPS, None))
    text = write_test(_with(head, title='x"""\n\\import os', product='"""', id="a\nb"), events)
    assert text.startswith('"""x import os\n\nWritten by playground A run from run a b, ')
    assert file_name(_with(head, title="../..", id="é")) == "test_run_run.py"
    compile(text, "x", "exec")


def test_a_class_can_stand_in_the_place_of_the_text() -> None:
    recorded.check(Naps, id="r-1", began=BEGAN, steps=[recorded.slept("nap")])
    with pytest.raises(recorded.RunDiffers, match="step 1 was the sleep `rest`, is the sleep `nap`"):
        recorded.check(Naps, id="r-1", began=BEGAN, steps=[recorded.slept("rest")])


from workers import WorkflowEntrypoint


class Naps(WorkflowEntrypoint):
    async def run(self, event: Any, step: Any) -> None:
        await step.sleep("nap", "1 day")


MARKED = workflow("""
    step.tag("order-7", "eu")
    new = step.patched("ask-twice")
    schema = {"type": "object", "properties": {"by": {"type": "string"}}}
    got = await step.wait_for_event("approval", "approved", timeout="1 hour", schema=schema)
    step.tag("approved")
    return [new, got["payload"]["by"]]
    """)


def test_tags_patches_and_the_schema_of_a_wait_are_pinned() -> None:
    async def approve(run: Run) -> None:
        await run.send_event("approved", {"by": "ada"})

    text = written(MARKED, act=approve)
    assert 'tagged=["order-7", "eu", "approved"]' in text and 'patches={"ask-twice": True}' in text
    check(text)
    tags = "the run was tagged 'eu', is not any more", "the run is tagged 'us', which is new"
    assert difference(text, ('"order-7", "eu"', '"order-7", "us"')) == [*tags]
    assert difference(text, ('step.patched("ask-twice")', "True")) == [
        "the code asked for the patch `ask-twice`, does not any more"
    ]
    assert difference(text, ("step.tag(", 'step.patched("more")\n        step.tag(')) == [
        "the code asks for the patch `more`, which is new"
    ]
    other = ('{"by": {"type": "string"}}', '{"by": {"type": "string", "maxLength": 3}}')
    assert difference(text, other) == [
        "the schema of step 1 the wait `approval` asked for nothing at ['properties']['by']['maxLength'], asks for 3"
    ]


def test_the_tags_that_a_run_was_created_with_are_given_to_that_of_its_test() -> None:
    async def recorded_run() -> tuple[Head, list[Event]]:
        async with WorkflowTester(SOURCE_OF_TAGS, begin=BEGAN) as tester:
            run = await tester.create(None, id="r-1", tags=["vip"])
            await run.wait_for_status("complete")
            events = await run.journal()
        code, name = Code("workflow.py", "v", SOURCE_OF_TAGS), "TenantWorkflow"
        last = events[-1]
        return Head("1.2.3", last.at, "r-1", "A run", "", name, "complete", last.seq, values.encode(None), code), events

    text = write_test(*asyncio.run(recorded_run()))
    assert 'tags=["vip"]' in text and 'tagged=["eu"]' in text
    check(text)


SOURCE_OF_TAGS = workflow("""
    step.tag("vip", "eu")
    return await step.do("one", lambda: 1)
    """)
