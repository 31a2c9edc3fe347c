"""What each tenant's code may ask with `fetch`: its own list, within what the operator lets tenants allow.

A list is kept as it was set, one of the tenant's services (`store/services.py`). It is held against the operator's
settings when it is set, and again whenever code is loaded: an entry that a tightened setting does not cover any more,
or whose secret is gone, lets nothing pass. Secrets that the list sends are withheld from the code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from playground.engine.bindings.fetch import (
    Fetch,
    operators_rules,
    read_entry,
    tenants_rules,
    with_credentials,
)
from playground.engine.bindings.secrets import Secrets
from playground.outbound.hosts import HostRule
from playground.settings import Settings
from playground.store import services
from playground.store.services import Service, ServiceStore
from playground.workflows.errors import InvalidFetch

LIST = "allow"  # the one list of a tenant
NAMED = 5  # rules named in one message

Entry = Mapping[str, Any]


class FetchBindings(TypedDict):
    """What a tenant's code finds in `self.env` of it."""

    FETCH: Fetch
    SECRETS: Secrets


class FetchLists:
    """The lists of all tenants."""

    def __init__(self, store: ServiceStore, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self.everybodys, self.possible = operators_rules(settings), tenants_rules(settings)

    async def entries(self, tenant: str) -> Sequence[Entry]:
        """The tenant's own list."""
        for service in await self._store.of_tenant(tenant):
            if service.kind == services.FETCH:
                kept: Sequence[Entry] = service.settings["allow"]
                return kept
        return ()

    async def put(self, tenant: str, entries: Sequence[Entry], secret_names: Sequence[str]) -> None:
        """Replace a tenant's list.

        Raises:
            InvalidFetch: there are too many entries, one can't be used, or is beyond what the operator allows.
        """
        most = self._settings.fetch_rules
        if len(entries) > most:
            raise InvalidFetch(f"A list has at most {most:,} hosts, not {len(entries):,}.", setting="fetch_rules")
        for entry in entries:
            try:
                rule = read_entry(entry)
            except ValueError as error:
                raise InvalidFetch(str(error)) from None
            self._check_possible(rule)
            secret = entry.get("secret")
            if secret is not None and secret not in secret_names:
                raise InvalidFetch(f"There is no secret {secret[:60]!r}. Set it first.")
        await self._store.put(tenant, Service(services.FETCH, LIST, {"allow": [dict(it) for it in entries]}), most=1)

    async def delete(self, tenant: str) -> None:
        """Remove a tenant's list."""
        await self._store.delete(tenant, services.FETCH, LIST)

    async def bindings(self, tenant: str, secrets: Mapping[str, str]) -> "FetchBindings":
        """The tenant's `FETCH`, and its `SECRETS` without those that are sent."""
        rules, sent = [], set()
        for entry in await self.entries(tenant):
            name = entry.get("secret")
            if name is not None:
                sent.add(name)
            try:
                rule = with_credentials(read_entry(entry), entry, secrets)
            except ValueError:
                continue  # its secret has been removed, or changed to what no header may have
            if self._is_possible(rule):
                rules.append(rule)
        return {"FETCH": Fetch([*rules, *self.everybodys]), "SECRETS": Secrets(secrets, withheld=sent)}

    def _is_possible(self, rule: HostRule) -> bool:
        return any(possible.covers(rule) for possible in self.possible)

    def _check_possible(self, rule: HostRule) -> None:
        if not self._is_possible(rule):
            named = ", ".join(map(str, self.possible[:NAMED])) + (" and others" if len(self.possible) > NAMED else "")
            raise InvalidFetch(
                f"{rule} is not among what the operator lets tenants allow, which is: {named}.", setting="fetch_tenants"
            )
