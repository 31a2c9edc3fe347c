"""The lint on what exists only here, for who takes the code to Cloudflare; tests/analysis_support.py says how a case is
marked.
"""

import ast
import inspect as inspect_module

import pytest
from analysis_support import apply, marked, program
from test_analysis_correct import read

from playground.analysis import inspect
from playground.analysis.rules import only_here, unavailable
from playground.worker.steps import Steps

CASES = [
    ("an error that its module of workflows has", "only-here-import",
     "from workers import «StepError»\nraise StepError"),
    ("an attribute of the module", "only-here-import", "import workers\nraise «workers.WorkerLost»()"),
    ("a base class of another module", "only-here-import",
     "from workers.workflows import «DurableObject»\nreturn str(DurableObject)"),
    ("a package", "only-here-package", "import json, «pydantic.main as main»\nreturn json.dumps(str(main))"),
    ("from a package", "only-here-package", "«from numpy import array»\nreturn len(array([1]))"),
    ("a binding", "only-here-binding", "await step.do('a')(lambda: «self.env.EFFECTS».email('a@b.c'))()"),
    ("the binding of an operator", "only-here-binding", "await step.do('a')(lambda: «self.env.CRM».find('x'))()"),
    ("the direct form", "only-here-step",
     "x = await «step.do('a', lambda: 1)»\nreturn x => x = await step.do('a')(lambda: 1)()"),
    ("the direct form with options", "only-here-step",
     ("return await «step.do(f'a', str, config={'timeout': '1 hour'})» => "
      "return await step.do(f'a', config={'timeout': '1 hour'})(str)()")),
    ("a package", "only-here-package",
     "import «numpy.linalg as la», numpy\ntry:\n    import pydantic\nexcept ImportError:\n    pass\n---\nreturn la"),
    ("no parentheses", "only-here-step", "@«step.do»\nasync def a(): ...\n\nawait a() => @step.do()"),
    ("a rollback", "only-here-argument",
     "@step.do('a', «rollback=print»)\nasync def a(): ...\n\nawait a()"),
    ("dependencies in a list", "only-here-argument",
     "@step.do('b')\nasync def b(): ...\n\n@step.do('a', «depends=[b]»)\nasync def a(got): ...\n\nawait a()"),
    ("a type by its name", "only-here-argument",
     ("return await step.wait_for_event('w', «event_type='x'», timeout='1 day') => "
      "return await step.wait_for_event('w', 'x', timeout='1 day')")),
    ("several types", "only-here-argument", "return await step.wait_for_event('w', «['x', 'y']»)"),
    ("a duration by its name", "only-here-argument",
     "await step.sleep('s', «duration='1 hour'») => await step.sleep('s', '1 hour')"),
    ("a timedelta", "only-here-argument", "await step.sleep('s', «dt.timedelta(hours=1)»)"),
    ("a timedelta in a config", "only-here-argument",
     "@step.do('a', config={'timeout': «dt.timedelta(hours=1)»})\nasync def a(): ...\n\nawait a()"),
    ("a schema", "only-here-argument", "return await step.wait_for_event('w', 'x', «schema={'type': 'boolean'}»)"),
    ("a patch", "only-here-method", "if «step.patched»('new way'):\n    return 1"),
    ("a tag", "only-here-method", "«step.tag»('order-7')"),
    ("a step by its function", "only-here-parameter",
     "@step.do('get it')\nasync def get(): ...\n\n@step.do()\nasync def use(«get»): ...\n\nawait use()"),
    ("a tuple", "only-here-value", "@step.do('a')\nasync def a():\n    return «1, 'b'»\n\nawait a()"),
    ("a reply", "only-here-reply", "got = await step.wait_for_event('w', 'x')\n«got.reply»(1)"),
    ("messages", "only-here-handler",
     "class Mine(WorkflowEntrypoint):\n    async def «queue»(self, batch): ...\n\n---\nreturn 1"),
]  # fmt: skip


PACKAGES = ("numpy", "pydantic")  # what an operator has added


def found_in(source: str) -> list:
    return [it for it in inspect(source, packages=PACKAGES, cloudflare=True)[0] if it.code.startswith("only-here-")]


# What every case has by its frame: an import, and a last step in the direct form.
FRAME = {(it.code, it.message) for it in found_in(program("return 1"))}


@pytest.mark.parametrize(("code", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_finds_it_where_it_stands_and_only_where_it_is_asked_for(code, text):
    source, span, fixed = marked(text)
    last = source.rstrip().count("\n") + 1
    found = [it for it in found_in(source) if it.span.line != last and "NonRetryableError" not in it.message]
    assert [(it.code, it.span.line, it.span.column, it.span.end_line, it.span.end_column) for it in found] == [
        (code, *span)
    ]
    if fixed is not None:
        after = apply(source, found[0].fix)
        assert after.split("\n")[span[0] - 1].strip() == fixed
        ast.parse(after)
        assert len(found_in(after)) == len(FRAME)
    assert not [it for it in inspect(source, packages=PACKAGES)[0] if it.code.startswith("only-here-")]


@pytest.mark.parametrize("source", read("cloudflare").values(), ids=read("cloudflare").keys())
def test_says_nothing_of_programs_that_were_written_for_cloudflare_but_of_its_older_dependencies(source):
    lines = source.split("\n")
    found = [it for it in found_in(source) if "depends=" not in lines[it.span.line - 1]]
    assert [(it.span.line, it.code, it.message) for it in found] == []


def test_what_only_a_type_checker_imports_is_no_difference():
    source = (
        "from typing import TYPE_CHECKING\nfrom workers import WorkflowEntrypoint\nif TYPE_CHECKING:\n"
        "    from workers import WorkflowStep\nclass TenantWorkflow(WorkflowEntrypoint):\n"
        "    async def run(self, event, step: 'WorkflowStep'):\n        return event.payload"
    )
    assert found_in(source) == []


def test_every_method_and_argument_of_step_is_known_to_be_there_or_not():
    """Of Cloudflare's SDK: what `step` has, and takes. What we add must get a word, or it is missed."""
    there = {
        "do": {"name", "concurrent", "config"},
        "sleep": {"name", "duration"},
        "sleep_until": {"name", "when"},
        "wait_for_event": {"name", "event_type", "timeout"},
    }
    own = {"handle_frame", "set_paused", "only_replay", "refuse_steps", "close", "start", "run_child"}
    for name, method in inspect_module.getmembers(Steps, inspect_module.isfunction):
        if name.startswith("_") or name in own:
            continue
        if name not in there:
            assert name in only_here._METHODS, name
            continue
        taken = {it for it in inspect_module.signature(method).parameters if it not in ("self", "callback", "more")}
        assert taken - there[name] <= only_here._ARGUMENTS.keys() | {"schema"}, name


def test_every_name_of_workers_here_is_known_to_be_there_or_not():
    there = only_here.NAMES_THERE["workers"]
    ours_only = set(unavailable.WORKERS) - there
    assert "NonRetryableError" in ours_only and "WorkflowEntrypoint" not in ours_only
    for name in ours_only:
        (found,) = found_in(
            f"from workers import WorkflowEntrypoint, {name}\nclass TenantWorkflow(WorkflowEntrypoint):\n"
            f"    async def run(self, event, step): return str({name})"
        )
        assert f"has no `{name}`" in found.message
