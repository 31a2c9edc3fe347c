"""What the editor says of the tenant API is what Python has: names of calls, of parameters and of keys."""

import inspect
from typing import Any

import pytest
from page_code_support import node

from playground.analysis.rules import step_calls
from playground.engine.bindings import effects, kv, secrets
from playground.worker import binding_stubs, steps
from playground.worker import entrypoint as workers_module
from playground.workflows import durations
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
    "KV": kv.KV,
    "SECRETS": secrets.Secrets,
    "WORKFLOWS": binding_stubs.Workflow,
    "handle": binding_stubs.Instance,
}
NOT_OF_WORKFLOWS = {"WorkerEntrypoint", "DurableObject", "Response"}  # what a Worker needs that stands in the same file


def test_calls_take_what_python_takes(api: dict[str, Any]) -> None:
    for name, params in api["names"].items():
        owner, _, method = name.rpartition(".")
        if owner in OWNERS and name != "step.do":
            given = inspect.signature(getattr(OWNERS[owner], method)).parameters
            known = [one for one in given if one not in ("self", "call", "more")]  # more: older spellings
            assert [written.lstrip("*").partition("=")[0] for written in params] == known, name
    for form in ("step.do", "@step.do"):
        takes = inspect.signature(steps.Steps.do).parameters
        wanted = {written.partition("=")[0] for written in api["names"][form]} - {"*"}
        assert wanted <= takes.keys(), form


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
        assert named == ({"do", "sleep", "sleep_until", "wait_for_event"} if kind is steps.Steps else calls), owner
    assert set(api["env"]) == set(OWNERS) - {"step", "handle"}


def test_what_workers_exports_is_there(api: dict[str, Any]) -> None:
    exported = {export.__name__ for export in workers_module.EXPORTS}
    assert {*api["errors"], "WorkflowEntrypoint", "NonRetryableError"} == exported - NOT_OF_WORKFLOWS


def test_keys_and_values_are_those_that_are_accepted(api: dict[str, Any]) -> None:
    assert tuple(api["config"]) == step_calls.KEYS
    assert tuple(api["retries"]) == step_calls.RETRY_KEYS
    assert set(api["values"]["backoff"]) == set(configs.BACKOFFS)
    assert set(api["values"]["sensitive"]) == set(configs.SENSITIVE)
    assert set(api["units"]) == set(durations.UNITS)
