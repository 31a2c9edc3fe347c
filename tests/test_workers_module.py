"""`import workers` as Cloudflare's Python SDK has it: names of types, others refused, any way to take `ctx`."""

from typing import Any

import pytest
from semantics_support import failure, isolated, outcome, story

from playground.testing import WorkflowTester
from playground.worker import api
from playground.worker.decorated_steps import taking_context

SDK = (  # what `workers.__all__` of the SDK (workers-py) has and a file may name in annotations or derive from
    "Blob", "BlobEnding", "BlobValue", "Body", "Context", "DurableObject", "FetchKwargs", "FetchResponse", "File",
    "FormData", "FormDataValue", "Headers", "JSBody", "Request", "RequestInitCfProperties", "Response",
    "WorkerEntrypoint", "WorkflowEntrypoint", "env", "fetch", "handler",
)  # fmt: skip

ANNOTATED = """
from __future__ import annotations

import typing

from workers import DurableObject, FetchResponse, Request, Response, WorkerEntrypoint, handler
from workers import WorkflowEntrypoint, WorkflowEvent, WorkflowStep
from workers.workflows import NonRetryableError, WorkflowStepConfig, WorkflowStepContext


class Counter(DurableObject):
    async def fetch(self, request: Request) -> Response:
        return Response("counted")


class Default(WorkerEntrypoint):
    async def fetch(self, request: Request) -> FetchResponse | Response:
        return Response.json({})


@handler
async def on_fetch(request: Request) -> Response:
    return Response("")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event: WorkflowEvent[dict], step: WorkflowStep) -> list:
        config: WorkflowStepConfig = {"retries": {"limit": 1, "delay": "1 second"}}

        @step.do("typed", config=config)
        async def typed(ctx: WorkflowStepContext) -> bool:
            return isinstance(ctx, WorkflowStepContext)

        hint = typing.get_type_hints(on_fetch)["request"]
        return [isinstance(step, WorkflowStep), isinstance(event, WorkflowEvent), await typed(), hint is Request]
"""


@story
async def test_names_of_the_sdk_are_there_for_annotations_and_true_to_what_is_given() -> None:
    async with WorkflowTester(ANNOTATED) as tester:
        assert await (await tester.create()).result() == [True, True, True, True]


@story
async def test_they_are_there_in_a_real_worker_too() -> None:
    async with isolated("from workers import WorkflowStep\nreturn isinstance(step, WorkflowStep)") as (_, run):
        assert await run.result() is True


def test_all_names_of_the_sdk_that_stand_in_annotations_are_there() -> None:
    assert set(SDK) <= api.module_names().keys()


@pytest.mark.parametrize(
    "line", ["from workers import Nonsense", "from workers.workflows import Nonsense", "import workers.Nonsense"]
)
@story
async def test_a_name_that_is_not_there_is_refused_with_those_that_are(line: str) -> None:
    error = await failure(line)
    module = "workers.workflows" if "workflows" in line else "workers"
    assert error["name"] == "ImportError"
    assert error["message"].startswith(
        f"cannot import name 'Nonsense' from '{module}'; it has: AIBudgetError, AIError, "
    )
    assert "WorkflowEntrypoint, WorkflowEvent, WorkflowFatalError, WorkflowStep" in error["message"]
    assert error["traceback"][-1]["code"] == line


@story
async def test_asking_the_module_whether_it_has_a_name_is_no_error() -> None:
    body = """
    import workers
    try:
        from workers import patch_env
    except ImportError:
        patch_env = None
    return [hasattr(workers, "Nonsense"), getattr(workers, "waitUntil", 1), patch_env, "fetch" in workers.__all__]
    """
    assert await outcome(body) == [False, 1, None, True]


@story
async def test_what_belongs_to_workers_says_so_when_it_is_made() -> None:
    error = await failure('from workers import Request\nRequest("https://example.com")')
    assert error["name"] == "TypeError"
    assert error["message"].startswith(
        "Request is for Workers, which do not run here: it can be named in an annotation, but not made."
    )


# What a callback of the direct form is given.


def positional(ctx: Any) -> Any:
    return ctx


def another_name(context: Any) -> Any:
    return context


def keyword_only(*, ctx: Any) -> Any:
    return ctx


def keyword_only_with_default(*, ctx: Any = None, more: int = 1) -> Any:
    return ctx


def both(context: Any, *, ctx: Any) -> Any:
    return context if context is ctx else "differs"


def with_default(ctx: Any = None) -> Any:
    return ctx


def none() -> Any:
    return "none"


def own_default(name: str = "own") -> Any:
    return name


def other_keyword(*, more: int = 1) -> Any:
    return more


@pytest.mark.parametrize(
    "callback", [positional, another_name, keyword_only, keyword_only_with_default, both, with_default]
)
def test_a_callback_that_takes_the_context_is_given_it(callback: Any) -> None:
    assert taking_context(callback)("the context") == "the context"


@pytest.mark.parametrize(("callback", "gives"), [(none, "none"), (own_default, "own"), (other_keyword, 1), (dict, {})])
def test_a_callback_that_takes_none_is_given_none(callback: Any, gives: Any) -> None:
    assert taking_context(callback)("the context") == gives


@story
async def test_a_keyword_only_context_works_in_both_forms() -> None:
    body = """
    async def direct(*, ctx):
        return [ctx["step"]["name"], ctx.attempt]
    @step.do("decorated")
    async def decorated(*, ctx):
        return ctx.step.name
    return [await step.do("direct", direct), await decorated()]
    """
    assert await outcome(body) == [["direct", 1], "decorated"]
