"""The `workers` module that tenant code imports: the class to derive from and the errors it may raise or catch."""

import json
import sys
import types
from typing import Any


class WorkflowEntrypoint:
    """What a tenant's workflow derives from: `self.env` holds its bindings, `self.ctx` the execution context."""

    def __init__(self, ctx: Any = None, env: Any = None) -> None:
        self.ctx = ctx
        self.env = env

    async def run(self, event: Any, step: Any) -> Any:
        """Override this. Called from the top in every execution; its return value is the instance's output."""
        raise NotImplementedError("a workflow needs its own `async def run(self, event, step)`")


class WorkerEntrypoint:
    """What a Worker derives from. None is called here; a file that holds one beside its workflow must load all the same."""

    def __init__(self, ctx: Any = None, env: Any = None) -> None:
        self.ctx = ctx
        self.env = env


class Response:
    """What a Worker answers with: a body, a status and headers. See `WorkerEntrypoint`."""

    def __init__(self, body: Any = None, status: int = 200, headers: Any = None) -> None:
        self.body, self.status, self.headers = body, status, headers

    @classmethod
    def json(cls, data: Any, **options: Any) -> "Response":
        """An answer whose body is JSON."""
        return cls(json.dumps(data), **options)


class NonRetryableError(Exception):
    """Raise it in a step to fail at once: the step is not tried again."""


class WorkflowTimeoutError(Exception):
    """An attempt, or a wait for an event, took longer than its timeout."""


class NonRetryableDelayError(NonRetryableError):
    """A step's delay function failed, was late or returned something that is no delay."""


class StepError(Exception):
    """A stored error whose own type is no longer in the code."""


class WorkflowFatalError(Exception):
    """The workflow broke a rule of the platform: a name, a limit or a value that can't be stored. Never retried."""


class NotSerialisableError(WorkflowFatalError):
    """A value can't be stored; the message names its path and type."""


class WorkerLost(Exception):
    """An attempt was lost with its worker."""


class InjectedError(Exception):
    """An attempt was made to fail by whoever watches the run."""


EXPORTS = (
    WorkflowEntrypoint,
    WorkerEntrypoint,
    Response,
    NonRetryableError,
    WorkflowTimeoutError,
    NonRetryableDelayError,
    StepError,
    WorkflowFatalError,
    NotSerialisableError,
    WorkerLost,
    InjectedError,
)


def install() -> None:
    """Make `import workers` and `from workers.workflows import …` work, as they do in Cloudflare's Python runtime."""
    module: Any = types.ModuleType("workers", "The workflow API.")
    inner = types.ModuleType("workers.workflows", "The workflow API.")
    for export in EXPORTS:
        setattr(module, export.__name__, export)
        setattr(inner, export.__name__, export)
    module.__path__ = []
    module.workflows = inner
    sys.modules["workers"] = module
    sys.modules["workers.workflows"] = inner
