"""`Client`: one server, and what it has to offer to whoever has no key: check, share, examples, instances."""

from collections.abc import Iterable, Sequence
from typing import Any, Self
from urllib.parse import quote

from playground.client.connection import PATIENCE_SECONDS, Connection
from playground.client.instances import NOTHING, Anonymous, anonymous
from playground.client.tenants import Operator, TenantClient
from playground.web.api.response_types import (
    CheckResult,
    Created,
    Inbox,
    InboxItem,
    Json,
    Snippet,
    SnippetCreated,
    Statuses,
    StatusRow,
)

IDS_AT_ONCE = 50  # that one question about statuses may name


class Client:
    """One server. Use it with `async with`.

    Args:
        server: its address, such as https://play.example.
        start_token: of a server without isolation: what it printed at its start.
        socket: the path of a Unix socket, where the server listens on one.
        patience: seconds that a stream waits for a server that is away.
        connection: another way to it, in place of all these.
    """

    def __init__(
        self,
        server: str,
        *,
        start_token: str = "",
        socket: str = "",
        patience: float = PATIENCE_SECONDS,
        connection: Connection | None = None,
    ) -> None:
        self._connection = connection or Connection(server, start_token=start_token, socket=socket, patience=patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is open to the server."""
        await self._connection.close()

    @property
    def server(self) -> str:
        """The server's address."""
        return self._connection.server

    async def check(self, source: str) -> CheckResult:
        """What is wrong with a source, and which steps it has; it is never run."""
        return await self._connection.ask("POST", "/api/check", CheckResult, {"source": source})

    async def create(
        self,
        source: str | None = None,
        *,
        snippet: str | None = None,
        example: str | None = None,
        params: Any = NOTHING,
        id: str | None = None,
        skip_sleeps: bool = False,
        tags: Sequence[str] = (),
        schedule: str | None = None,
    ) -> Anonymous:
        """Start an instance of one of source, snippet or example, found by its `tags`. With an `id` it may be repeated
        after a cut.

        Args:
            schedule: a cron expression, read in UTC; the instance stands for its next firing. An example that is fired
                by the clock has its own.

        Raises:
            SourceRefused: the source has errors.
            Conflict: there is one of this id.
        """
        given = {"source": source, "snippet": snippet, "example": example}
        body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        body |= {"params": params, "id": id, "skip_sleeps": skip_sleeps, "tags": [*tags]}
        if schedule is not None:
            body["schedule"] = schedule
        made = await self._connection.ask("POST", "/api/instances", Created, body)
        return anonymous(self._connection, made.id, made.control_token)

    def instance(self, id: str, token: str | None = None) -> Anonymous:
        """The handle of an instance that is no tenant's; nothing is asked."""
        return anonymous(self._connection, id, token)

    async def statuses(self, ids: Iterable[str]) -> list[StatusRow]:
        """How these instances stand; those that there are not are left out."""
        found: list[StatusRow] = []
        wanted = list(ids)
        for at in range(0, len(wanted), IDS_AT_ONCE):
            query = {"ids": ",".join(wanted[at : at + IDS_AT_ONCE])}
            found += (await self._connection.ask("GET", "/api/statuses", Statuses, query=query)).statuses
        return found

    async def inbox(self, ids: Iterable[str]) -> list[InboxItem]:
        """What waits for a person in these instances, which are no tenant's."""
        found: list[InboxItem] = []
        wanted = list(ids)
        for at in range(0, len(wanted), IDS_AT_ONCE):
            query = {"ids": ",".join(wanted[at : at + IDS_AT_ONCE])}
            found += (await self._connection.ask("GET", "/inbox", Inbox, query=query)).items
        return found

    async def share(self, source: str, params: Any = NOTHING) -> SnippetCreated:
        """Store code and its params; the same content has the same id for ever."""
        body = {"source": source, "params": params}
        return await self._connection.ask("POST", "/api/snippets", SnippetCreated, body)

    async def snippet(self, id: str) -> Snippet:
        """Code that was shared."""
        return await self._connection.ask("GET", f"/api/snippets/{quote(id, safe='')}", Snippet)

    async def examples(self) -> list[Json]:
        """The examples, without their source."""
        return list((await self._connection.ask("GET", "/api/examples", dict[str, list[Json]]))["examples"])

    async def example(self, slug: str) -> Json:
        """One example with its source."""
        return await self._connection.ask("GET", f"/api/examples/{quote(slug, safe='')}", Json)

    async def health(self) -> Json:
        """The server's version, isolation and load."""
        return await self._connection.ask("GET", "/healthz", Json)

    async def ready(self) -> None:
        """Return where the server can begin and run instances. Raises Unavailable with the reasons."""
        await self._connection.command("GET", "/readyz")

    def tenant(self, name: str, key: str) -> TenantClient:
        """What a tenant can do with one of its keys; nothing is asked."""
        return TenantClient(self._connection, name, key)

    def operator(self, token: str) -> Operator:
        """What the operator can do with the operator's token; nothing is asked."""
        return Operator(self._connection, token)
