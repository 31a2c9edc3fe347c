"""Issue 3, bad input: whatever a tenant's code does, its instance ends and says why, in real workers, and the next one
runs.
"""

import pytest
from aio import run, story
from semantics_support import MEMORY_BYTES, workflow

from playground.sandbox.pool import Sandbox
from playground.testing import WorkflowTester
from playground.workflows import events as ev

ONCE = 'config={"retries": {"limit": 0, "delay": 1}}'

# Body of run → name of the instance's error, or None where it completes all the same.
MISUSES = {
    "return object()": "NotSerialisableError",
    "return (number for number in range(3))": "NotSerialisableError",
    "return step": "NotSerialisableError",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise SystemExit(1)": "SystemExit",
    "raise GeneratorExit": "GeneratorExit",
    "raise asyncio.CancelledError": "CancelledError",
    "raise BaseException('bare')": "BaseException",
    "raise ExceptionGroup('two', [ValueError('a'), KeyError('b')])": "ExceptionGroup",
    "import os\nos._exit(3)": "WorkerLostRepeatedly",
    "def deeper():\n    deeper()\ndeeper()": "RecursionError",
    "asyncio.current_task().cancel()\nawait asyncio.sleep(0)": "CancelledError",
    "asyncio.get_running_loop().stop()\nawait asyncio.sleep(0)\nreturn 1": None,
    "asyncio.get_running_loop().close()": "RuntimeError",
    "for task in asyncio.all_tasks():\n    task.cancel()\nawait asyncio.sleep(0)": "CancelledError",
    f"def fail():\n    raise GeneratorExit\nawait step.do('a', fail, {ONCE})": "GeneratorExit",
    f"def fail():\n    raise asyncio.CancelledError\nawait step.do('a', fail, {ONCE})": "CancelledError",
    f"def fail():\n    raise KeyboardInterrupt\nawait step.do('a', fail, {ONCE})": "KeyboardInterrupt",
    f"def fail():\n    raise StopIteration\nawait step.do('a', fail, {ONCE})": "RuntimeError",
    "async def cancel():\n    asyncio.current_task().cancel()\n    await asyncio.sleep(0)\n"
    f"await step.do('a', cancel, {ONCE})": "CancelledError",
    "await step.do('a', 5)": "TypeError",
    "await step.do('a', lambda x, y: 1)": "TypeError",
    "await step.do('a')": "TypeError",
    "await step.do()": "TypeError",
    "step.do('a', lambda: 1)\nreturn 1": None,
    "await step.sleep('nap')": "TypeError",
    "await step.sleep_until('nap', 'tomorrow')": "TypeError",
    "await step.sleep_until('nap', float('nan'))": "TypeError",
    "await step.wait_for_event('w')": "WorkflowFatalError",
    "await step.wait_for_event('w', 'go', until=3)": "TypeError",
    "await step.do('a', lambda: 1, rollback=5)": "TypeError",
    "await step.do('a', lambda: 1, rollback=print, rollback_config={'retires': 1})": "StepConfigError",
    "class Odd(dict):\n    def items(self):\n        raise ValueError('odd')\nreturn Odd(a=1)": "ValueError",
    "class Odd(list):\n    def __iter__(self):\n        raise ValueError('odd')\nreturn Odd([1])": "ValueError",
    "class Odd(dict):\n    def __iter__(self):\n        raise ValueError('odd')\n"
    "await step.do('a', lambda: 1, config=Odd(a=1))": "ValueError",
    "class Odd(str):\n    def __len__(self):\n        return 5\nawait step.do(Odd('a'), lambda: 1)": None,
    "class Odd(str):\n    def __hash__(self):\n        raise ValueError('odd')\n"
    "await step.do(Odd('a'), lambda: 1)": None,
    "class Odd(str):\n    def __hash__(self):\n        return 1\n    def __eq__(self, other):\n        return True\n"
    "return [await step.do(Odd(name), lambda: 1) for name in 'ab']": None,
    "class Odd(Exception):\n    def __str__(self):\n        return 5\nraise Odd": "Odd",
    "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit\nraise Odd": "Odd",
    "class Odd(Exception):\n    args = property(lambda self: 1 / 0)\nraise Odd('x')": "Odd",
    "class Meta(type):\n    __name__ = property(lambda self: 1 / 0)\n"
    "class Odd(Exception, metaclass=Meta):\n    pass\nraise Odd('x')": "Odd",
    "class Odd(Exception):\n    def __init__(self, one, two):\n        super().__init__(one)\nraise Odd(1, 2)": "Odd",
    "raise ValueError('\\ud800')": "ValueError",
    "raise ValueError('x' * 10_000_000)": "ValueError",
    "print('\\ud800', '\\x00', chr(0x10ffff))\nreturn 1": None,
    "import sys\nsys.stdout.write(5)": "TypeError",
    "import sys\nsys.stdout = None\nprint('lost')\nreturn 1": None,
    "import sys\nsys.modules.clear()\nreturn 1": None,
    "import json\njson.dumps = None\nawait step.do('a', lambda: 1)": None,
    "event.clear()\nreturn 1": None,
    "step._channel = None\nawait step.do('a', lambda: 1)": None,
    "import gc\nfor thing in gc.get_objects():\n    if type(thing).__name__ == 'Channel':\n        "
    "thing.socket.close()\n"
    "await step.do('a', lambda: 1)": None,
}
UNPREDICTABLE = ("modules", "json.dumps", "_channel", "get_objects")  # it has broken its own worker


def test_whatever_a_tenant_does_its_instance_ends_and_says_why():
    async def play():
        sandbox = await Sandbox.open(
            memory_bytes=MEMORY_BYTES, cpu_seconds=10, parked=2, log=lambda event, **fields: None
        )
        wrong = []
        try:
            async with WorkflowTester(workflow("return 1", isolated=True), sandbox=sandbox, workers=4) as tester:
                runs = [await tester.create(source=workflow(body, isolated=True)) for body in MISUSES]
                for (body, name), run in zip(MISUSES.items(), runs, strict=True):
                    try:
                        await run.wait_for_status(*ev.FINAL_STATUSES)
                    except (AssertionError, TimeoutError) as stuck:
                        wrong.append(f"{body!r}: {stuck}")
                        continue
                    state = await run.state()
                    found = state.error and state.error["name"]
                    if found != name and not any(word in body for word in UNPREDICTABLE):
                        wrong.append(f"{body!r} ended {state.status}: {state.error}")
                last = await tester.create()
                assert await last.result() == 1
        finally:
            await sandbox.close()
        assert wrong == [], "\n".join(wrong)

    run(play(), 180.0)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("", "MissingWorkflowClass"),
        ("\x00", "SyntaxError"),
        ("x = " + "(" * 300 + ")" * 300, "SyntaxError"),
        ("class TenantWorkflow:\n    pass", "MissingWorkflowClass"),
        ("class TenantWorkflow:\n    run = 5", "MissingWorkflowClass"),
        (
            (
                "class TenantWorkflow:\n    def __init__(self, *given):\n        1 / 0\n"
                "    def run(self, event, step):\n        pass"
            ),
            "ZeroDivisionError",
        ),
        ("class TenantWorkflow:\n    def run(self):\n        pass", "TypeError"),
        ("TenantWorkflow = 5", "MissingWorkflowClass"),
        ("from workers import WorkflowEntrypoint as W\nclass A(W): ...\nclass B(W): ...", "MissingWorkflowClass"),
        ("from workers import nothing", "ImportError"),
        ("import asyncio\nasyncio.run(None)", "RuntimeError"),
        (
            (
                "class TenantWorkflow:\n    def __init__(self, ctx, env):\n        pass\n"
                "    def run(self, event, step):\n        return 5"
            ),
            None,
        ),
    ],
)
@story
async def test_a_source_that_is_no_workflow_ends_and_says_why(source, name):
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        await run.wait_for_status(*ev.FINAL_STATUSES)
        state = await run.state()
    assert (state.error and state.error["name"]) == name, state.error


@story
async def test_the_only_workflow_of_a_source_runs_whatever_it_is_called():
    source = (
        "from workers import WorkflowEntrypoint\nclass Order(WorkflowEntrypoint):\n    async def run(self, event, "
        "step):\n        return 5\nAlso = Order"
    )
    async with WorkflowTester(source) as tester:
        assert await (await tester.create()).result() == 5


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            "step.with_rollback('a')",
            "`step` has no 'with_rollback'. Give the step its handler: `step.do(name, rollback=undo)`",
        ),
        ("step.rollback_all()", "Handlers that steps have as `rollback=` run by themselves"),
        ("step.waitForEvent('a', 'b')", "Did you mean `wait_for_event`?"),
        ("step.sleeep('a', 1)", "Did you mean `sleep`?"),
        ("step.zzz()", "It has do, sleep, sleep_until, wait_for_event, patched, deprecate_patch, tag."),
    ],
)
@story
async def test_a_name_that_step_does_not_have_says_what_to_write(call, says):
    source = (
        "from workers import WorkflowEntrypoint\nclass A(WorkflowEntrypoint):\n    async def run(self, event, "
        f"step):\n        {call}\n"
    )
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        await run.wait_for_status("errored")
        error = (await run.state()).error
    assert error is not None
    assert (error["name"], says in error["message"]) == ("AttributeError", True), error["message"]
