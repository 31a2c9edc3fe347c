"""What a tenant does with its key, and the operator with the operator's token."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from playground.client.connection import Connection
from playground.client.instances import NOTHING, RunOf, StepRef
from playground.web.api.response_types import (
    Bulk,
    Bulks,
    Deployed,
    Inbox,
    InboxItem,
    Json,
    Listing,
    Matches,
    Message,
    MessageQueue,
    MessageQueues,
    Messages,
    Schedule,
    Schedules,
    TenantCreated,
    TenantKey,
    Tenants,
    Version,
    Workflows,
)
from playground.workflows.names import CLASS_NAME, MAIN_WORKFLOW

T = TypeVar("T")


class OfTenant(RunOf):
    """An instance of a tenant."""

    async def fork(
        self, from_step: StepRef | None = None, *, output: Any = NOTHING, source: str | None = None
    ) -> "OfTenant":
        """A new instance from what this one has finished before a step; `output` is that step's result instead."""
        body = self._fork_body(from_step, output, source)
        made = await self._connection.ask("POST", f"{self.address}/fork", TenantCreated, body, token=self.token)
        beside = self.address.rpartition("/")[0]
        return OfTenant(self._connection, f"{beside}/{quote(made.id, safe='')}", made.id, self.token)


class TenantClient:
    """A tenant's workflows, instances, schedules, queues and secrets."""

    def __init__(self, connection: Connection, name: str, key: str) -> None:
        self._connection, self.name, self._key = connection, name, key
        self._base = f"/api/tenants/{quote(name, safe='')}"

    async def deploy(
        self,
        source: str,
        workflow: str = MAIN_WORKFLOW,
        *,
        class_name: str = CLASS_NAME,
        warm: bool = False,
        limits: Mapping[str, Any] | None = None,
        retention: Mapping[str, Any] | None = None,
    ) -> Deployed:
        """Make code the newest version of a workflow. Raises SourceRefused."""
        body = {"source": source, "class_name": class_name, "warm": warm, "limits": dict(limits or {})}
        if retention is not None:
            body["retention"] = dict(retention)
        return await self._ask("PUT", f"/workflows/{_quoted(workflow)}", Deployed, body)

    async def workflows(self) -> list[Version]:
        """The workflows by name, each with its newest version."""
        return (await self._ask("GET", "/workflows", Workflows)).workflows

    async def create(
        self, params: Any = NOTHING, *, workflow: str | None = None, id: str | None = None, **flow: Any
    ) -> OfTenant:
        """Start an instance. `flow`: version, key, delay, priority, singleton, debounce, limits, retention, tags."""
        body = {"params": params, "workflow": workflow, "id": id, **flow}
        made = await self._ask("POST", "/instances", TenantCreated, body)
        return self.instance(made.id)

    async def inbox(self) -> list[InboxItem]:
        """What waits for a person in the tenant's instances."""
        found: list[InboxItem] = []
        before: str | None = None
        while True:
            query = {"before": before}
            page = await self._connection.ask("GET", "/inbox", Inbox, token=self._key, query=query)
            found += page.items
            before = page.before
            if before is None:
                return found

    def instance(self, id: str) -> OfTenant:
        """The handle of an instance; nothing is asked."""
        return OfTenant(self._connection, f"{self._base}/instances/{_quoted(id)}", id, self._key)

    async def instances(
        self, *, before: str | None = None, limit: int = 50, **filter: str | int | Sequence[str] | None
    ) -> Listing:
        """Instances, newest first; `before` is that of the page before, which may have found fewer than `limit`.

        `filter`: status, tag, workflow, version, waiting_for, error, text, since, until (docs/search.md).
        """
        query = {**filter, "before": before, "limit": limit}
        return await self._connection.ask("GET", f"{self._base}/instances", Listing, token=self._key, query=query)

    # Operations on many instances.

    async def try_bulk(self, **asked: Any) -> Matches:
        """What an operation would be about now: as `begin_bulk`, but nothing is done."""
        return await self._ask("POST", "/bulk", Matches, {**asked, "dry_run": True})

    async def begin_bulk(self, operation: str, filter: Mapping[str, Any], **more: Any) -> Bulk:
        """Begin an operation on all instances that fit: terminate, pause, resume, restart, fork or delete.

        `filter`: as of `instances`. `more`: rollback, from_step, version.
        """
        return await self._ask("POST", "/bulk", Bulk, {"operation": operation, "filter": filter, **more})

    async def bulk(self, id: str) -> Bulk:
        """How an operation stands."""
        return await self._ask("GET", f"/bulk/{_quoted(id)}", Bulk)

    async def bulks(self) -> list[Bulk]:
        """The operations that run, and some that have ended, newest first."""
        return (await self._ask("GET", "/bulk", Bulks)).bulks

    async def stop_bulk(self, id: str) -> Bulk:
        """Stop an operation half way."""
        return await self._ask("POST", f"/bulk/{_quoted(id)}/stop", Bulk)

    # Schedules.

    async def schedules(self) -> list[Schedule]:
        """The schedules, by name."""
        return (await self._ask("GET", "/schedules", Schedules)).schedules

    async def schedule(self, name: str) -> Schedule:
        """One schedule with its next five times."""
        return await self._ask("GET", f"/schedules/{_quoted(name)}", Schedule)

    async def put_schedule(self, name: str, cron: str, **more: Any) -> Schedule:
        """Add or replace a schedule. `more`: workflow, timezone, params, missed, paused."""
        return await self._ask("PUT", f"/schedules/{_quoted(name)}", Schedule, {"cron": cron, **more})

    async def pause_schedule(self, name: str, *, paused: bool = True) -> Schedule:
        """Fire no more, or go on."""
        return await self._ask("POST", f"/schedules/{_quoted(name)}/{'pause' if paused else 'resume'}", Schedule)

    async def run_schedule(self, name: str) -> OfTenant:
        """Start an instance at once."""
        made = await self._ask("POST", f"/schedules/{_quoted(name)}/run", Json)
        return self.instance(made["id"])

    async def delete_schedule(self, name: str) -> None:
        """Delete a schedule."""
        await self._command("DELETE", f"/schedules/{_quoted(name)}")

    # Queues of messages.

    async def queues(self) -> list[MessageQueue]:
        """The queues, by name, with how many messages are where."""
        return (await self._ask("GET", "/queues", MessageQueues)).queues

    async def put_queue(self, name: str, **settings: Any) -> MessageQueue:
        """Make or change a queue. `settings`: consumer, max_batch_size, max_retries, … as the API has them."""
        return await self._ask("PUT", f"/queues/{_quoted(name)}", MessageQueue, settings)

    async def send_message(self, queue: str, body: Any, *, delay_seconds: float | None = None) -> str:
        """Send a message; returns its id once it is on disk."""
        given = {"body": body, "delay_seconds": delay_seconds}
        made = await self._ask("POST", f"/queues/{_quoted(queue)}/messages", Json, given)
        return str(made["messages"][0]["id"])

    async def dead_messages(self, queue: str) -> list[Message]:
        """The dead messages of a queue, at most 100."""
        return (await self._ask("GET", f"/queues/{_quoted(queue)}/dead", Messages)).messages

    async def retry_message(self, queue: str, id: str) -> None:
        """Send a dead message again."""
        await self._command("POST", f"/queues/{_quoted(queue)}/dead/{_quoted(id)}/retry")

    async def delete_message(self, queue: str, id: str) -> None:
        """Delete a dead message."""
        await self._command("DELETE", f"/queues/{_quoted(queue)}/dead/{_quoted(id)}")

    async def delete_queue(self, name: str) -> None:
        """Delete a queue and its messages."""
        await self._command("DELETE", f"/queues/{_quoted(name)}")

    # Secrets.

    async def secret_names(self) -> list[Any]:
        """The names of the secrets; no answer has their values."""
        return list((await self._ask("GET", "/secrets", dict[str, list[Any]]))["secrets"])

    async def set_secret(self, name: str, value: str) -> None:
        """Set a secret, which code reads from its next execution on."""
        await self._command("PUT", f"/secrets/{_quoted(name)}", {"value": value})

    async def remove_secret(self, name: str) -> None:
        """Remove a secret."""
        await self._command("DELETE", f"/secrets/{_quoted(name)}")

    async def _ask(self, method: str, path: str, type: type[T], body: Any = NOTHING) -> T:
        return await self._connection.ask(method, self._base + path, type, body, token=self._key)

    async def _command(self, method: str, path: str, body: Any = NOTHING) -> None:
        await self._connection.command(method, self._base + path, body, token=self._key)


class Operator:
    """All tenants, for the operator."""

    def __init__(self, connection: Connection, token: str) -> None:
        self._connection, self._token = connection, token

    async def tenants(self, *, after: str = "", limit: int = 200) -> Tenants:
        """Tenants by name, each with its instances by status."""
        query = {"after": after, "limit": limit}
        return await self._connection.ask("GET", "/tenants", Tenants, token=self._token, query=query)

    async def make_key(self, tenant: str, name: str = "") -> TenantKey:
        """Make a key, and the tenant if it is new."""
        body = {"name": name}
        return await self._connection.ask(
            "POST", f"/api/tenants/{_quoted(tenant)}/keys", TenantKey, body, token=self._token
        )

    async def delete_tenant(self, tenant: str, *, end: bool = False) -> int:
        """Remove a tenant with everything it has; returns how many instances went with it."""
        query = {"end": "true" if end else "false"}
        path = f"/api/tenants/{_quoted(tenant)}"
        found = await self._connection.ask("DELETE", path, Json, token=self._token, query=query)
        return int(found["instances"])


def _quoted(text: str) -> str:
    return quote(text, safe="")
