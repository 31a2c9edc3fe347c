"""The classes of the `workers` module that tenants derive from, raise or catch; api.py makes the module."""

from typing import Any


class WorkflowEntrypoint:
    """The base class of a workflow: `self.env` holds its bindings, `self.ctx` the execution context."""

    def __init__(self, ctx: Any = None, env: Any = None) -> None:
        self.ctx = ctx
        self.env = env

    async def run(self, event: Any, step: Any) -> Any:
        """Override this. Called from the top in every execution; its return value is the instance's output."""
        raise NotImplementedError("a workflow needs its own `async def run(self, event, step)`")


class WorkerEntrypoint:
    """The base class of a Worker. None runs here, but a file that defines one besides its workflow must load."""

    def __init__(self, ctx: Any = None, env: Any = None) -> None:
        self.ctx = ctx
        self.env = env


class DurableObject(WorkerEntrypoint):
    """The base class of a Durable Object, which does not run here either."""


class NonRetryableError(Exception):
    """Raise it in a step to fail at once: the step is not tried again."""


class WorkflowTimeoutError(Exception):
    """An attempt, or a wait for an event, took longer than its timeout."""


class NonRetryableDelayError(NonRetryableError):
    """A step's delay function failed, timed out or returned something that is no delay."""


class AIError(Exception):
    """A model has given no usable answer to `env.AI.run`."""


class AIRateLimitError(AIError):
    """The endpoint takes no more calls now; `retry_after` is in seconds, None where it does not say."""

    retry_after: float | None = None


class AIUnavailableError(AIError):
    """The endpoint could not be reached, failed, was too slow or gave something that is no answer."""


class AIRequestError(AIError, NonRetryableError):
    """The call can't succeed as it is: its inputs, its model or the endpoint's key."""


class AIBudgetError(AIRequestError):
    """The call may take more tokens than are left for the run, or for the tenant today."""


class MCPError(Exception):
    """A server of tools has given no usable answer to `env.MCP`. A tool's own error is a result with `isError`."""


class MCPUnavailableError(MCPError):
    """The server could not be reached, failed, was too slow or gave something that is no answer."""


class MCPRequestError(MCPError, NonRetryableError):
    """The call can't succeed as it is: its tool, its arguments or the credentials."""


class StepError(Exception):
    """A stored error whose own type is no longer in the code."""


class WorkflowFatalError(Exception):
    """The workflow broke a rule of the platform: a name, a limit or a value that can't be stored. Never retried."""


class NotSerialisableError(WorkflowFatalError):
    """A value can't be stored; the message names its path and type."""


class WorkerLost(Exception):
    """An attempt was lost with its worker."""


class InjectedError(Exception):
    """A person injected this failure into an attempt."""


EXPORTS = (
    WorkflowEntrypoint,
    WorkerEntrypoint,
    DurableObject,
    NonRetryableError,
    WorkflowTimeoutError,
    NonRetryableDelayError,
    AIError,
    AIRateLimitError,
    AIUnavailableError,
    AIRequestError,
    AIBudgetError,
    MCPError,
    MCPUnavailableError,
    MCPRequestError,
    StepError,
    WorkflowFatalError,
    NotSerialisableError,
    WorkerLost,
    InjectedError,
)
