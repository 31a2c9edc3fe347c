"""The audit log: who changed what of a tenant or of the server, when, and with what outcome.

An entry is written in the transaction of the change that it is about, so there is neither without the other; what was
refused has an entry of its own transaction. Whoever serves a request says with `auditing` what it is about; the write
that carries it out takes the entry from there (`pending`), since it lies many calls below and most callers have none.
A request has one entry, that of its first change.

Architecture Invariant: entries are only inserted, and deleted by age or number (`AuditStore.forget`). They outlive the
tenant that they are about. They hold names, never a secret's value, a key or a payload.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

DONE = "done"  # the outcome of a change; of what was refused it is the refusal's code
OPERATOR = "operator"  # the actor who carries the operator's token
COMMAND = "operator (command)"  # whoever runs a command beside the database
KEY_MADE, KEY_REVOKED = "key.make", "key.revoke"
TARGET_CHARACTERS = 400  # of what was changed: a longer one is cut


class AuditEntry(NamedTuple):
    """An entry before it is written. `at` is in epoch milliseconds; `tenant` is "" where it is about the server.

    `actor` is `OPERATOR`, `COMMAND` or the tenant's key; `address` is the client's, "" for a command. `action` is a
    noun and a verb such as `secret.set`, `target` what it was done to.
    """

    at: int
    tenant: str
    actor: str
    address: str
    action: str
    target: str
    outcome: str = DONE


def key_entry(at: int, tenant: str, action: str, number: int, name: str = "") -> AuditEntry:
    """The entry of a command that makes or revokes a tenant's key."""
    return AuditEntry(at, tenant, COMMAND, "", action, f"{number} {name}".rstrip())


class AuditRow(NamedTuple):
    """A written entry; numbers grow in the order of writing and are never used again."""

    number: int
    at: int
    tenant: str
    actor: str
    address: str
    action: str
    target: str
    outcome: str


class AuditStore(Protocol):
    """The audit log's table."""

    async def add(self, entry: AuditEntry) -> None:
        """Write an entry by itself: of what changed nothing."""

    async def entries(
        self, tenant: str | None, *, before: int | None = None, since: int = 0, limit: int
    ) -> Sequence[AuditRow]:
        """The newest entries with a number under `before` and a time from `since` on, newest first; of one tenant, or
        of all.
        """

    async def forget(self, before: int, *, most: int, limit: int = 1_000) -> int:
        """Delete entries from before a time, and each tenant's oldest beyond `most`; returns how many, at most `limit`
        of either kind.
        """


class Pending:
    """What a request is about. It has an entry once it is known who asks (`identify`), until that is written."""

    def __init__(self, entry: AuditEntry) -> None:
        self._entry = entry
        self.is_identified = self.is_written = False

    def identify(self, actor: str) -> None:
        """The request is allowed, and from this actor."""
        self._entry, self.is_identified = self._entry._replace(actor=actor), True

    def name_target(self, target: str) -> None:
        """Say what is changed, where the address does not."""
        self._entry = self._entry._replace(target=target[:TARGET_CHARACTERS])

    @property
    def entry(self) -> AuditEntry | None:
        """The entry to write; None: nobody is known, or it is written."""
        return self._entry if self.is_identified and not self.is_written else None


_pending: ContextVar[Pending | None] = ContextVar("audit", default=None)


@contextmanager
def auditing(pending: Pending) -> Iterator[None]:
    """Have the first change of this block written with this entry."""
    token = _pending.set(pending)
    try:
        yield
    finally:
        pending.is_written = True  # for tasks that go on
        _pending.reset(token)


def current() -> Pending | None:
    """What the request that is served is about, where it is audited."""
    return _pending.get()


def pending_entry() -> AuditEntry | None:
    """The entry that the next change is to write."""
    pending = _pending.get()
    return None if pending is None else pending.entry


def entry_of_commit(entry: AuditEntry, instance: str, event: str) -> AuditEntry:
    """The entry of a change of an instance: it says which and what happened, where the address does not."""
    return entry if entry.target else entry._replace(target=f"{instance} {event}")


def mark_written() -> None:
    """The entry is durable, with its change."""
    pending = _pending.get()
    assert pending is not None, "an entry comes from a pending one"
    pending.is_written = True
