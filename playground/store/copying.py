"""Copying a database into another: between SQLite and PostgreSQL, in both directions, or between two of one kind.

Every table is read in the order of its key and written in batches. The target keeps, in the transaction of each batch,
how far its copy is (the table `playground_copy`), so that a copy which was killed goes on where its last batch ended.
While that table is there, no server opens the target. Nothing is decrypted or decided anew: a row is written as it was
read, under the same key.

Rows have one form for both databases, the columns of `TABLES`: truth values are 0 and 1, text is text, and a tenant's
secret is JSON text or encrypted. A table's digest is the sum of its rows' hashes, which does not depend on their order
(the databases sort text differently). At the end the target is read again and must give, table by table, the number and
the digest of what was read from the source; each journal must count from 1 without a gap up to its instance's
`last_seq`.

What follows from other rows is not copied but made by the target: counts by status, what runs in each queue, the lanes
of new instances, the bytes in a key-value namespace. Leases are not copied either: what a killed server left open is
taken over by the first node on the copy.

Nobody else may use either database meanwhile: a SQLite file is locked, and in PostgreSQL no node can join. Limits: a
batch has `BATCH_ROWS` rows or `BATCH_BYTES` of text; memory holds two of them.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from playground.store.errors import StoreError

BATCH_ROWS = 5_000
BATCH_BYTES = 8 * 1024 * 1024
PROGRESS_TABLE = "playground_copy"
UNFINISHED = (
    "{name} holds a copy that was not finished; run the same `playground copy` again, which goes on where it stopped, "
    "or start with an empty database"
)
OTHER_DATA = (
    "the target {name} has data of its own ({tables}); copy into an empty database, or go on with a copy by naming the "
    "source that it was begun from"
)
SUM = 2**256

Row = tuple[Any, ...]


class CopyTable(NamedTuple):
    """A table with its columns; the first `key` of them are its primary key."""

    name: str
    columns: tuple[str, ...]
    key: int

    @property
    def key_columns(self) -> tuple[str, ...]:
        return self.columns[: self.key]


def _table(name: str, key: int, columns: str) -> CopyTable:
    return CopyTable(name, tuple(columns.split()), key)


INSTANCE, EVENT, STEP, NODE = "instance", "event", "step", "node"

# Large ones last, so that what is wrong with a small one is seen early.
TABLES = (
    _table("secrets_key", 1, "id newest"),
    _table("tenant", 1, "name created_at trigger_hash"),
    _table("tenant_key", 2, "tenant number name hash created_at revoked_at"),
    _table("tenant_secret", 2, "tenant name value encrypted"),
    _table("tenant_version", 3, "tenant workflow number id source class_name created_at warm options"),
    _table("message_queue", 2, "tenant name settings"),
    _table("message", 1, "number tenant queue id sent_at due_at taken tries content_type body delivery dead_at"),
    _table("chore", 1, "name until"),
    _table("usage", 3, "limit_name key unit amount"),
    _table(
        "schedule", 2,
        "tenant name workflow cron timezone params metadata missed paused next_at due_at revision created_at last_at "
        "last_id last_error",
    ),
    _table("service", 3, "tenant kind name settings"),
    _table("audit", 1, "number at tenant actor address action target outcome"),
    _table(
        "bulk", 2,
        "tenant id operation filter state matched done unchanged failed failures part created_at ended_at due_at",
    ),
    _table("bulk_part", 3, "tenant id number targets"),
    _table("flow_look", 2, "at instance tenant workflow flow_key"),
    _table("flow_start", 5, "tenant workflow flow_key at instance"),
    _table("used_id", 2, "tenant id workflow status ended_at"),
    _table("snippet", 1, "id source params created_at"),
    _table("kv", 3, "tenant instance key value"),
    _table("tag", 3, "tenant tag instance"),
    _table("child", 1, "instance parent kind"),
    _table("awaited", 1, "instance parent name count started_seq cascades"),
    _table("inbox", 2, "instance seq at type payload"),
    _table("effect", 2, "instance number at kind tenant scope key data step attempt execution asked"),
    _table("step_part", 4, "instance name count number data"),
    _table("origin", 1, "instance class_name params control_hash metadata limits nonce id_chosen"),
    _table(
        INSTANCE, 1,
        "key tenant id workflow snippet queue status generation execution last_seq owner due_at wait_until fresh "
        "in_execution log_bytes stored_bytes output error rollback created_at started_at ended_at paused_at injected "
        "clock crashes clock_at flow_key priority held_until",
    ),
    _table(
        STEP, 5,
        "instance generation kind name count status started_seq line config attempt failures losses until event_type "
        "rollback rollback_config rollback_attempt rollback_failures rollback_until result_bytes error started_clock "
        "ended_seq clock received result_seq result",
    ),
    _table(EVENT, 2, "instance seq at type execution step data"),
)  # fmt: skip

# Of the tables that a server writes by itself when it starts or is looked at, and that a copy replaces.
REPLACED = ("secrets_key", "chore", "usage")
# Small tables that operators' commands change while no server runs.
CHANGED_BY_COMMANDS = ("secrets_key", "tenant", "tenant_key", "tenant_secret", "audit")


class Digest:
    """The number of rows and the sum of their hashes, in whatever order they come."""

    __slots__ = ("count", "sum")

    def __init__(self, count: int = 0, sum: int = 0) -> None:
        self.count, self.sum = count, sum

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        pack, sha256, total = _pack, hashlib.sha256, self.sum
        for row in rows:
            total += int.from_bytes(sha256(pack(row)).digest(), "big")
        self.count, self.sum = self.count + len(rows), total % SUM

    @property
    def text(self) -> str:
        """The sum, in hexadecimal digits."""
        return f"{self.sum:064x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self.count, self.sum) == (other.count, other.sum)

    __hash__ = None  # type: ignore[assignment]  # it changes


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.json.Decoder(list[Any]).decode


class Position(NamedTuple):
    """How far the copy of a table is: the key of its last row, and the digest of all rows up to it."""

    after: Row
    digest: Digest

    @classmethod
    def parse(cls, after: str, rows: int, digest: str) -> "Position":
        """From a row of the table of progress."""
        return cls(tuple(_unpack(after)), Digest(rows, int(digest, 16)))

    def values(self) -> tuple[str, int, str]:
        """For a row of the table of progress."""
        return msgspec.json.encode(self.after).decode(), self.digest.count, self.digest.text


class Marker(NamedTuple):
    """An unfinished copy: of which state of which source, and the position of each table that was begun."""

    fingerprint: str
    positions: Mapping[str, Position]


class DatabaseFacts(NamedTuple):
    """What a database is known by. `last_key` is the key of the last instance that was created; `nodes` has the number
    of boots by node; `moved` sums what grows with every commit and claim.
    """

    last_key: int
    nodes: Mapping[str, int]
    moved: int
    counts: Mapping[str, int]


class CopySide(Protocol):
    """A database that is copied from or to, which nobody else can use while it is open. Raises StoreError.

    `name` is how messages name it.
    """

    name: str

    async def facts(self) -> DatabaseFacts:
        """As of now, whatever was read before."""

    def rows(self, table: CopyTable, after: Row) -> AsyncIterator[Sequence[Row]]:
        """The rows with a key after this one (all, for an empty one), in the order of the database, in batches."""

    async def marker(self) -> Marker | None:
        """The copy that was begun into this database and is not finished."""

    async def begin(self, fingerprint: str) -> None:
        """Begin a copy into this database, whose other tables are empty."""

    async def write(self, table: CopyTable, rows: Sequence[Row], position: Position) -> None:
        """Write a batch and the new position, in one transaction."""

    async def finish(self, facts: DatabaseFacts) -> None:
        """Make what follows from the rows, let keys go on after the source's, and open the database to servers."""


Progress = Callable[[str, int, int], None]  # called with what is done, the rows that are done, and how many there are


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, by table. `resumed` is how many of the rows an earlier attempt had copied."""

    tables: Mapping[str, Digest]
    resumed: int


async def copy_database(source: CopySide, target: CopySide, progress: Progress) -> Copied:
    """Copy everything, check it and open the target to servers; goes on with a copy that was begun before.

    Raises:
        StoreError: the target has other data, the source has changed since, or the copy is not equal to it.
    """
    facts = await source.facts()
    fingerprint = await _fingerprint(source, facts)
    marker = await target.marker()
    if marker is None:
        await _check_empty(target)
        await target.begin(fingerprint)
        marker = Marker(fingerprint, {})
    elif marker.fingerprint != fingerprint:
        raise StoreError(
            f"the target {target.name} has an unfinished copy of another source, or of {source.name} before it "
            "changed; copy into an empty database"
        )
    resumed = sum(position.digest.count for position in marker.positions.values())
    total, done = sum(facts.counts.values()), resumed
    digests: dict[str, Digest] = {}
    for table in TABLES:
        after, digest = marker.positions.get(table.name, Position((), Digest()))
        async for rows in source.rows(table, after):
            digest.add(rows)
            await target.write(table, rows, Position(rows[-1][: table.key], digest))
            done += len(rows)
            progress(f"copying {table.name}", done, total)
        digests[table.name] = digest
    await _check(source, target, digests, progress)
    if await _fingerprint(source, await source.facts()) != fingerprint:
        raise StoreError(
            f"the source {source.name} was changed while it was copied; stop every server on it, and copy into an "
            "empty database"
        )
    await target.finish(facts)
    return Copied(digests, resumed)


async def _fingerprint(source: CopySide, facts: DatabaseFacts) -> str:
    """What tells one state of a source from another: every start of a server changes it, and every command."""
    digests = []
    for table in TABLES:
        if table.name in CHANGED_BY_COMMANDS:
            digest = Digest()
            async for rows in source.rows(table, ()):
                digest.add(rows)
            digests.append(digest.text)
    whole = (facts.last_key, sorted(facts.nodes.items()), facts.moved, sorted(facts.counts.items()), digests)
    return hashlib.sha256(_pack(whole)).hexdigest()


async def _check_empty(target: CopySide) -> None:
    counts = (await target.facts()).counts
    full = [f"{counts[table.name]:,} in {table.name}" for table in TABLES if counts[table.name]]
    other = [text for text in full if text.rpartition(" ")[2] not in REPLACED]
    if other:
        raise StoreError(OTHER_DATA.format(name=target.name, tables=", ".join(other)))


async def _check(source: CopySide, target: CopySide, digests: Mapping[str, Digest], progress: Progress) -> None:
    """Read the target again and compare. Raises StoreError."""
    total, done = sum(digest.count for digest in digests.values()), 0
    last_seqs = 0
    for table in TABLES:
        found, gaps = Digest(), _Gaps()
        async for rows in target.rows(table, ()):
            found.add(rows)
            done += len(rows)
            if table.name == EVENT:
                gaps.look(rows)
            elif table.name == INSTANCE:
                last_seqs += sum(row[LAST_SEQ] for row in rows)
            progress(f"checking {table.name}", done, total)
        expected = digests[table.name]
        if found != expected:
            where = await _differing_journal(source, target) if table.name == EVENT else ""
            raise StoreError(
                f"the copy {target.name} is not equal to {source.name}: table {table.name} has {found.count:,} rows "
                f"({found.text[:16]}), read were {expected.count:,} ({expected.text[:16]}){where}; copy into an empty "
                "database"
            )
        if table.name == EVENT and (gaps.first is not None or found.count != last_seqs):
            at = f"the journal of instance number {gaps.first} has a gap" if gaps.first else "journals are too short"
            raise StoreError(f"{source.name} contradicts itself: {at}; its copy is as it is, and not opened")


LAST_SEQ = next(table for table in TABLES if table.name == INSTANCE).columns.index("last_seq")


class _Gaps:
    """Looks for the first journal whose seqs do not count from 1; rows come in order."""

    __slots__ = ("first", "instance", "seq")

    def __init__(self) -> None:
        self.first: int | None = None
        self.instance = self.seq = 0

    def look(self, rows: Sequence[Row]) -> None:
        instance, seq = self.instance, self.seq
        for row in rows:
            seq = seq + 1 if row[0] == instance else 1
            instance = row[0]
            if row[1] != seq and self.first is None:
                self.first = instance
            seq = row[1]
        self.instance, self.seq = instance, seq


async def _differing_journal(source: CopySide, target: CopySide) -> str:
    """Which journal differs first, for people. Both databases sort events alike."""
    table = next(table for table in TABLES if table.name == EVENT)
    theirs = _each(target.rows(table, ()))
    async for row in _each(source.rows(table, ())):
        if (other := await anext(theirs, None)) != row:
            key = row[0] if other is None else min(row[0], other[0])
            return f"; the first difference is in the journal of instance number {key}"
    return "; it has events that the source lacks"


async def _each(batches: AsyncIterator[Sequence[Row]]) -> AsyncIterator[Row]:
    async for rows in batches:
        for row in rows:
            yield row


def after_clause(table: CopyTable, marks: Sequence[str]) -> str:
    """The condition that a row comes after a position, with these placeholders; nothing at the beginning."""
    return f" WHERE ({', '.join(table.key_columns)}) > ({', '.join(marks)})" if marks else ""


def text_bytes(rows: Sequence[Row]) -> int:
    """About how much memory rows take."""
    return sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))


OpenSide = Callable[[], AbstractAsyncContextManager[CopySide]]
