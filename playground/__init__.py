"""Dynamic durable workflows in Python.

    async with playground.open_engine("sqlite:///workflows.db") as engine:
        dispatcher = playground.Dispatcher(engine, load)  # load(metadata) returns playground.Code
        await dispatcher.wrap_binding({"tenant": "acme"}).create(params={"name": "Ada"})

Names are imported when they are first used, since workers import this package too and do not need them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playground.library import *

__all__ = [
    "AI",
    "KV",
    "MCP",
    "Approvals",
    "Batch",
    "Binding",
    "BindingError",
    "CallContext",
    "CallLimits",
    "Code",
    "Dispatcher",
    "Effects",
    "Engine",
    "Fetch",
    "InstanceExpired",
    "InstanceStatus",
    "MissingDispatcherMetadataError",
    "NonRetryableError",
    "Page",
    "Queues",
    "Secrets",
    "StreamReset",
    "StreamValue",
    "Streams",
    "TenantLimits",
    "Workflow",
    "WorkflowError",
    "WorkflowInstance",
    "open_engine",
]


if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from playground import library

        return getattr(library, name)
