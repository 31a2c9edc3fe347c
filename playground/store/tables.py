"""Protocols of the tables that are not journals: keys and values, the ledger of effects, tenants, API keys and usage.

`Store` has one attribute for each. Times are epoch milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from playground.store.audit import AuditRow
from playground.store.encryption import Keyring
from playground.store.rows import Awaited, AwaitedChild
from playground.workflows.names import CLASS_NAME, MAIN_WORKFLOW

# Outcomes of `TenantStore.deploy` that change nothing: the tenant has as many as it may.
VERSIONS_FULL = "versions"
WORKFLOWS_FULL = "workflows"
# Outcomes of `TenantStore.delete_version`.
GONE = "gone"
NEWEST = "newest"
NEEDED = "needed"
MISSING = "missing"

ROW_BYTES = 64  # what a key counts in addition to its own bytes and its value's


class Scope(NamedTuple):
    """The namespace of keys and effects: a tenant's, or that of one instance without a tenant (tenant "").

    `instance` is 0 for a tenant.
    """

    tenant: str
    instance: int


class ScopeOwner(Protocol):
    """The part of an instance's row that determines its scope."""

    @property
    def tenant(self) -> str:
        """The instance's tenant, "" for none."""

    @property
    def key(self) -> int:
        """The store's own number for it."""


def scope_of(row: ScopeOwner) -> Scope:
    """The scope that an instance's code reads and writes."""
    return Scope(row.tenant, 0 if row.tenant else row.key)


class KvStore(Protocol):
    """Keys and values as committed.

    Architecture Invariant: only `kv_put` and `kv_deleted` events write them, in the events' transaction.
    """

    async def get(self, scope: Scope, key: str) -> tuple[bool, Any]:
        """Whether the key exists, and its encoded value."""

    async def keys(self, scope: Scope, *, prefix: str, after: str, limit: int) -> list[str]:
        """Keys that start with `prefix` and sort after `after`, in order."""

    async def bytes(self, scope: Scope) -> int:
        """Bytes that the scope's keys and values use."""


@dataclass(frozen=True, slots=True)
class NewEffect:
    """A simulated side effect. `data` is encoded; `key` is an idempotency key, unique per scope and kind."""

    scope: Scope
    instance: int
    kind: str
    key: str | None
    data: Any
    step: str | None
    attempt: int | None
    execution: int


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A recorded effect. `number` counts an instance's effects from 1; `asked` counts the requests for it."""

    number: int
    at: int
    kind: str
    key: str | None
    data: Any
    step: str | None
    attempt: int | None
    execution: int
    asked: int


class EffectStore(Protocol):
    """The ledger of simulated side effects: outside any journal's transaction, as real side effects are."""

    async def record(self, effect: NewEffect, *, at: int, most: int) -> EffectRow | None:
        """Record an effect. Where its key exists in its scope and kind, nothing is recorded and the first is returned.

        Of concurrent calls with one key, one records. Numbers of an instance count from 1 without a gap. None: the
        instance has `most` effects already.

        Raises:
            InstanceNotFound: the instance has been deleted.
        """

    async def of_instance(self, instance: int) -> list[EffectRow]:
        """The effects of an instance, oldest first."""

    async def change_counters(self, instance: int) -> tuple[int, int]:
        """The number of an instance's effects and of requests for them: while both are unchanged, so is the result of
        `of_instance`.
        """


class FamilyStore(Protocol):
    """The children that are waited for (engine/families.py). `Store.create` adds those that say so."""

    async def of(self, keys: Sequence[int]) -> Sequence[AwaitedChild]:
        """Those among these instances, and those of these parents, as of the last commit."""

    async def after(self, key: int, limit: int) -> Sequence[AwaitedChild]:
        """Those with a key over `key`, in order."""

    async def add(self, key: int, awaited: Awaited) -> None:
        """Have an instance waited for; one that is already stays as it is."""

    async def forget(self, keys: Sequence[int]) -> None:
        """What these stood for has been done."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Code to deploy as the newest version of a tenant's workflow; the fields are those of `Version`."""

    source: str
    class_name: str = CLASS_NAME
    workflow: str = MAIN_WORKFLOW
    warm: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)
    retention: Mapping[str, int] = field(default_factory=dict)
    tool: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable version of one of a tenant's workflows.

    `id` is unique in the tenant: the hash of source and class name, of the workflow's name too unless that is the main
    one, and of the number where older code is deployed again. `number` counts from 1 per workflow. `warm`: a worker may
    serve several instances of it. `limits` are settings that are tighter for its instances, `retention` is how long in
    milliseconds they are kept, by how they end. `tool` is what the check of its code found for callers of it as a tool
    (engine/code/tool_signature.py), which follows from the code and so makes no other version.
    """

    number: int
    id: str
    source: str
    class_name: str
    created_at: int
    warm: bool = False
    workflow: str = MAIN_WORKFLOW
    limits: Mapping[str, Any] = field(default_factory=dict)
    retention: Mapping[str, int] = field(default_factory=dict)
    tool: Mapping[str, Any] = field(default_factory=dict)

    def is_same_code(self, new: NewVersion) -> bool:
        """Whether deploying this would make a version that differs from this one in nothing."""
        mine = (self.source, self.class_name, self.workflow, self.warm, self.limits, self.retention)
        return mine == (new.source, new.class_name, new.workflow, new.warm, new.limits, new.retention)


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A tenant's API key, of which only the hash is stored. `name` is for people."""

    tenant: str
    number: int
    name: str
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant. `trigger_hash` is the hash of the secret in its trigger's URL, None without a trigger."""

    name: str
    created_at: int
    trigger_hash: str | None


class TenantStore(Protocol):
    """Tenants with the versions of their code, their keys, secrets and trigger."""

    async def tenant(self, name: str) -> TenantRow | None:
        """The tenant of this name."""

    async def all(self, *, after: str, limit: int) -> Sequence[TenantRow]:
        """Tenants by name, from after `after`."""

    async def key(self, hash: str) -> TenantKey | None:
        """The key with this hash, revoked or not."""

    async def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        """Add a key to a tenant, which is created if missing; returns its number, one more than the last."""

    async def keys(self, tenant: str) -> Sequence[TenantKey]:
        """The tenant's keys by number, revoked ones too."""

    async def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        """Revoke a key for good; whether it exists. A key that is revoked already keeps its time."""

    async def deploy(
        self, tenant: str, new: NewVersion, *, at: int, most: int, workflows_most: int
    ) -> tuple[Version, bool] | str:
        """Make code the newest version of its workflow, unless it is that already. Returns it, and whether it is new.

        The tenant is created if missing. Numbers grow; reading and writing are atomic. A tenant keeps at most `most`
        versions of all its workflows: the oldest that no unfinished instance needs are deleted, but no workflow's
        newest. `VERSIONS_FULL`: none may be deleted; `WORKFLOWS_FULL`: it would be one more workflow than
        `workflows_most`. Then nothing was changed.
        """

    async def delete_version(self, tenant: str, id: str) -> str:
        """Delete a version, unless it is the newest of several of its workflow, or an unfinished instance needs it.

        With its only version a workflow is gone. Returns `GONE`, `NEWEST`, `NEEDED` or `MISSING`.
        """

    async def close(self, tenant: str) -> None:
        """Delete a tenant's keys, trigger and versions, so that no new instance starts."""

    async def remove(self, tenant: str) -> None:
        """Delete everything else of a tenant without instances: secrets, keys and values, used ids, and the tenant."""

    async def version(self, tenant: str, id: str) -> Version | None:
        """The version of the tenant that has this id."""

    async def newest_version(self, tenant: str, workflow: str = MAIN_WORKFLOW) -> Version | None:
        """The version that new instances of a workflow get."""

    async def workflows(self, tenant: str) -> Sequence[Version]:
        """The newest version of each workflow, by the workflows' names, without their source."""

    async def versions(
        self, tenant: str, workflow: str = MAIN_WORKFLOW, *, before: int | None = None, limit: int
    ) -> Sequence[Version]:
        """Versions of a workflow with a number under `before`, newest first, without their source."""

    async def set_trigger(self, tenant: str, hash: str | None) -> None:
        """Set or remove the hash of the trigger's secret."""

    async def set_secret(self, tenant: str, name: str, value: str | None, *, most: int | None = None) -> bool:
        """Set a secret, or remove it with None.

        False: the tenant has `most` secrets already, and nothing was changed.
        """

    async def secrets(self, tenant: str) -> dict[str, str]:
        """The tenant's secrets, by name.

        Raises:
            CannotDecrypt: one is encrypted with a key that this server lacks.
        """

    async def secret_names(self, tenant: str) -> list[str]:
        """The names of the tenant's secrets; needs no encryption key."""


class KeyAdmin(Protocol):
    """Key management for operators' commands, on a database that a server may have open.

    Every method blocks, since a command has no event loop; when it returns, the server sees its effect. `is_served`:
    a server had the database open when this was opened.
    """

    is_served: bool

    def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        """As `TenantStore.add_key`, with its entry in the audit log."""

    def keys(self, tenant: str) -> Sequence[TenantKey]:
        """As `TenantStore.keys`."""

    def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        """As `TenantStore.revoke_key`, with its entry in the audit log."""

    def audit(self, tenant: str | None, *, limit: int) -> Sequence[AuditRow]:
        """As `AuditStore.entries`."""

    def reencrypt(self, keyring: Keyring) -> tuple[int, Sequence[str]]:
        """Encrypt with the newest key everything that older keys encrypted, all or nothing.

        Returns the number of values, and the ids of the keys that nothing needs any more.

        Raises:
            StoreError: a server has the database open without the newest key, or a value is encrypted with a key that
                is not in `keyring`.
        """

    def forget_secrets_key(self, id: str) -> Sequence[tuple[str, str]] | None:
        """Delete what a lost key encrypted, so that a server starts without it. Only while no server has it open.

        Returns the (tenant, name) of the deleted secrets; None: no such key was used.
        """


class Claim(NamedTuple):
    """An amount that is to be used of a limit by a key, which may use `most` of it in a unit of time."""

    limit: str
    key: str
    unit: int
    amount: int
    most: int


class UsageStore(Protocol):
    """Usage counters of limits that all nodes share: per limit, per key (an address, a tenant), per unit of time.

    Each limit defines the length of its unit.
    """

    async def add(
        self, used: Mapping[tuple[str, str, int], int], *, since: Mapping[tuple[str, str], int], kept: Mapping[str, int]
    ) -> Mapping[tuple[str, str], Sequence[tuple[int, int]]]:
        """Add amounts to (limit, key, unit), all or none.

        Returns the new amounts of each limit and key in `since`, as (unit, amount), oldest first.

        Args:
            since: the first unit to return, by limit and key.
            kept: the first unit to keep, by limit; older ones are deleted.
        """

    async def take(self, claims: Sequence[Claim]) -> tuple[Claim, int] | None:
        """Use all of these amounts, or none.

        Returns the first claim that is over its `most`, and how much its key has used without it; None: all were used.
        """

    async def probe(self) -> None:
        """Write a row that changes nothing, as a health check. Raises StoreError."""

    async def amounts(self, limit: str, key: str, *, since: int) -> Sequence[tuple[int, int]]:
        """The usage of a limit by a key since a unit, as (unit, amount), oldest first."""
