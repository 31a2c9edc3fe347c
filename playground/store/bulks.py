"""Operations on many instances of a tenant: what is asked, which instances it is about, and how far it is.

The set is fixed when one is created: the keys that fitted then, each with its generation, in parts of `PART`. A node
takes one that is due for a while, does part after part, and writes how far it is after each; where that node dies,
another takes it up at the part that was under way, so that an instance may come twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from playground.store.encoding import decode, encode

PART = 100  # instances
RUNNING, DONE, STOPPED = "running", "done", "stopped"
COLUMNS = (
    "tenant", "id", "operation", "filter", "state", "matched", "done", "unchanged", "failed", "failures", "part",
    "created_at", "ended_at", "due_at",
)  # fmt: skip
_JSON = ("operation", "filter", "failures")


class Target(NamedTuple):
    """An instance that an operation is about, in its generation when the operation was created."""

    key: int
    generation: int


class Bulk(msgspec.Struct, frozen=True):
    """One operation on many instances. `operation` and `filter` are as they were asked for, `part` is the next one.

    `done` counts those it was carried out on, `unchanged` those that were so already, `failed` those it could not be
    carried out on; `failures` has some of them, each `{id, code, message}`. Times are epoch milliseconds.
    """

    tenant: str
    id: str
    operation: Mapping[str, Any]
    filter: Mapping[str, Any]
    state: str
    matched: int
    created_at: int
    due_at: int | None
    done: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: Sequence[Mapping[str, Any]] = ()
    part: int = 0
    ended_at: int | None = None


class BulkStore(Protocol):
    """Where they are kept. Calls that write are transactions, as those of `Store`."""

    async def create(self, bulk: Bulk, targets: Sequence[Target], *, most: int, kept: int) -> bool:
        """Add one. False: the tenant has `most` that run. Of those that have ended, `kept` stay, the newest."""

    async def get(self, tenant: str, id: str) -> Bulk | None:
        """One, or None."""

    async def of_tenant(self, tenant: str) -> Sequence[Bulk]:
        """A tenant's, newest first."""

    async def take_due(self, *, at: int, until: int) -> Bulk | None:
        """Take one that is due, so that nobody else takes it before `until`."""

    async def part(self, bulk: Bulk) -> Sequence[Target]:
        """The targets of its next part; none: all parts are done."""

    async def advance(self, bulk: Bulk, done: Bulk) -> bool:
        """Write how far it is; one that was stopped stays so. False: it is gone, or another node has advanced it."""

    async def stop(self, tenant: str, id: str, *, at: int) -> bool:
        """Stop one; whether it was running."""

    async def next_due(self) -> int | None:
        """The earliest `due_at`, or None."""


def bulk_row(r: Sequence[Any]) -> Bulk:
    """From a row of COLUMNS."""
    values = dict(zip(COLUMNS, r, strict=True))
    return Bulk(**{name: decode(value) if name in _JSON else value for name, value in values.items()})


def bulk_values(bulk: Bulk) -> list[Any]:
    """For a row of COLUMNS."""
    return [encode(getattr(bulk, name)) if name in _JSON else getattr(bulk, name) for name in COLUMNS]


def advanced_values(bulk: Bulk, done: Bulk) -> tuple[Any, ...]:
    """For the statement that writes how far one is."""
    return (
        bulk.tenant, bulk.id, bulk.part, done.state, done.done, done.unchanged, done.failed, encode(done.failures),
        done.part, done.ended_at, done.due_at,
    )  # fmt: skip


def parts_of(targets: Sequence[Target]) -> list[str]:
    """The JSON text of each part."""
    return [encode(list(targets[at : at + PART])) for at in range(0, len(targets), PART)]


def targets_of(text: str) -> list[Target]:
    """The targets of a part's JSON text."""
    return [Target(*each) for each in decode(text)]
