"""What the page's scripts repeat is what Python has: the tenant API in the editor, statuses, kills, breaks, limits."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from page_code_support import node

from playground.engine.bindings import approvals, effects, kv, secrets
from playground.worker import binding_stubs, fetching, service_stubs, steps, streams
from playground.worker import entrypoint as workers_module
from playground.worker.context import ReceivedEvent
from playground.workflows import breaks, durations, event_rules, events, logs
from playground.workflows import step_config as configs


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return node(
        """
        import { CALLS, CONFIG_KEYS, ERRORS, MEMBERS, RETRY_KEYS, VALUES, UNITS } from "RUN/../../../web/src/api.js";
        const names = Object.fromEntries(Object.entries(CALLS).map(
            ([name, { params }]) => [name, params.map(([written]) => written)]));
        return { names, config: Object.keys(CONFIG_KEYS), retries: Object.keys(RETRY_KEYS),
            values: VALUES, units: UNITS, errors: Object.keys(ERRORS), env: Object.keys(MEMBERS.env) };
        """
    )


OWNERS = {
    "step": steps.Steps,
    "EFFECTS": effects.Effects,
    "FETCH": fetching.Fetcher,
    "APPROVALS": approvals.Approvals,
    "KV": kv.KV,
    "STREAMS": streams.Streams,
    "SECRETS": secrets.Secrets,
    "WORKFLOWS": binding_stubs.Workflow,
    "handle": binding_stubs.Instance,
    "received": ReceivedEvent,
    "QUEUE": binding_stubs.Queue,
    "QUEUES": binding_stubs.Queues,
    "AI": service_stubs.Models,
    "MCP": service_stubs.Tools,
    "MCPS": service_stubs.ToolServers,
}
NOT_OF_WORKFLOWS = {"WorkerEntrypoint", "DurableObject", "Response"}  # what a Worker needs that stands in the same file


def test_calls_take_what_python_takes(api: dict[str, Any]) -> None:
    for name, params in api["names"].items():
        owner, _, method = name.rpartition(".")
        if owner in OWNERS and name != "step.do":
            given = inspect.signature(getattr(OWNERS[owner], method)).parameters
            known = [one for one in given if one not in ("self", "call", "more")]  # more: older spellings
            assert [written.lstrip("*").partition("=")[0] for written in params if written != "*"] == known, name
    for form in ("step.do", "@step.do"):
        takes = inspect.signature(steps.Steps.do).parameters
        wanted = {written.partition("=")[0] for written in api["names"][form]} - {"*"}
        assert wanted <= takes.keys(), form


def test_what_fetch_takes_is_what_the_function_takes(api: dict[str, Any]) -> None:
    known = [one for one in inspect.signature(fetching.fetch).parameters if one != "more"]
    assert [written.partition("=")[0] for written in api["names"]["fetch"]] == known


def test_defaults_are_those_of_python(api: dict[str, Any]) -> None:
    for name, params in api["names"].items():
        owner, _, method = name.rpartition(".")
        if owner not in OWNERS:
            continue
        given = inspect.signature(getattr(OWNERS[owner], method)).parameters
        for written in params:
            word, _, default = written.partition("=")
            if default and owner != "step":
                assert repr(given[word].default).replace("'", '"') == default, f"{name}: {written}"


def test_every_call_of_python_is_there(api: dict[str, Any]) -> None:
    for owner, kind in OWNERS.items():
        named = {name.partition(".")[2] for name in api["names"] if name.startswith(f"{owner}.")}
        calls = {
            name
            for name, member in vars(kind).items()
            if inspect.iscoroutinefunction(member) and not name.startswith("_")
        }
        if kind is binding_stubs.Workflow:
            calls.add("run")  # counted when it is called, as the methods of `step` are
        if kind is ReceivedEvent:
            calls = {"reply", "reject"}
        assert named == (
            {"do", "sleep", "sleep_until", "wait_for_event", "tag", "patched", "deprecate_patch"}
            if kind is steps.Steps
            else calls
        ), owner
    assert set(api["env"]) == set(OWNERS) - {"step", "handle", "received"}


def test_what_workers_exports_is_there(api: dict[str, Any]) -> None:
    exported = {export.__name__ for export in workers_module.EXPORTS}
    assert {*api["errors"], "WorkflowEntrypoint", "NonRetryableError"} == exported - NOT_OF_WORKFLOWS


def test_keys_and_values_are_those_that_are_accepted(api: dict[str, Any]) -> None:
    assert tuple(api["config"]) == configs.KEYS
    assert tuple(api["retries"]) == configs.RETRY_KEYS
    assert set(api["values"]["backoff"]) == set(configs.BACKOFFS)
    assert set(api["values"]["sensitive"]) == set(configs.SENSITIVE)
    assert set(api["units"]) == set(durations.UNITS)


PROJECT = Path(__file__).parent.parent
ONLY_ON_THE_PAGE = {"stopped", "not"}  # an open step of a run that has ended, and a step that was not reached


def source(*parts: str) -> str:
    """The text of a file that node can't load by itself, or that exports nothing of what is compared."""
    return PROJECT.joinpath(*parts).read_text()


def test_statuses_are_those_of_the_journal() -> None:
    found = node(
        """
        import { FINAL, STATUS, STEP } from "RUN/../statuses.js";
        return { all: Object.keys(STATUS), final: [...FINAL], steps: Object.keys(STEP) };
        """
    )
    assert tuple(found["all"]) == events.STATUSES
    assert set(found["final"]) == events.FINAL_STATUSES
    assert set(found["steps"]) == {*event_rules.STATUSES, *ONLY_ON_THE_PAGE}
    lines = re.findall(r'^  \["(\w+)", ', source("web", "src", "steps.js"), re.MULTILINE)
    assert set(lines) == {*event_rules.STATUSES, *ONLY_ON_THE_PAGE}


def test_a_worker_can_be_killed_when_the_engine_can() -> None:
    offered = re.findall(r'data-when="([^"]+)"', source("templates", "_run.html"))
    assert set(offered) == set(events.KILL_POINTS) - {events.KILL_NEVER}
    armed = re.search(r"const ARMED = \{(.*)\};", source("static", "js", "run", "break-list.js"))
    assert armed is not None
    assert set(re.findall(r'"([\w-]+)":', armed[1])) == set(offered) - {events.KILL_NOW}


def test_a_kill_is_disarmed_by_the_same_ends_of_an_execution() -> None:
    text = source("static", "js", "run", "fold-run.js")
    found = re.search(r"const DISARMING = new Set\(\[(.*)\]\)", text)
    assert found is not None
    assert set(re.findall(r'"(\w+)"', found[1])) == events.DISARMING


def test_breaks_are_those_of_python_within_its_limits() -> None:
    form = source("static", "js", "run", "break-form.js")
    ways = re.search(r"const WAYS = \[(.*?)\];", form, re.DOTALL)
    assert ways is not None
    assert tuple(re.findall(r'\["(\w+)"', ways[1])) == breaks.HOWS
    assert f"body.times > {breaks.MAX_TIMES})" in form
    assert f'max: "{breaks.MAX_TIMES}"' in form
    assert f"body.ms <= {breaks.MAX_SLOW_MS:_})" in form
    assert f'max: "{breaks.MAX_SLOW_MS // 1000}"' in form
    injected = node('import { INJECTED } from "RUN/breaks.js";\nreturn Object.keys(INJECTED);')
    assert tuple(injected) == breaks.HOWS


def test_a_line_in_pieces_is_joined_up_to_the_same_length() -> None:
    assert f"const LINE_MOST = {logs.MAX_CHARACTERS:_};" in source("static", "js", "run", "fold-run.js")
