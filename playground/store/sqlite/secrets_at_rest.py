"""What is encrypted in the database: tenants' secrets, results and key values that hold one, and `sensitive` results.

A step's result and a key's value are encrypted where an event carries a `secret`, that is, where the journal shows
something else than is stored.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import msgspec

from playground.store.encoding import encode, encode_step, raw_if_large
from playground.store.encryption import PREFIX, Keyring
from playground.store.errors import StoreError
from playground.store.named_sql import NamedSql
from playground.store.projection_rules import replace
from playground.store.rows import InstanceRow, StepRow
from playground.store.sqlite import rows as columns
from playground.store.sqlite.writer import Log
from playground.store.tables import scope_of
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

SQL = NamedSql(Path(__file__).with_name("queries.sql"))

RESULT = -2  # where a step's own result stands in a row of columns.step_row()

_PREFIX = PREFIX.encode()
_AGAIN = PREFIX + "%"

_NO_KEY = (
    "{name} has secrets encrypted with key {ids}, and {given}. Set PLAYGROUND_SECRETS_KEY or --secrets-key-file to it. "
    "If it is lost for good, `playground secrets-key forget {first}` removes the secrets that nobody can read any more"
)
_RUNS_WITHOUT = (
    "the server that has the database open was not given key {id}: restart it with the new key on top and the old ones "
    "below, then do this again"
)


def encrypted(keyring: Keyring, row: InstanceRow, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
    """Events as they are projected on rows: what they keep out of the journal is encrypted."""
    return [
        event if event.secret is None else event._replace(secret=_encrypted(keyring, row, event)) for event in events
    ]


def readable(keyring: Keyring, instance: int, row: StepRow) -> StepRow:
    """A step with its true result. Raises CannotDecrypt."""
    result = row.result
    if not isinstance(result, msgspec.Raw) or bytes(memoryview(result)[: len(_PREFIX)]) != _PREFIX:
        return row
    return replace(
        row, result=raw_if_large(keyring.decrypt(bytes(result).decode(), "step", instance, encode_step(row.key)))
    )


def _encrypted(keyring: Keyring, row: InstanceRow, event: NewEvent) -> msgspec.Raw:
    text = encode(event.secret)
    if event.type == ev.KV_PUT:
        return msgspec.Raw(keyring.encrypt(text, "kv", *scope_of(row), event.data["key"]).encode())
    assert event.step is not None, "only a key or a step's result is kept out of the journal"
    return msgspec.Raw(keyring.encrypt(text, "step", row.key, encode_step(event.step)).encode())


def open_with(db: sqlite3.Connection, keyring: Keyring, name: str, log: Log) -> None:
    """Make sure that everything encrypted can be read, and encrypt what is plain when the first key appears.

    Args:
        db: the writer's connection, in autocommit mode, nobody else having one.
        name: what to call the database in an error.

    Raises:
        StoreError: something is encrypted with a key that is not given.
    """
    known = [id for (id,) in db.execute(SQL["secrets_keys"])]
    lost = [id for id in known if id not in keyring.ids]
    if lost:
        given = "it is not among the keys given" if keyring else "no key is given"
        raise StoreError(_NO_KEY.format(name=name, ids=" and ".join(lost), given=given, first=lost[0]))
    if not keyring:
        return
    began, changed = perf_counter(), 0
    with _transaction(db):
        if not known:
            changed = _encrypt_plain(db, keyring)
        _note(db, keyring)
    if changed:
        left = _wipe(db)
        log(
            "secrets_encrypted",
            values=changed,
            key=keyring.ids[0],
            seconds=round(perf_counter() - began, 3),
            reason=left or "-",
        )


def reencrypt(db: sqlite3.Connection, keyring: Keyring, *, in_use: bool) -> tuple[int, Sequence[str]]:
    """Encrypt with the newest key whatever an older one encrypted; gives how many values, and the ids of the keys that
    nothing needs any more.

    Args:
        in_use: whether a server has the database open. It must have been started with the newest key.

    Raises:
        StoreError: the server lacks the newest key, or something is encrypted with a key that is not given.
    """
    known = [id for (id,) in db.execute(SQL["secrets_keys"])]
    if in_use and keyring.ids[0] not in known:
        raise StoreError(_RUNS_WITHOUT.format(id=keyring.ids[0]))
    # What the older key encrypted is overwritten, where its page is still in use.
    db.execute("PRAGMA secure_delete = ON")
    with _transaction(db):
        changed = _encrypt_plain(db, keyring) if not known else 0
        changed += _again(db, keyring)
        done = [id for id in known if id != keyring.ids[0]]
        db.execute(SQL["forget_secrets_keys"])
        _note(db, keyring)
    if changed and not in_use:
        _wipe(db)
    return changed, done


def forget(db: sqlite3.Connection, id: str) -> Sequence[tuple[str, str]] | None:
    """Give up what a lost key encrypted: gives the (tenant, name) of the secrets that were removed, None where no such
    key is known.
    """
    if (id,) not in db.execute(SQL["secrets_keys"]).fetchall():
        return None
    pattern = f"{PREFIX}{id}:%"
    with _transaction(db):
        gone = db.execute(SQL["secrets_of_key"], (pattern,)).fetchall()
        db.execute(SQL["forget_secrets_of_key"], (pattern,))
        db.execute(SQL["forget_secrets_key"], (id,))
    return gone


def _note(db: sqlite3.Connection, keyring: Keyring) -> None:
    db.execute(SQL["no_secrets_key_is_newest"])
    db.execute(SQL["note_secrets_key"], (keyring.ids[0],))


def _encrypt_plain(db: sqlite3.Connection, keyring: Keyring) -> int:
    """Encrypt the secrets, all results and key values of tenants that have some, which may hold them, and all
    `sensitive` results.
    """
    changed = 0
    for tenant, name, value in db.execute(SQL["plain_secrets"]).fetchall():
        text = keyring.encrypt(json.dumps(value), "secret", tenant, name)
        db.execute(SQL["set_secret_again"], (text, tenant, name))
        changed += 1
    for tenant, instance, key, value in db.execute(SQL["plain_keys_of_tenants_with_secrets"], (_AGAIN,)).fetchall():
        db.execute(SQL["set_key_again"], (keyring.encrypt(value, "kv", tenant, instance, key), tenant, instance, key))
        changed += 1
    for (instance,) in db.execute(SQL["instances_with_plain_results"]).fetchall():
        for generation, *step in db.execute(SQL["plain_results"], (instance, _AGAIN)).fetchall():
            changed += _set_result(db, keyring, instance, generation, columns.step_row(step), step[RESULT])
    return changed


def _again(db: sqlite3.Connection, keyring: Keyring) -> int:
    changed = 0
    for tenant, name, value in db.execute(SQL["encrypted_secrets"]).fetchall():
        if not keyring.is_current(value):
            db.execute(SQL["set_secret_again"], (_renewed(keyring, value, "secret", tenant, name), tenant, name))
            changed += 1
    for *place, value in db.execute(SQL["encrypted_keys"], (_AGAIN,)).fetchall():
        if not keyring.is_current(value):
            db.execute(SQL["set_key_again"], (_renewed(keyring, value, "kv", *place), *place))
            changed += 1
    for (instance,) in db.execute(SQL["instances_with_encrypted_results"], (_AGAIN,)).fetchall():
        for generation, *step in db.execute(SQL["encrypted_results"], (instance, _AGAIN)).fetchall():
            if not keyring.is_current(step[RESULT]):
                row = columns.step_row(step)
                plain = keyring.decrypt(step[RESULT], "step", instance, encode_step(row.key))
                changed += _set_result(db, keyring, instance, generation, row, plain)
    return changed


def _renewed(keyring: Keyring, text: str, *place: str | int) -> str:
    return keyring.encrypt(keyring.decrypt(text, *place), *place)


def _set_result(
    db: sqlite3.Connection, keyring: Keyring, instance: int, generation: int, row: StepRow, plain: str
) -> int:
    key, text = row.key, keyring.encrypt(plain, "step", instance, encode_step(row.key))
    place = (instance, generation, key.kind, key.name, key.count, row.started_seq)
    return db.execute(SQL["set_result_again"], (text, len(text), *place)).rowcount


def _wipe(db: sqlite3.Connection) -> str:
    """Write the file anew, so that what was plain is in no free page of it and in no log; gives what kept it from being
    done.
    """
    try:
        db.execute("VACUUM")
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as fault:
        return (
            f"the file could not be written anew ({fault}), so that old text may stand in free pages of it; run VACUUM "
            "on it"
        )
    return "the log is read by somebody, so that old text stands in it until the next checkpoint" if busy else ""


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
