"""Services of tenants: what each has set about a model, or a server of tools, that its code reaches through a binding.

`kind` says which binding it is of, `name` is the tenant's own. The settings are JSON, which the engine checks and
reads. They name a secret of the tenant and never hold one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

AI, FETCH, MCP = "ai", "fetch", "mcp"  # kinds


class Service(NamedTuple):
    """One service of a tenant."""

    kind: str
    name: str
    settings: Mapping[str, Any]

    @property
    def secret(self) -> str | None:
        """The name of the tenant's secret that it is called with."""
        secret: str | None = self.settings.get("secret")
        return secret


class ServiceStore(Protocol):
    """Where services are kept. Calls that write are transactions, as those of `Store`."""

    async def put(self, tenant: str, service: Service, *, most: int) -> bool:
        """Add or replace a service. False: the tenant has `most` others of its kind, and nothing was changed."""

    async def of_tenant(self, tenant: str) -> Sequence[Service]:
        """A tenant's services, by kind and name."""

    async def delete(self, tenant: str, kind: str, name: str) -> bool:
        """Delete a service; whether there was one."""
