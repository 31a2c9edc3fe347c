"""The package's types hold, as mypy sees them under the rules of pyproject.toml, and a program that embeds it is told
of its mistakes.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

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
