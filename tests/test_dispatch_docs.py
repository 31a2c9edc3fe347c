"""The documents on dispatching and bindings: their programs run, their table has a test for each row, their names
exist.
"""

import asyncio
import contextlib
import importlib.util
import inspect
import io
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from dispatch_support import Place, journal, on_engine, output, workflow
from starlette.requests import Request

import playground
from playground import Code, Dispatcher, Engine
from playground.settings import Settings
from playground.web.api import tenant_queues
from playground.web.routes import OF_TENANTS, TENANT, TENANT_INSTANCE
from playground.worker import queue_handler
from playground.workflows import events as ev
from playground.workflows import state

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
    done = subprocess.run(
        [sys.executable, "-c", blocks("dispatcher.md")[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Hello, Ada!\nGuten Tag, Ada!\n", "")


@on_engine()
async def test_the_stream_that_is_written_there_gives_a_browser_the_journal_and_goes_on_where_it_was(
    engine: Engine,
) -> None:
    names: dict[str, Any] = {
        "dispatcher": Dispatcher(engine, lambda metadata: Code(workflow("return 5"))),
        "tenant_of": lambda request: "acme",
    }
    exec(next(it for it in blocks("dispatcher.md") if "text/event-stream" in it), names)  # noqa: S102 - the document's own code
    instance = await names["dispatcher"].wrap_binding({"tenant": "acme"}).create("one")
    await output(instance)

    async def received(*headers: tuple[bytes, bytes]) -> list[str]:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "path_params": {"id": "one"}}
        return [part async for part in (await names["stream"](Request(scope))).body_iterator]

    first = await received()
    assert first[0].startswith('id: 1\ndata: {"seq": 1,') and first[-1] == "event: end\ndata: {}\n\n"
    sent = [json.loads(part.partition("data: ")[2]) for part in first[:-1]]
    assert sent == [event.as_json() for event in await journal(instance)]
    assert await received((b"last-event-id", b"2")) == first[2:]


@on_engine()
async def test_the_limits_and_the_check_that_are_written_there_work(engine: Engine) -> None:
    limits, check = [
        next(it for it in blocks("dispatcher.md") if part in it) for part in ("limit_tenant", "engine.check")
    ]
    exec(limits, {"engine": engine, "TenantLimits": playground.TenantLimits})  # noqa: S102 - the document's own code
    for source, good in ((workflow("return 5"), True), ("class TenantWorkflow(:", False)):
        names: dict[str, Any] = {"engine": engine, "source": source}
        exec("async def look():\n" + textwrap.indent(check, "    "), names)  # noqa: S102 - as above
        if good:
            await names["look"]()
        else:
            with pytest.raises(ValueError, match="Invalid syntax"):
                await names["look"]()


def test_the_reference_of_events_is_made_from_their_table_and_has_every_type_that_a_journal_may_hold() -> None:
    spec = importlib.util.spec_from_file_location("events_reference", DOCS / "events.py")
    assert spec is not None and spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    text = (DOCS / "events.md").read_text("utf-8")
    assert reference.written(text) == text, "run `./run python docs/events.py`"
    rows = reference.rows("# Each with what has happened", "# Why an execution ended.")
    words = inspect.getsource(ev).partition("# Each with what")[2].partition("# Why an execution")[0]
    assert [row.word for row in rows] == re.findall(r'^[A-Z_]+ = "(\w+)"', words, re.MULTILINE) and all(
        row.happened for row in rows
    )
    assert {row.word for row in rows} >= set(state.FOLDED_TYPES)
    assert {row.word for row in reference.rows("# Why an execution ended.", "END_REASONS")} == set(ev.END_REASONS)


@pytest.mark.parametrize("row", table(), ids=lambda row: row[0][:40])
def test_each_row_of_the_counterpart_table_has_a_test(row: list[str]) -> None:
    assert len(row) == 3
    name = row[2].strip("`")
    assert any(
        re.search(rf"(?m)^(async )?def {name}\(", file.read_text("utf-8")) for file in TESTS.glob("test_*.py")
    ), name


def test_every_name_of_the_other_library_is_in_the_table() -> None:
    there = " ".join(row[0] for row in table())
    for name in (
        "createDynamicWorkflowEntrypoint", "dispatchWorkflow", "DynamicWorkflowBinding", "wrapWorkflowBinding",
        "bindingName", "MissingDispatcherMetadataError", "DispatcherMetadata", "LoadWorkflowRunner", "WorkflowRunner",
        "loadRunner",
    ):  # fmt: skip
        assert name in there


@pytest.mark.parametrize("name", ["dispatcher.md", "bindings.md", "tenants.md"])
def test_settings_and_names_that_are_spoken_of_are_there(name: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    spoken = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text.partition("## Counterparts")[0]))
    known = set(Settings.__dataclass_fields__) | set(dir(playground.Workflow)) | set(dir(playground.WorkflowInstance))
    known |= {
        field for it in (playground.InstanceStatus, playground.TenantLimits) for field in it.__dataclass_fields__
    } | {"limit_tenant"}
    known |= {*tenant_queues.QueueBody.__struct_fields__, *tenant_queues.SendBody.__struct_fields__}
    known |= {*dir(queue_handler.MessageBatch), *dir(queue_handler.Message)}
    known |= {
        "class_name",
        "open_engine",
        "created_at",
        "not_loaded",
        "kv_put",
        "kv_deleted",
        "stream_truncated",
        "idempotency_key",
        "wrap_binding",
    }
    assert spoken - known == set()


def test_the_reader_of_a_stream_that_is_written_there_reads_it(place: Place) -> None:
    (block,) = [it for it in blocks("bindings.md") if "instance.stream" in it]
    names: dict[str, Any] = {"StreamReset": playground.StreamReset}
    exec("async def read(instance):\n" + textwrap.indent(block, "    "), names)  # noqa: S102 - the document's own code
    body = """
    async def talk(ctx):
        await self.env.STREAMS.append("tokens", f"word {ctx['attempt']}")
        if ctx["attempt"] == 1:
            raise ConnectionError("not yet")
    await step.do("talk", talk, config={"retries": {"limit": 1, "delay": 1}})
    """

    async def story(engine: Engine) -> None:
        code = Code(workflow(body), env={"STREAMS": playground.Streams()})
        flows = Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"})
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            await names["read"](await flows.create())
        assert printed.getvalue() == "word 1again from the beginning\nword 2"

    place.run(story)


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
    own = {
        (call.method, call.path.removeprefix(TENANT))
        for call in OF_TENANTS
        if call.path.startswith(TENANT) and not call.path.startswith(TENANT_INSTANCE)
    }
    own |= {("POST", f"/instances/{{id}}/{name}") for name in ("migrate", "fork", "code")}
    said = {(method, path) for method, path in re.findall(r"`(GET|PUT|POST|DELETE) (/[a-z/{}-]+)", text)} - {
        ("DELETE", "/api/tenants/acme")
    }
    assert own <= said | {("GET", "/instances"), ("DELETE", "")} and "`DELETE /api/tenants/acme`" in text
    assert {path for _, path in said} - {path for _, path in own} <= {"/openapi"}
