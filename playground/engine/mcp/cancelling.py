"""Tasks at servers of tools whose run was terminated: they are cancelled there, since nobody will ask for their result.

The node that ended the run tries once, after the commit: a server that is away keeps its task until it ends by itself.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from playground.engine.bindings.mcp import ToolServers, open_client, open_tasks
from playground.engine.execution.context import Services
from playground.store.errors import StoreError
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import MCPError, WorkflowError

READ_AT_ONCE = 1_000  # events


async def cancel_tasks(services: Services, row: InstanceRow) -> None:
    """Cancel the tasks that a run has begun and not seen the end of."""
    try:
        tasks = open_tasks(await _calls(services, row))
    except StoreError as failed:
        services.log("task_not_cancelled", instance=row.key, error=f"{type(failed).__name__}: {failed}")
        return
    if not tasks:
        return
    try:
        env = (await services.sources.load(row)).env
    except Exception:  # noqa: BLE001 - a tenant's loader may raise anything, and the run has ended
        return
    servers = next((value for value in env.values() if isinstance(value, ToolServers)), None)
    if servers is None:
        return

    def limit(name: str) -> Any:
        return services.limit(row, name)

    for server, task in tasks:
        try:
            client, close = open_client(
                await servers.reached(server, services.outbound, services.trusted), limit, row.tenant or row.queue
            )
            async with close:
                await client.cancel_task(task)
        except (MCPError, WorkflowError) as failed:
            services.log("task_not_cancelled", instance=row.key, error=failed.code)


async def _calls(services: Services, row: InstanceRow) -> list[Mapping[str, Any]]:
    """The data of the events of its calls."""
    found: list[Mapping[str, Any]] = []
    after = 0
    while page := await services.store.events_json(
        row.key, after=after, limit=READ_AT_ONCE, types=frozenset({ev.MCP_CALLED})
    ):
        found += [msgspec.json.decode(text)["data"] for _, _, text in page]
        after = page[-1][0]
    return found
