"""What a store keeps beside the journals: tenants' keys and values, the ledger of effects, and tenants with their code
and keys.

Each is a small protocol of its own; `Store` names the parts. Times are epoch milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from playground.store.encryption import Keyring

# What becomes of a version that is to be deleted.
GONE = "gone"
NEWEST = "newest"
NEEDED = "needed"
MISSING = "missing"

ROW_BYTES = 64  # what a key counts beside its own bytes and its value's


class Scope(NamedTuple):
    """Whose keys and effects: a tenant's, or, where nobody owns it (tenant ""), one instance's own.

    `instance` is 0 for a tenant.
    """

    tenant: str
    instance: int


class Owned(Protocol):
    """The row of an instance."""

    @property
    def tenant(self) -> str:
        """Whose it is, "" when nobody's."""

    @property
    def key(self) -> int:
        """The store's own number for it."""


def scope_of(row: Owned) -> Scope:
    """The scope that an instance's code reads and writes."""
    return Scope(row.tenant, 0 if row.tenant else row.key)


class KvStore(Protocol):
    """Keys and values as committed.

    They are written by `kv_put` and `kv_deleted` events only, in the events' transaction.
    """

    async def get(self, scope: Scope, key: str) -> tuple[bool, Any]:
        """Whether the key is there, and its encoded value."""

    async def keys(self, scope: Scope, *, prefix: str, after: str, limit: int) -> list[str]:
        """Keys that begin with `prefix` and come after `after`, in order."""

    async def bytes(self, scope: Scope) -> int:
        """What the scope's keys and values take."""


@dataclass(frozen=True, slots=True)
class NewEffect:
    """A pretended side effect as it happens. `data` is encoded; `key` makes it happen once per scope and kind."""

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
    """An effect that happened. `number` counts an instance's effects from 1; `asked` is how often it was asked for."""

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
    """The ledger of pretended side effects: not part of any journal's transaction, as no real side effect is."""

    async def record(self, effect: NewEffect, *, at: int, most: int) -> EffectRow | None:
        """Let it happen; one whose key is known in its scope and kind does not happen again and gives the first.

        Of calls at once with one key, one happens. Numbers of an instance count from 1 without a gap. None: the
        instance has `most` already.

        Raises:
            InstanceNotFound: the instance has been deleted.
        """

    async def of(self, instance: int) -> list[EffectRow]:
        """The effects of an instance, in the order they happened."""

    async def edition(self, instance: int) -> tuple[int, int]:
        """How many effects an instance has had, and how often one was asked for: when both are the same, so is what
        `of` gives.
        """


@dataclass(frozen=True, slots=True)
class Version:
    """A tenant's code, immutable.

    `id` is the hash of source and class name, and of the number where older code came back; `number` counts from 1 per
    tenant.
    """

    number: int
    id: str
    source: str
    class_name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A tenant's key, of which only the hash is kept. `name` is for people; `hash` finds it."""

    tenant: str
    number: int
    name: str
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant. `trigger_hash` is that of the secret in its trigger's address, None without one."""

    name: str
    created_at: int
    trigger_hash: str | None


class TenantStore(Protocol):
    """Tenants with the versions of their code, their keys, secrets and trigger."""

    async def tenant(self, name: str) -> TenantRow | None:
        """The tenant of this name."""

    async def all(self, *, after: str, limit: int) -> Sequence[TenantRow]:
        """Tenants by name, those after `after`."""

    async def key(self, hash: str) -> TenantKey | None:
        """The key with this hash, revoked or not."""

    async def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        """Give a tenant, which is made if it is not there, one more key; gives its number, one more than the last."""

    async def keys(self, tenant: str) -> Sequence[TenantKey]:
        """The tenant's keys by number, revoked ones too."""

    async def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        """Take a key back for good; whether there is one of this number. One that is revoked keeps its time."""

    async def deploy(
        self, tenant: str, source: str, class_name: str, *, at: int, most: int
    ) -> tuple[Version, bool] | None:
        """Make code the tenant's newest version; what is the newest already stays it. Gives it, and whether it is new.

        The tenant is made if it is not there. Numbers grow, and no other call comes between looking and writing. A new
        version is at most the `most`-th: the oldest that no unfinished instance needs go. None: nothing may go, and
        nothing was changed.
        """

    async def delete_version(self, tenant: str, id: str) -> str:
        """Remove a version, unless it is the newest or an unfinished instance needs it; says which (`GONE`, `NEWEST`,
        `NEEDED`, `MISSING`).
        """

    async def close(self, tenant: str) -> None:
        """Take a tenant's keys, trigger and versions away, so that nothing new begins."""

    async def remove(self, tenant: str) -> None:
        """Take away everything else of a tenant that has no instances: secrets, keys and values, used ids,
        and itself.
        """

    async def version(self, tenant: str, id: str) -> Version | None:
        """A version of the tenant's own; with the id "" the newest."""

    async def versions(self, tenant: str, *, before: int | None = None, limit: int) -> Sequence[Version]:
        """Versions with a number under `before`, newest first, without their source."""

    async def set_trigger(self, tenant: str, hash: str | None) -> None:
        """Set or remove the hash of the trigger's secret."""

    async def set_secret(self, tenant: str, name: str, value: str | None, *, most: int | None = None) -> bool:
        """Set a secret, or remove it with None.

        False: it would be one more than the `most` that the tenant may have, and nothing was changed.
        """

    async def secrets(self, tenant: str) -> dict[str, str]:
        """The tenant's secrets, by name. Raises CannotDecrypt: one of them is encrypted with a key that is not
        given.
        """

    async def secret_names(self, tenant: str) -> list[str]:
        """The names of the tenant's secrets, for which no key is needed."""


class KeyAdmin(Protocol):
    """What an operator's command does to keys, in a database that a server may have open meanwhile.

    Every method blocks, since a command has no event loop, and has taken effect for the server when it returns.
    `is_served` says whether a server had the database open when this was opened.
    """

    is_served: bool

    def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        """See `TenantStore.add_key`."""

    def keys(self, tenant: str) -> Sequence[TenantKey]:
        """See `TenantStore.keys`."""

    def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        """See `TenantStore.revoke_key`."""

    def reencrypt(self, keyring: Keyring) -> tuple[int, Sequence[str]]:
        """Encrypt with the newest key whatever an older one encrypted, all of it or nothing.

        Gives how many values were, and the ids of the keys that nothing here needs any more.

        Raises:
            StoreError: a server has the database and was not given the newest key, or something is encrypted with a key
                that is not given.
        """

    def forget_secrets_key(self, id: str) -> Sequence[tuple[str, str]] | None:
        """Give up what a lost key encrypted, so that a server can be started without it. For when none has it open.

        Gives the (tenant, name) of the secrets that were removed; None: nothing is encrypted with such a key.
        """


class UsageStore(Protocol):
    """What each key (an address, a tenant) has used of each limit that holds for all nodes together, by unit of time.

    How long a unit is, is the limit's own.
    """

    async def add(
        self, used: Mapping[tuple[str, str, int], int], *, since: Mapping[tuple[str, str], int], kept: Mapping[str, int]
    ) -> Mapping[tuple[str, str], Sequence[tuple[int, int]]]:
        """Add amounts to (limit, key, unit), all or none.

        Gives what each limit and key of `since` has come to, as (unit, amount), oldest first.

        Args:
            since: the first unit that is given of a limit and key.
            kept: the first unit of each limit that is kept; those before are forgotten.
        """

    async def probe(self) -> None:
        """Write next to nothing, to see that it can be done. Raises StoreError."""

    async def of(self, limit: str, key: str, *, since: int) -> Sequence[tuple[int, int]]:
        """What a key has used of a limit from a unit on, as (unit, amount), oldest first."""
