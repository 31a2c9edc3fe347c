"""The documents on dispatching and bindings: their programs run, their table has a test for each row, their names exist."""

import asyncio
import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dispatch_support import Place, output, workflow

import playground
from playground import Code, Dispatcher, Engine
from playground.settings import Settings
from playground.web.routes import OF_TENANTS, TENANT, TENANT_INSTANCE

DOCS = Path(__file__).parent.parent / "docs"
TESTS = Path(__file__).parent


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL)


def table() -> list[list[str]]:
    """The rows of the counterpart table."""
    text = (DOCS / "dispatcher.md").read_text("utf-8").partition("## Counterparts")[2]
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_first_program_runs_as_it_stands(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", blocks("dispatcher.md")[0]], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("Hello, Ada!\nGuten Tag, Ada!\n", "")


@pytest.mark.parametrize("row", table(), ids=lambda row: row[0][:40])
def test_each_row_of_the_counterpart_table_has_a_test(row: list[str]) -> None:
    assert len(row) == 3
    name = row[2].strip("`")
    assert any(re.search(rf"(?m)^(async )?def {name}\(", file.read_text("utf-8")) for file in TESTS.glob("test_*.py")), name


def test_every_name_of_the_other_library_is_in_the_table() -> None:
    there = " ".join(row[0] for row in table())
    for name in (
        "createDynamicWorkflowEntrypoint", "dispatchWorkflow", "DynamicWorkflowBinding", "wrapWorkflowBinding", "bindingName",
        "MissingDispatcherMetadataError", "DispatcherMetadata", "LoadWorkflowRunner", "WorkflowRunner", "loadRunner",
    ):  # fmt: skip
        assert name in there


@pytest.mark.parametrize("name", ["dispatcher.md", "bindings.md", "tenants.md"])
def test_settings_and_names_that_are_spoken_of_are_there(name: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    spoken = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text.partition("## Counterparts")[0]))
    known = set(Settings.__dataclass_fields__) | set(dir(playground.Workflow)) | set(dir(playground.WorkflowInstance))
    known |= {"class_name", "open_engine", "created_at", "not_loaded", "kv_put", "kv_deleted", "idempotency_key", "wrap_binding"}
    assert spoken - known == set()


def test_the_binding_that_is_written_there_works(place: Place) -> None:
    names: dict[str, object] = {}
    exec(blocks("bindings.md")[-1], names)  # noqa: S102 - the document's own code
    body = """
    day = await self.env.WEATHER.forecast("Oslo", days=3)
    try:
        await self.env.WEATHER.forecast("Oslo", days=30)
    except Exception as refused:
        return [day, str(refused)]
    """

    async def story(engine: Engine) -> None:
        code = Code(workflow(body), env={"WEATHER": names["Weather"]()})  # type: ignore[operator]
        flows = Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"})
        day = {"city": "Oslo", "days": 3, "asked by": "acme"}
        assert await output(await flows.create()) == [day, "The forecast goes 7 days ahead."]

    place.run(story)


@pytest.mark.parametrize("block", [it for it in blocks("bindings.md") if "self.env" in it])
def test_what_is_shown_of_the_bindings_is_python(block: str) -> None:
    indented = "\n".join(f"    {line}" for line in block.splitlines())
    with contextlib.redirect_stdout(io.StringIO()):
        compile(f"async def run(self, event, step):\n{indented}", "bindings.md", "exec")
    assert asyncio.iscoroutinefunction(playground.KV.get)


def test_every_call_of_tenants_is_in_the_document_and_the_other_way_round() -> None:
    text = (DOCS / "tenants.md").read_text("utf-8")
    own = {(call.method, call.path.removeprefix(TENANT)) for call in OF_TENANTS if call.path.startswith(TENANT) and not call.path.startswith(TENANT_INSTANCE)}
    own |= {("POST", f"/instances/{{id}}/{name}") for name in ("migrate", "fork", "code")}
    said = {(method, path) for method, path in re.findall(r"`(GET|PUT|POST|DELETE) (/[a-z/{}]+)", text)} - {("DELETE", "/api/tenants/acme")}
    assert own <= said | {("GET", "/instances"), ("DELETE", "")} and "`DELETE /api/tenants/acme`" in text
    assert {path for _, path in said} - {path for _, path in own} <= {"/openapi"}
