"""The documents on flow control and schedules say what is true: their programs run, their tables name what there is."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from http_support import MakeSite, Site

from playground.engine.code.dispatcher import Dispatcher
from playground.engine.code.sources import Code
from playground.testing import WorkflowTester
from playground.web.api.schedules import ScheduleBody
from playground.web.api.tenant_instances import FlowBody
from playground.workflows.flow import FIELDS

DOCS = Path(__file__).parent.parent / "docs"
SOURCE = (
    "from workers import WorkflowEntrypoint\n"
    "class TenantWorkflow(WorkflowEntrypoint):\n"
    "    async def run(self, event, step):\n"
    "        return event.payload\n"
)


def blocks(name: str) -> list[str]:
    """The Python programs of a document."""
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL)


def fields(name: str) -> set[str]:
    """What the tables of a document begin their rows with."""
    return set(re.findall(r"^\| `(\w+)`", (DOCS / name).read_text("utf-8"), re.MULTILINE))


async def run_block(block: str, **names: Any) -> None:
    """Run a program that awaits."""
    found: dict[str, Any] = {}
    exec(f"async def program({', '.join(names)}):\n{textwrap.indent(block, '    ')}", found)  # noqa: S102 - the document's own code
    await found["program"](**names)


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site()


def test_the_programs_of_flow_control_run(site: Site) -> None:
    creates, children, dispatcher = blocks("flow.md")
    compile(f"async def run(self, event, step):\n{textwrap.indent(children, '    ')}", "flow.md", "exec")

    async def story() -> None:
        made = eval(dispatcher, {"Dispatcher": Dispatcher, "engine": site.engine, "load": lambda _: Code(SOURCE)})
        workflow = made.wrap_binding({"tenant": "docs"})
        await run_block(creates, workflow=workflow)
        assert len(await workflow.list()) in (4, 5)  # the singleton is the first where that has not ended

    site.call(story())


def test_the_programs_of_schedules_run(site: Site) -> None:
    program, in_a_test = blocks("schedules.md")

    async def story() -> None:
        dispatcher = Dispatcher(site.engine, lambda _: Code(SOURCE), name="scheduled")
        await run_block(program, dispatcher=dispatcher)
        await run_block(in_a_test, WorkflowTester=WorkflowTester, Reports=SOURCE)

    site.call(story())


def test_the_tables_name_every_field() -> None:
    assert fields("flow.md") >= FIELDS == set(FlowBody.__struct_fields__)
    assert fields("schedules.md") == set(ScheduleBody.__struct_fields__)
