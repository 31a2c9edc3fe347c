"""The package's types hold, as mypy sees them under the rules of pyproject.toml, a program that embeds it is told of
its mistakes, and the stub of `workers` says what `workers` has (what checkers make of it: test_wheel.py).
"""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playground.worker import api
from playground.worker.steps import Steps
from playground.workflows import unavailable

ROOT = Path(__file__).parent.parent
STUB = ROOT / "workers-stubs" / "__init__.pyi"

EMBEDDING = """
import playground
from playground import Binding, CallContext, Code, Dispatcher, WorkflowInstance


def untyped(city):
    return city


class Weather(Binding):
    async def forecast(self, city: str, *, call: CallContext) -> str:
        return f"{city} for {call.tenant}"


async def main() -> WorkflowInstance:
    async with playground.open_engine("sqlite:///workflows.db", workers=2) as engine:
        dispatcher = Dispatcher(engine, lambda metadata: Code("", env={"WEATHER": Weather()}))
        flows = dispatcher.wrap_binding({"tenant": "acme"})
        made = await flows.create(params={"name": "Ada"})
        await made.pause(now=True)
        playground.open_engin("sqlite:///workflows.db")
        status: int = await made.status()
        return made
"""


MISTAKES = {
    "def untyped(city):": "no-untyped-def",  # which mypy takes, unless it is strict
    "await made.pause(now=True)": "call-arg",
    'playground.open_engin("sqlite:///workflows.db")': "attr-defined",
    "status: int = await made.status()": "assignment",
}


def in_stub(kind: type[ast.AST] | tuple[type[ast.AST], ...], body: list[ast.stmt]) -> dict[str, ast.AST]:
    return {node.name: node for node in body if isinstance(node, kind) and not node.name.startswith("_")}  # type: ignore[attr-defined]


def test_the_stub_has_what_workers_has_and_no_other_name() -> None:
    body = ast.parse(STUB.read_text()).body
    constants = {it.target.id for it in body if isinstance(it, ast.AnnAssign) and isinstance(it.target, ast.Name)}
    public = {name for name in constants if not name.startswith("_")}
    assert {*in_stub((ast.ClassDef, ast.FunctionDef), body), *public} == set(api.module_names())


def test_the_stub_of_step_takes_what_step_takes() -> None:
    (step,) = (node for node in ast.parse(STUB.read_text()).body if getattr(node, "name", "") == "WorkflowStep")
    assert isinstance(step, ast.ClassDef)
    taken: dict[str, set[str]] = {}
    for node in (it for it in step.body if isinstance(it, ast.FunctionDef)):
        given = node.args
        named = (*given.posonlyargs, *given.args, *given.kwonlyargs, *([given.vararg] if given.vararg else []))
        taken.setdefault(node.name, set()).update(it.arg for it in named)
    for name, stated in taken.items():
        here = set(inspect.signature(getattr(Steps, name)).parameters)
        assert stated == (here | {"type"} if name == "wait_for_event" else here) - {"more"}, name
    assert {*unavailable.STEP_METHODS, *unavailable.PATCH_METHODS, "tag"} == taken.keys()


def ours() -> Iterator[Path]:
    """The files that have to have types: all but the examples, which are what tenants write."""
    for file in (ROOT / "playground").rglob("*.py"):
        if file.parent.name != "examples" or file.name == "__init__.py":
            yield file


def test_the_types_hold_here_and_in_a_program_that_embeds_us(tmp_path: Path) -> None:
    program = tmp_path / "embedding_program.py"
    program.write_text(EMBEDDING)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "playground", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = re.findall(r"^(.+\.py):(\d+): error: .*\[([\w-]+)\]$", checked.stdout, flags=re.MULTILINE)
    lines = EMBEDDING.splitlines()
    told = {lines[int(line) - 1].strip(): code for file, line, code in found if Path(file).name == program.name}
    assert told == MISTAKES and len(found) == len(MISTAKES), checked.stdout + checked.stderr
    assert f"(checked {len(list(ours())) + 1} source files)" in checked.stdout
