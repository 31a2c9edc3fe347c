"""What each tenant's code calls of its own: its model, and its servers of tools, within what the operator lets tenants
set (`ai_hosts`, `tools_hosts`).

What was set is kept as it was (`store/services.py`). It is held against the operator's settings when it is set, and
again at every call, so that a tightened setting, a changed secret or a removed service has effect at once. The secrets
that are sent are withheld from the code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from playground.engine.ai.budget import Budget
from playground.engine.ai.endpoint import Endpoint
from playground.engine.bindings import ai, mcp
from playground.engine.bindings.binding import Binding, CallContext
from playground.engine.bindings.mcp import Connected, ToolServers, check_tools, with_bearer
from playground.engine.bindings.secrets import Secrets
from playground.engine.mcp.client import ToolServer
from playground.outbound.client import Outbound
from playground.outbound.hosts import HostRule, Rules, read_rules
from playground.settings import BadSetting, Settings, setting_label
from playground.store.protocol import Store
from playground.store.services import AI, MCP, Service
from playground.workflows import names
from playground.workflows.errors import AIRequestError, InvalidService, MCPRequestError, ServiceNotFound

MODEL = "default"  # the one service of models that a tenant has
MODELS_MOST = 100
TOOLS_MOST = 500
NAME_LENGTH = 200  # characters of a model's or a tool's name
URL_LENGTH = 2_000
TOKENS_MOST = 10**12
NAMED = 5  # rules named in one message


class TenantServices:
    """The models and servers of tools of all tenants."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self.model_hosts = _rules(settings, "ai_hosts")
        self.tool_hosts = _rules(settings, "tools_hosts")

    async def of_kind(self, tenant: str, kind: str) -> list[Service]:
        """A tenant's services of a kind, by name."""
        return [service for service in await self._store.services.of_tenant(tenant) if service.kind == kind]

    async def named(self, tenant: str, kind: str, name: str) -> Service:
        """A service of a tenant. Raises ServiceNotFound."""
        for service in await self.of_kind(tenant, kind):
            if service.name == name:
                return service
        raise _missing(kind, name)

    async def put_model(self, tenant: str, settings: Mapping[str, Any]) -> Service:
        """Set where a tenant's models are: base_url, models, and tokens_per_day, tokens_per_run and secret, optional.

        Raises InvalidService.
        """
        try:
            url = ai.check_base_url(settings["base_url"])
            models = ai.check_models(settings["models"])
            rule = ai.rule_of(url)
        except ValueError as error:
            raise InvalidService(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
        _check_url(url)
        if len(models) > MODELS_MOST or any(len(model) > NAME_LENGTH for model in models):
            raise InvalidService(f"models has at most {MODELS_MOST} names of at most {NAME_LENGTH} characters.")
        for name in ("tokens_per_day", "tokens_per_run"):
            tokens = settings.get(name)
            if tokens is not None and not 0 <= tokens <= TOKENS_MOST:
                raise InvalidService(f"{name} is a whole number from 0 to {TOKENS_MOST:,}.")
        _check_possible(rule, self.model_hosts, "ai_hosts")
        await self._check_secret(tenant, settings)
        service = Service(AI, MODEL, {name: value for name, value in settings.items() if value is not None})
        await self._store.services.put(tenant, service, most=1)
        return service

    async def put_server(self, tenant: str, name: str, settings: Mapping[str, Any]) -> Service:
        """Set a server of tools: url, and secret and tools, optional. Raises InvalidService."""
        try:
            rule, tools = mcp.rule_of(settings["url"]), settings.get("tools")
            if tools is not None:
                check_tools(tools)
        except ValueError as error:
            raise InvalidService(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
        _check_url(settings["url"])
        if tools is not None and (len(tools) > TOOLS_MOST or any(len(tool) > NAME_LENGTH for tool in tools)):
            raise InvalidService(f"tools has at most {TOOLS_MOST} names of at most {NAME_LENGTH} characters.")
        _check_possible(rule, self.tool_hosts, "tools_hosts")
        await self._check_secret(tenant, settings)
        service = Service(MCP, names.check_name(name, "server"), {k: v for k, v in settings.items() if v is not None})
        most = self._settings.tool_servers_per_tenant
        if not await self._store.services.put(tenant, service, most=most):
            raise InvalidService(
                f"A tenant has at most {most:,} servers of tools. Delete one first.", setting="tool_servers_per_tenant"
            )
        return service

    async def delete(self, tenant: str, kind: str, name: str) -> None:
        """Remove a service. Raises ServiceNotFound."""
        if not await self._store.services.delete(tenant, kind, name):
            raise _missing(kind, name)

    async def bindings(self, tenant: str, secrets: Secrets) -> dict[str, Binding]:
        """What the tenant's code finds in `self.env`, with `SECRETS` without those that are sent."""
        sent = {service.secret for service in await self._store.services.of_tenant(tenant)} - {None}
        return {
            ai.AI_NAME: _Models(self, tenant),
            "MCP": _Tools(self, tenant, mcp.DEFAULT_SERVER),
            "MCPS": _Tools(self, tenant, None),
            "SECRETS": secrets.withholding({name for name in sent if name is not None}),
        }

    async def key_of(self, tenant: str, service: Service) -> str | None:
        """What a service is called with, "" for nothing; None: its secret is gone."""
        if service.secret is None:
            return ""
        return (await self._store.tenants.secrets(tenant)).get(service.secret)

    async def _check_secret(self, tenant: str, settings: Mapping[str, Any]) -> None:
        secret = settings.get("secret")
        if secret is not None and secret not in await self._store.tenants.secret_names(tenant):
            raise InvalidService(f"There is no secret {secret[:60]!r}. Set it first.")


class _Models(ai.OperatorModels):
    """A tenant's own models, and behind them the operator's."""

    def __init__(self, services: TenantServices, tenant: str) -> None:
        self._services, self._tenant = services, tenant

    async def providers(self, call: CallContext) -> Sequence[ai.Provider]:
        """See `Models`."""
        operators = await super().providers(call)
        found = await self._services.of_kind(self._tenant, AI)
        if not found:
            return operators
        settings, host = found[0].settings, call.host
        if not is_possible(ai.rule_of(settings["base_url"]), self._services.model_hosts):
            return operators
        key = await self._services.key_of(self._tenant, found[0])
        if key is None:
            raise AIRequestError(f"The secret {found[0].secret!r} of this tenant's models is gone. Set it again.")
        endpoint = Endpoint(settings["base_url"], key, tuple(settings["models"]))
        budget = Budget(
            settings.get("tokens_per_day", ai.NO_LIMIT), settings.get("tokens_per_run", ai.NO_LIMIT), is_own=True
        )
        return (ai.Provider(endpoint, budget, host.outbound), *operators)


class _Tools(ToolServers):
    """A tenant's servers of tools."""

    def __init__(self, services: TenantServices, tenant: str, default: str | None) -> None:
        super().__init__(default)
        self._services, self._tenant = services, tenant

    async def reached(self, server: str, outbound: Outbound, trusted: Outbound) -> Connected:
        """See `ToolServers`."""
        found = {service.name: service for service in await self._services.of_kind(self._tenant, MCP)}
        service = found.get(server)
        if service is None:
            there = ", ".join(found) or "none"
            raise MCPRequestError(f"This tenant has no server of tools {server[:80]!r}; there are {there}.")
        rule = mcp.rule_of(service.settings["url"])
        if not is_possible(rule, self._services.tool_hosts):
            raise MCPRequestError(f"The operator does not let tenants call {rule.host} any more.")
        key = await self._services.key_of(self._tenant, service)
        if key is None:
            raise MCPRequestError(f"The secret {service.secret!r} of the server {server!r} is gone. Set it again.")
        tools = service.settings.get("tools")
        allowed = None if tools is None else tuple(tools)
        return Connected(ToolServer(service.settings["url"], allowed), with_bearer(rule, key), outbound)


def is_possible(rule: HostRule, possible: Rules) -> bool:
    """Whether tenants may set what is reached under a rule."""
    return any(replace(one, methods=rule.methods).covers(rule) for one in possible)


def _check_possible(rule: HostRule, possible: Rules, setting: str) -> None:
    if not possible:
        raise InvalidService("The operator of this server lets tenants set none.", setting=setting)
    if not is_possible(rule, possible):
        named = ", ".join(map(str, possible[:NAMED])) + (" and others" if len(possible) > NAMED else "")
        raise InvalidService(f"{rule.host} is not among what the operator lets tenants call: {named}.", setting=setting)


def _check_url(url: str) -> None:
    if len(url) > URL_LENGTH:
        raise InvalidService(f"An address has at most {URL_LENGTH:,} characters.")


def _rules(settings: Settings, name: str) -> Rules:
    try:
        return read_rules(getattr(settings, name))
    except ValueError as error:
        raise BadSetting(f"{setting_label(name)}: {error}") from None


def _missing(kind: str, name: str) -> ServiceNotFound:
    what = "models of its own" if kind == AI else f"server of tools {name[:80]!r}"
    return ServiceNotFound(f"This tenant has no {what}.")
