"""`fetch` and `env` of the `workers` module, and what a fetch gives.

The request is made on the trusted side (`engine/bindings/fetch.py`). Inside a step it belongs to the step. Outside of
steps it is made a step of its own, without retries, so that a replay reads its answer and goes the same way.

`fetch` and `env` are of the module, not of a run: they find the run that calls in a context variable, since a warm
worker plays several runs with one module, and the test kit several at once.
"""

import contextvars
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from playground.worker.context import Environment, Record, step_of_caller
from playground.worker.entrypoint import NonRetryableError, WorkflowFatalError
from playground.worker.responses import FetchResponse
from playground.workflows.names import is_step_name

FETCH = "FETCH"
OPTIONS = ("method", "headers", "body", "redirect")
_NONE_HERE = (
    "fetch is off here: this code has no `self.env.FETCH`. The program that loads it allows hosts with "
    '`Code(env={"FETCH": Fetch(allow=["api.example.com"])})`.'
)
_NO_RUN = "{name} belongs to a run: call it in `run`, in a step, or in `queue`."
_UNKNOWN = "fetch has no option {name!r} here; it takes {there}."
_HOST = re.compile(r"https?://([^/?#@]{1,200})(?:[/?#]|$)", re.IGNORECASE)
_AS_STEP: Mapping[str, Any] = {"retries": {"limit": 0, "delay": 0}}

Call = Callable[..., Coroutine[Any, Any, Any]]


class OfRun:
    """What the module's names stand for in one run: its environment, and how a fetch outside of steps becomes a step.

    `start_step` is `Steps.start`, `steps` the run's `step` object.
    """

    def __init__(self, environment: Environment, start_step: Call, steps: Any) -> None:
        self.environment, self.start_step, self.steps = environment, start_step, steps


current_run: contextvars.ContextVar[OfRun | None] = contextvars.ContextVar("current_run", default=None)


class Fetcher:
    """`self.env.FETCH`."""

    def __init__(self, binding: str, call: Call) -> None:
        self._binding, self._call = binding, call

    def __repr__(self) -> str:
        return f"<binding {self._binding}: fetch>"

    async def fetch(self, resource: Any, options: Any = None, /, **more: Any) -> FetchResponse:
        """Ask a host; see `fetch`."""
        run = current_run.get()
        url, asked = _request(resource, options, more)
        if step_of_caller() is not None:
            return FetchResponse(await self._call(self._binding, "fetch", (url, asked), {}))
        if run is None:
            raise WorkflowFatalError(_NO_RUN.format(name="fetch"))

        def request(context: Record) -> Coroutine[Any, Any, Any]:
            return self._call(self._binding, "fetch", (url, asked), {})

        given = {"config": _AS_STEP, "rollback": None, "rollback_config": None}
        return FetchResponse(await run.start_step(_step_name(asked["method"], url), request, line=None, **given))


def fetch(resource: Any, options: Any = None, /, **more: Any) -> Coroutine[Any, Any, FetchResponse]:
    """Ask a host that is allowed, and give its answer.

    Options are method, headers (a dict or pairs), body (text or bytes) and redirect ("follow", "manual" or "error").
    """
    run = current_run.get()
    if run is None:
        raise WorkflowFatalError(_NO_RUN.format(name="fetch"))
    found = run.environment.get(FETCH)
    if found is None:
        raise NonRetryableError(_NONE_HERE)
    made: Coroutine[Any, Any, FetchResponse] = found.fetch(resource, options, **more)
    return made


class EnvOfRun:
    """`from workers import env`: the bindings of the run that asks."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        run = current_run.get()
        if run is None:
            raise WorkflowFatalError(_NO_RUN.format(name="env"))
        return getattr(run.environment, name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        run = current_run.get()
        return run is not None and name in run.environment

    def __repr__(self) -> str:
        run = current_run.get()
        return "<env of a run>" if run is None else f"<env: {', '.join(run.environment)}>"


def _request(resource: Any, options: Any, more: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The URL and the options of a call, in the form in which they are sent. Raises TypeError."""
    given = {**(options or {}), **more}
    unknown = given.keys() - set(OPTIONS)
    if unknown:
        raise TypeError(_UNKNOWN.format(name=min(unknown), there=", ".join(OPTIONS)))
    method, body = given.get("method") or "GET", given.get("body")
    method = getattr(method, "value", method)  # of an http.HTTPMethod
    if not isinstance(method, str):
        raise TypeError(f"fetch takes a method as text, not {type(method).__name__}")
    if isinstance(body, (bytearray, memoryview)):
        body = bytes(body)
    if body is not None and not isinstance(body, (str, bytes)):
        raise TypeError(
            f"fetch takes a body as text or bytes, not {type(body).__name__}; json.dumps makes text of JSON"
        )
    headers = _pairs(given.get("headers"))
    if isinstance(body, str) and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(["content-type", "text/plain;charset=UTF-8"])
    return str(resource), {
        "method": method.upper(),
        "headers": headers,
        "body": body,
        "redirect": given.get("redirect") or "follow",
    }


def _pairs(headers: Any) -> list[list[str]]:
    pairs = headers.items() if hasattr(headers, "items") else headers or ()
    return [[str(name), str(value)] for name, value in pairs]


def _step_name(method: str, url: str) -> str:
    """What a fetch outside of steps is called: its method and host."""
    host = _HOST.match(url)
    name = f"fetch {method} {host[1].lower()}" if host else "fetch"
    return name if is_step_name(name) else "fetch"
