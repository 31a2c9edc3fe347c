"""Section 9 of semantics.md: what ends an instance with an error, and what is said of it.

Each test names the number of its behaviour.
"""

import pytest
from semantics_support import attempts, failure, playing, story

from playground.testing import WorkflowFailed, WorkflowTester


@story
async def test_32_an_uncaught_type_error_becomes_the_instances_error_with_the_tenants_line():
    source = "from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n"
    source += "    async def run(self, event, step):\n"
    source += "        helper()\n\ndef helper():\n    raise TypeError('boom')\n"
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        with pytest.raises(WorkflowFailed, match="TypeError: boom"):
            await run.result()
        error = (await run.state()).error
        row = await run.row()
    assert (error["name"], error["message"], error["line"]) == ("TypeError", "boom", 7)
    assert [(frame["line"], frame["function"], frame["code"]) for frame in error["traceback"]] == [
        (4, "run", "helper()"),
        (7, "helper", "raise TypeError('boom')"),
    ]
    assert row.error == error


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        ("def broken(:\n", "SyntaxError", "invalid syntax"),
        ("import missing_module_of_nobody\n", "ModuleNotFoundError", "missing_module_of_nobody"),
        ("class Other:\n    pass\n", "MissingWorkflowClass", "no class TenantWorkflow"),
        (
            "from workers import WorkflowEntrypoint as W\nclass A(W): ...\nclass B(W): ...\n",
            "MissingWorkflowClass",
            "Which of A, B is to run is not known: name one of them TenantWorkflow",
        ),
        ("raise SystemExit(3)\n", "SystemExit", "3"),
        ("x = 1 / 0\n", "ZeroDivisionError", "division by zero"),
    ],
)
@story
async def test_32_a_source_that_cannot_be_loaded_ends_the_instance_with_its_error(source, name, said):
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        await run.wait_for_status("errored")
        error = (await run.state()).error
    assert error["name"] == name
    assert said in error["message"]


@story
async def test_32_an_exception_whose_str_raises_still_ends_the_instance():
    body = """
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError("no words")
    raise Nasty()
    """
    error = await failure(body)
    assert error["name"] == "Nasty"
    assert "__str__ raised" in error["message"]


@story
async def test_32_a_system_exit_in_a_step_is_a_failed_attempt():
    body = """
    import sys
    await step.do("exits", lambda: sys.exit(2), config={"retries": {"limit": 1, "delay": 10}})
    """
    async with playing(body) as (_, run):
        await run.wait_for_status("errored")
        assert attempts(await run.step("exits")) == [(1, "2"), (2, "2")]


@story
async def test_32_a_run_that_waits_for_nothing_that_can_happen_ends_and_says_so():
    error = await failure("await asyncio.get_running_loop().create_future()")
    assert error["name"] == "Stuck"


@story
async def test_a_failed_run_raises_in_the_test():
    async with playing("raise KeyError('gone')") as (_, run):
        with pytest.raises(WorkflowFailed, match="KeyError"):
            await run.result()


UNSTORABLE = [
    (
        "an object",
        "class Order: ...\nreturn await step.do('load', lambda: Order())",
        'The result of step "load" is not serialisable: $: Order (the whole result). Store a dict of what it holds.',
        11,
    ),
    (
        "a part that is a dataclass",
        (
            "from dataclasses import dataclass\n@dataclass\nclass Order:\n    id: int\n\nreturn await step.do('load', "
            "lambda: {'orders': [Order(1)]})"
        ),
        (
            'The result of step "load" is not serialisable: $.orders[0]: Order ($ is the result). Store '
            "dataclasses.asdict(…) of it."
        ),
        15,
    ),
    (
        "the output",
        "import decimal\nreturn {'sum': decimal.Decimal('1.5')}",
        "The output of the workflow is not serialisable: $.sum: Decimal ($ is the output). Store str(…) of it.",
        None,
    ),
]


@pytest.mark.parametrize(("name", "body", "said", "line"), UNSTORABLE, ids=[name for name, *_ in UNSTORABLE])
@story
async def test_a_value_that_cannot_be_stored_is_told_with_its_place_its_type_where_it_was_made_and_a_cure(
    name, body, said, line
):
    error = await failure(body)
    assert (error["message"], error.get("line")) == (said, line)
