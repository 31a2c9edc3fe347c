"""The MCP server for everybody, at `/mcp`: write a workflow, check it, run it, follow it, answer it, break it.

Eight tools in a fixed order. Without a key an agent gets what anybody gets on the page, within the same limits by
address, and owns its runs by their ids, each of which ends with the run's token. With a tenant's key (as the bearer) it
gets that tenant's runs, and runs what the tenant has deployed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request

from playground.engine import CreateInstance, queues
from playground.engine.chaos_runs import is_unfinished
from playground.engine.code.tool_signature import Schema
from playground.engine.run_filters import run_filter
from playground.store.encoding import as_objects
from playground.store.rows import InstanceRow
from playground.web.api.chaos import chaos_json
from playground.web.api.check import check_daily_storage, check_source_size
from playground.web.api.instances import IDS_MAX, start_anonymous
from playground.web.context import Context
from playground.web.http import tokens
from playground.web.mcp import answers, resources, run_tools
from playground.web.mcp.answers import Json
from playground.web.mcp.run_tools import CHANGES, ID, READ_ONLY, RUN_OUTPUT, BadArguments, checked, tool
from playground.web.mcp.runs import AnonymousRuns, Owner, Standing, TenantRuns
from playground.web.mcp.tenant_tools import TRIGGER, checked_json, same_call
from playground.web.mcp.toolbox import KEY_CHARACTERS, BadCall, Call, Runs, no_tool
from playground.workflows import events as ev
from playground.workflows import names
from playground.workflows.errors import InstanceAlreadyExists, WorkflowError
from playground.workflows.tags import tags_of

ANONYMOUS_KEY_CHARACTERS = 32  # that an idempotency key takes at least: who knows it owns the run
CHAOS_POLL_SECONDS = 0.2  # while reruns are about to begin
SOURCES = ("source", "example", "deployed")

INSTRUCTIONS = (
    "Durable workflows in Python: a run keeps the result of every step, outlives any server, sleeps and waits for "
    "people. Read the resource playground://skill first. Check code with check_workflow, start it with run_workflow, "
    "and follow the run by its id, which is yours alone: keep it whole. Where a run waits for an event, a person "
    "decides: ask them, then use answer_run."
)

_DIAGNOSTICS: Json = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "diagnostics": {"type": "array", "items": {"type": "object"}}},
    "required": ["ok", "diagnostics"],
}
_PARAMS: Json = {"description": "any JSON: event['payload'] in the code"}
CHECK_WORKFLOW = tool(
    "check_workflow",
    "What is wrong with a workflow's code, with line and fix. Never runs it.",
    {"source": {"type": "string", "description": "a Python module with one class that extends WorkflowEntrypoint"}},
    ["source"],
    READ_ONLY,
    _DIAGNOSTICS,
)
RUN_WORKFLOW = tool(
    "run_workflow",
    "Start a run: of `source`, of an example by its name, or of a workflow `deployed` by the tenant of your key. "
    "Answers with its output if it ends soon, else with a task or the run's id.",
    {
        "source": {"type": "string"},
        "example": {"type": "string"},
        "deployed": {"type": "string"},
        "params": _PARAMS,
        "tags": {"type": "array", "items": {"type": "string"}, "description": "words to find it by"},
    },
    [],
    CHANGES,
)
LIST_RUNS = tool(
    "list_runs",
    "Your runs, newest first: of those `ids`, or of the tenant whose key you have. `waiting_for`: an event's type.",
    {
        "ids": {"type": "array", "items": {"type": "string"}, "maxItems": IDS_MAX},
        "status": {"type": "string", "enum": list(ev.STATUSES)},
        "waiting_for": {"type": "string"},
        "tag": {"type": "string"},
    },
    [],
    READ_ONLY,
    {
        "type": "object",
        "properties": {"runs": {"type": "array", "items": RUN_OUTPUT}},
        "required": ["runs"],
    },
)
CHAOS_RUN = tool(
    "chaos_run",
    "Run a finished run again with its worker killed before each commit, and compare. Asked again: how that stands.",
    {"id": ID},
    ["id"],
    CHANGES,
    {"type": "object", "properties": {"status": {"type": "string"}, "summary": {"type": "object"}}},
)
LIST_EXAMPLES = tool(
    "list_examples",
    "Examples to run and to learn from; their code is at playground://examples/{name}.",
    {},
    [],
    READ_ONLY,
    {"type": "object", "properties": {"examples": {"type": "array", "items": {"type": "object"}}}},
)
TOOLS = (
    CHECK_WORKFLOW,
    RUN_WORKFLOW,
    run_tools.GET_RUN,
    LIST_RUNS,
    run_tools.ANSWER_RUN,
    run_tools.CONTROL_RUN,
    CHAOS_RUN,
    LIST_EXAMPLES,
)

_ONE_OF = "A run is made from one of `source`, `example` or `deployed`; {given}."
_NO_KEY = "`deployed` takes a tenant's key: send it as the bearer of the connection, or pass `source`."
_WITH_KEY = "With a tenant's key runs are of what it has deployed: pass `deployed`, or connect without the key."
_NEEDS_IDS = "Pass `ids`, the ids of the runs you started: a run without a tenant is found by its id only."
_SHORT_KEY = (
    "Without a tenant an idempotency key takes {least} to {most} characters that nobody can guess: who knows it owns "
    "the run."
)


class PublicToolbox(Runs):
    """See `Toolbox`. `tenant`: whose key the request carries, None for nobody's."""

    instructions = INSTRUCTIONS
    has_resources = True

    def __init__(self, context: Context, request: Request, tenant: str | None) -> None:
        self._anonymous = AnonymousRuns(context, request)
        owner: Owner = self._anonymous if tenant is None else TenantRuns(context, request, tenant)
        super().__init__(context, request, owner)
        self._tenant = tenant

    async def tools(self, after: str) -> tuple[Sequence[Json], str | None]:
        """See `Toolbox`."""
        return TOOLS, None

    async def call(self, call: Call) -> Json:
        """See `Toolbox`."""
        known = run_tools.RUN_TOOLS.get(call.name)
        if known is not None:
            return await known(self, call.arguments)
        if call.name == RUN_WORKFLOW["name"]:
            return await self._run(call)
        act = {
            "check_workflow": self._check,
            "list_runs": self._list,
            "chaos_run": self._chaos,
            "list_examples": self._examples,
        }.get(call.name)
        if act is None:
            raise no_tool(call.name)
        return await act(call.arguments)

    def result(self, found: Standing, declared: Schema | None) -> Json:
        """See `Runs`: of a run the run itself, whatever it ran."""
        return answers.ended_result(found, self.owner)

    async def resources(self) -> Sequence[Json]:
        """See `Toolbox`."""
        return resources.listed(self.context)

    async def read(self, uri: str) -> tuple[str, str]:
        """See `Toolbox`."""
        found = resources.read(self.context, uri)
        if found is None:
            raise BadCall(f"There is no resource {uri[:200]!r}; `resources/list` lists them.")
        return found

    async def _check(self, arguments: Json) -> Json:
        source = names.without_byte_order_mark(checked(CHECK_WORKFLOW, arguments)["source"])
        self.context.limits.checks.charge_request(self.request, self._address)
        check_source_size(self.context, source)
        found = await self.context.engine.check(source, self._queue)
        shown = {"ok": found.ok, "diagnostics": list(found.diagnostics), "tool": found.tool.as_json()}
        return answers.text_result(msgspec.json.encode(shown).decode(), structured=shown)

    async def _run(self, call: Call) -> Json:
        given = checked(RUN_WORKFLOW, call.arguments)
        if call.state is not None:
            return await self.go_on(call, None)
        named = [name for name in SOURCES if name in given]
        if len(named) != 1:
            raise BadArguments(_ONE_OF.format(given=" and ".join(named) + " were given" if named else "none was given"))
        if self._tenant is None:
            if named == ["deployed"]:
                raise BadArguments(_NO_KEY)
            row = await self._start(call, given)
        else:
            if named != ["deployed"]:
                raise BadArguments(_WITH_KEY)
            row = await self._start_deployed(self._tenant, call, given)
        return await self.answer_call(call, row, None)

    async def _start(self, call: Call, given: Mapping[str, Any]) -> InstanceRow:
        context = self.context
        context.limits.checks.charge_request(self.request, self._address)
        if "example" in given:
            example = context.example(given["example"])
            source, params = example.source, given.get("params", example.params)
        else:
            source, params = names.without_byte_order_mark(given["source"]), given.get("params")
        token, id = context.ids.token(), None
        if call.idempotency_key is not None:
            key = call.idempotency_key
            if not ANONYMOUS_KEY_CHARACTERS <= len(key) <= KEY_CHARACTERS:
                raise BadCall(_SHORT_KEY.format(least=ANONYMOUS_KEY_CHARACTERS, most=KEY_CHARACTERS))
            id, token = names.derived_id(f"mcp id\0{key}"), names.derived_id(f"mcp token\0{key}")
        text, tags = msgspec.Raw(checked_json(params, context.settings.value_bytes)), given.get("tags", ())
        new = CreateInstance(
            source=source, params=text, id=id, control_hash=tokens.digest(token), trigger=TRIGGER, tags=tags
        )
        try:
            row = await start_anonymous(context, self.request, new)
        except InstanceAlreadyExists:
            row = await self.owner.find(f"{id}.{token}")
            code = await context.store.snippet(row.snippet)
            if code is None or code.source != source:
                raise BadCall("The idempotency key of this call was used for other code. Use another key.") from None
            return same_call(row, params)
        return self._anonymous.own(row, token)

    async def _start_deployed(self, tenant: str, call: Call, given: Mapping[str, Any]) -> InstanceRow:
        params = given.get("params")
        text = msgspec.Raw(checked_json(params, self.context.settings.value_bytes))
        start, workflow = partial(self.context.tenants.create, tags=given.get("tags", ())), given["deployed"]
        if call.idempotency_key is None:
            return await start(tenant, text, trigger=TRIGGER, workflow=workflow)
        id = names.derived_id(f"mcp\0{tenant}\0{call.idempotency_key[:KEY_CHARACTERS]}")
        try:
            return await start(tenant, text, id, trigger=TRIGGER, workflow=workflow)
        except InstanceAlreadyExists:
            return same_call(await self.owner.find(id), params)

    async def _list(self, arguments: Json) -> Json:
        given = checked(LIST_RUNS, arguments)
        ids, status = given.get("ids"), given.get("status")
        if ids is not None and len(ids) > IDS_MAX:
            raise BadArguments(f"`ids` takes up to {IDS_MAX} ids.")
        if ids is None and self._tenant is None:
            raise BadArguments(_NEEDS_IDS)
        if ids is None:
            search = self.context.store.search
            filter = run_filter({**given, "status": status}, self.context.now())
            rows = await search.rows((await search.keys(self.owner.tenant, filter, limit=IDS_MAX)).keys)
        else:
            self.context.limits.reads.charge_request(self.request, self._address, len(ids))
            rows = [row for id in dict.fromkeys(ids) if (row := await self._row_or_none(id)) is not None]
            rows.sort(key=lambda row: row.key, reverse=True)
        shown = []
        for row in rows:
            found = await self.standing(row)
            types = {type for wait in found.waits for type in wait.types}
            if (status or found.status) != found.status or not {given.get("waiting_for")} <= {None, *types}:
                continue
            tags = tags_of(row.injected)
            if "tag" in given and given["tag"] not in tags:
                continue
            one = answers.run_json(found, self.owner) | {"created_at": answers.iso(row.created_at), "tags": [*tags]}
            one.pop("output", None)  # `get_run` has it
            shown.append(one)
        listed = {"runs": shown}
        return answers.text_result(msgspec.json.encode(listed).decode(), structured=listed)

    async def _row_or_none(self, id: str) -> InstanceRow | None:
        try:
            return await self.owner.find(id, to_change=False)
        except WorkflowError:
            return None

    async def _chaos(self, arguments: Json) -> Json:
        row = await self.owner.find(checked(CHAOS_RUN, arguments)["id"])
        context = self.context
        if not await context.chaos.children(row):
            await check_daily_storage(context, self._queue)
            await context.chaos.check(row)  # what is refused is not counted
            await context.limits.chaos.charge_request(self.request, self._address)
            await context.chaos.start(row, self._queue)
        shown = await self._wait_for_chaos(row)
        return answers.text_result(msgspec.json.encode(shown).decode(), structured=as_objects(shown))

    async def _wait_for_chaos(self, row: InstanceRow) -> Json:
        """How a chaos run stands when it is over, or when a call has waited for as long as it may."""
        deadline = self.context.now() + self.context.settings.mcp_wait_seconds * 1000
        while True:
            shown = await chaos_json(self.context, row)
            left = (deadline - self.context.now()) / 1000
            if shown["status"] != "running" or left <= 0:
                return shown
            children = await self.context.chaos.children(row)
            open_child = next((it for it in children if it.status not in ev.FINAL_STATUSES), None)
            if open_child is not None and is_unfinished(children):
                await self.wait((await self.context.store.load(open_child.key)).row, left)
            await asyncio.sleep(CHAOS_POLL_SECONDS)

    async def _examples(self, arguments: Json) -> Json:
        checked(LIST_EXAMPLES, arguments)
        found = [
            {"name": it.slug, "title": it.title, "lesson": it.lesson, "params": it.params}
            for it in self.context.examples.values()
        ]
        shown = {"examples": found}
        return answers.text_result(msgspec.json.encode(shown).decode(), structured=shown)

    @property
    def _address(self) -> str:
        return self.context.addresses.client_of(self.request)

    @property
    def _queue(self) -> str:
        return queues.of_address(self._address) if self._tenant is None else queues.of_tenant(self._tenant)
