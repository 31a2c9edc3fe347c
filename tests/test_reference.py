"""The reference of the step API and of the lint is made from the tables that the editor and the lint use, and its
example runs.
"""

import importlib.util
import re
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
from aio import run
from run_support import Program, run_all

from playground.analysis import inspect
from playground.analysis.diagnostics import RULES

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_made_from_the_tables(reference: ModuleType) -> None:
    api = reference.table_of_the_editor()
    for file in reference.FILES:
        text = file.read_text("utf-8")
        assert reference.written(text, api) == text, "run `./run python docs/reference.py`"
    steps = (DOCS / "steps.md").read_text("utf-8")
    for name, call in api["CALLS"].items():
        shown = f"self.env.{name}" if name.partition(".")[0].isupper() else name
        assert f"`{shown}" in steps
        documented = [written[0] for written in call["params"] if len(written) > 1 and written[1] and "." in name]
        assert all(f"`{written}`" in steps for written in documented), name
    assert all(f"| `{code}` |" in (DOCS / "lint.md").read_text("utf-8") for code in RULES)


def test_its_example_runs_and_the_lint_has_nothing_to_say_of_it(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", (DOCS / "steps.md").read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert inspect(found[1])[0] == []
    program = Program(found[1], {"items": ["lamp", "rug"]}, {"paid": {"by": "Ada"}})
    outcome = run(run_all({"example": program}, tmp_path))["example"]
    assert outcome.journal[-1].data["output"] == {"receipt": "20 to pay", "paid": {"by": "Ada"}}


def test_what_it_shows_of_steps_happens_so(tmp_path: Path) -> None:
    shown = re.findall(r"```python\n(.*?)```", (DOCS / "steps.md").read_text("utf-8"), re.DOTALL)[1:]
    head = (
        "import asyncio\nfrom workers import WorkflowEntrypoint\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    "
        "async def run(self, event, step):\n"
    )
    sources = {
        block.split('"')[1] if '"' in block else "": head + textwrap.indent(block, "        ") for block in shown
    }
    assert sources.keys() == {"look", "fetch the price", "answer", "order"}
    for source in sources.values():
        assert [found for found in inspect(source)[0] if found.severity != "info"] == []
    outcomes = run(
        run_all(
            {name: Program(source, None, {"answered": 1, "order": {"amount": 7}}) for name, source in sources.items()},
            tmp_path,
        )
    )
    assert all(outcome.state.status == "complete" for outcome in outcomes.values())
    ran = {
        name: [str(event.step) for event in outcome.journal if event.type == "step_started"]
        for name, outcome in outcomes.items()
    }
    assert ran == {
        "look": ["look-1", "look-2", "look-3"],
        "fetch the price": ["fetch the price-1", "total-1"],
        "answer": [],
        "order": [],
    }


def test_every_parameter_of_every_call_is_explained(reference: ModuleType) -> None:
    for name, call in reference.table_of_the_editor()["CALLS"].items():
        assert call["doc"] and all(written == "*" or (doc and doc[0]) for written, *doc in call["params"]), name
