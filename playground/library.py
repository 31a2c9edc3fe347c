"""For programs that embed the engine: the names that `import playground` has, and `open_engine`."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator
from typing import Any

from playground.engine.bindings.ai import AI
from playground.engine.bindings.approvals import Approvals
from playground.engine.bindings.binding import Binding, CallContext, CallLimits
from playground.engine.bindings.effects import Effects
from playground.engine.bindings.fetch import Fetch
from playground.engine.bindings.kv import KV
from playground.engine.bindings.mcp import MCP
from playground.engine.bindings.secrets import Secrets
from playground.engine.bindings.streams import Streams
from playground.engine.bindings.workflows import Workflow
from playground.engine.clock import SystemClock
from playground.engine.code.dispatcher import Dispatcher
from playground.engine.code.dispatcher_queues import Queues
from playground.engine.code.sources import Code
from playground.engine.engine import Engine
from playground.engine.execution.context import Log
from playground.engine.ids import SystemIds
from playground.engine.instances import Batch, InstanceStatus, Page, WorkflowInstance
from playground.engine.queues import TenantLimits
from playground.log_lines import INFO, RateLimitedLog
from playground.opening import open_configured_sandbox, open_configured_store
from playground.settings import BadSetting, Settings, parse_setting
from playground.workflows.errors import (
    BindingError,
    InstanceExpired,
    MissingDispatcherMetadataError,
    NonRetryableError,
    WorkflowError,
)
from playground.workflows.streams import StreamReset, StreamValue

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

LOGGER = "playground"


@contextlib.asynccontextmanager
async def open_engine(
    database: str = "sqlite:///workflows.db", *, log: Log | None = None, **settings: Any
) -> AsyncIterator[Engine]:
    """An engine on a database, with isolated workers of its own.

    Unfinished instances resume at once; those that are unfinished at the end can be resumed later. Create the
    dispatchers right after the engine is open: their instances wait until then.

    Args:
        database: `sqlite:///relative.db` or `sqlite:////absolute.db`, of one process at a time, or
            `postgresql://user@host/database`, which any number of processes share.
        log: called with `(event, **fields)` for each event that an operator must know; by default the logger
            "playground" of the `logging` module.
        settings: rows of `playground.settings.Settings` to change, for example `workers=8`. The default of
            `retention_days` is None here: finished instances are kept until they are deleted.

    Raises:
        BadSetting: there is no such setting, its value is invalid, or the keys for secrets can't be used.
        StoreError: the database can't be used, or a key for its secrets is missing.
        SandboxRefused: tenant code can't be isolated well enough here; the message says what to do.
    """
    chosen = _settings(database, settings)
    log = log or RateLimitedLog(_to_logging)
    async with contextlib.AsyncExitStack() as opened:
        store = await asyncio.to_thread(open_configured_store, chosen, log)
        opened.push_async_callback(store.close)
        sandbox = await open_configured_sandbox(chosen, log)
        opened.push_async_callback(sandbox.close)
        yield await opened.enter_async_context(
            Engine.open(
                settings=chosen,
                store=store,
                sandbox=sandbox,
                clock=SystemClock(),
                ids=SystemIds(),
                log=log,
            )
        )


def _settings(database: str, given: dict[str, Any]) -> Settings:
    known = {row.name for row in dataclasses.fields(Settings)}
    given = {"retention_days": None} | given
    if given["retention_days"] is None:
        given["retention_days"] = 0  # for ever
    for name in given:
        if name not in known:
            raise BadSetting(f"there is no setting {name!r}; there are: {', '.join(sorted(known))}")
    return Settings(database=database, **{name: parse_setting(name, str(value), name) for name, value in given.items()})


def _to_logging(event: str, **fields: Any) -> None:
    failure = fields.pop("exc_info", None)
    level = logging.getLevelNamesMapping()[fields.pop("level", INFO).upper()]
    details = " ".join(f"{name}={value!r}" for name, value in fields.items())
    logging.getLogger(LOGGER).log(level, "%s %s", event, details, exc_info=failure)
