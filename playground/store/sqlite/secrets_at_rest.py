"""Secrets at rest: encrypting tenants' secrets, `sensitive` results, and results and key values that hold a secret.

Single values are in store/secret_values.py. This encrypts an older database's plaintext at start, and rotates keys.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from playground.store import columns
from playground.store.encoding import encode_step
from playground.store.encryption import PREFIX, Keyring
from playground.store.named_sql import NamedSql
from playground.store.protocol import Log
from playground.store.rows import StepRow
from playground.store.secret_values import (
    ENCRYPTED_PATTERN,
    check_all_keys,
    check_newest_key,
    encrypt_secret,
    reencrypted,
)
from playground.store.sqlite.connections import transaction

SQL = NamedSql(Path(__file__).with_name("queries.sql"))

RESULT_COLUMN = -2  # index of a step's own result in a row of columns.step_row()


def prepare_encryption(db: sqlite3.Connection, keyring: Keyring, name: str, log: Log) -> None:
    """Check that all keys in use are present, and encrypt plaintext when the first key is configured.

    Args:
        db: the writer's connection, in autocommit mode, the only one open.
        name: how errors name the database.

    Raises:
        StoreError: a value is encrypted with a key that is not in `keyring`.
    """
    known = [id for (id,) in db.execute(SQL["secrets_keys"])]
    check_all_keys(known, keyring, name)
    if not keyring:
        return
    began, changed = perf_counter(), 0
    with transaction(db):
        if not known:
            changed = _encrypt_plain(db, keyring)
        _record_newest_key(db, keyring)
    if changed:
        leftover = _vacuum_plain_text(db)
        log(
            "secrets_encrypted",
            values=changed,
            key=keyring.ids[0],
            seconds=round(perf_counter() - began, 3),
            reason=leftover or "-",
        )


def reencrypt(db: sqlite3.Connection, keyring: Keyring, *, in_use: bool) -> tuple[int, Sequence[str]]:
    """Encrypt with the newest key everything that older keys encrypted.

    Returns the number of values, and the ids of the keys that nothing needs any more.

    Args:
        in_use: whether a server has the database open, which must have the newest key.

    Raises:
        StoreError: the server lacks the newest key, or a value is encrypted with a key that is not in `keyring`.
    """
    known = [id for (id,) in db.execute(SQL["secrets_keys"])]
    if in_use:
        check_newest_key(known, keyring)
    # Overwrites the older ciphertext in pages that stay in use.
    db.execute("PRAGMA secure_delete = ON")
    with transaction(db):
        changed = _encrypt_plain(db, keyring) if not known else 0
        changed += _reencrypt_all(db, keyring)
        unused = [id for id in known if id != keyring.ids[0]]
        db.execute(SQL["forget_secrets_keys"])
        _record_newest_key(db, keyring)
    if changed and not in_use:
        _vacuum_plain_text(db)
    return changed, unused


def forget_secrets_key(db: sqlite3.Connection, id: str) -> Sequence[tuple[str, str]] | None:
    """Delete what a lost key encrypted; returns the (tenant, name) of the deleted secrets, None for an unknown key."""
    if (id,) not in db.execute(SQL["secrets_keys"]).fetchall():
        return None
    pattern = f"{PREFIX}{id}:%"
    with transaction(db):
        gone = db.execute(SQL["secrets_of_key"], (pattern,)).fetchall()
        db.execute(SQL["forget_secrets_of_key"], (pattern,))
        db.execute(SQL["forget_secrets_key"], (id,))
    return gone


def _record_newest_key(db: sqlite3.Connection, keyring: Keyring) -> None:
    db.execute(SQL["no_secrets_key_is_newest"])
    db.execute(SQL["note_secrets_key"], (keyring.ids[0],))


def _encrypt_plain(db: sqlite3.Connection, keyring: Keyring) -> int:
    """Encrypt all secrets, all results and key values of tenants with secrets, which may hold them, and all `sensitive`
    results.
    """
    changed = 0
    for tenant, name, value in db.execute(SQL["plain_secrets"]).fetchall():
        text = encrypt_secret(keyring, tenant, name, value)
        db.execute(SQL["set_secret_again"], (text, tenant, name))
        changed += 1
    for tenant, instance, key, value in db.execute(
        SQL["plain_keys_of_tenants_with_secrets"], (ENCRYPTED_PATTERN,)
    ).fetchall():
        db.execute(SQL["set_key_again"], (keyring.encrypt(value, "kv", tenant, instance, key), tenant, instance, key))
        changed += 1
    for (instance,) in db.execute(SQL["instances_with_plain_results"]).fetchall():
        for generation, *step in db.execute(SQL["plain_results"], (instance, ENCRYPTED_PATTERN)).fetchall():
            changed += _set_result(db, keyring, instance, generation, columns.step_row(step), step[RESULT_COLUMN])
    return changed


def _reencrypt_all(db: sqlite3.Connection, keyring: Keyring) -> int:
    changed = 0
    for tenant, name, value in db.execute(SQL["encrypted_secrets"]).fetchall():
        if not keyring.is_current(value):
            db.execute(SQL["set_secret_again"], (reencrypted(keyring, value, "secret", tenant, name), tenant, name))
            changed += 1
    for *place, value in db.execute(SQL["encrypted_keys"], (ENCRYPTED_PATTERN,)).fetchall():
        if not keyring.is_current(value):
            db.execute(SQL["set_key_again"], (reencrypted(keyring, value, "kv", *place), *place))
            changed += 1
    for (instance,) in db.execute(SQL["instances_with_encrypted_results"], (ENCRYPTED_PATTERN,)).fetchall():
        for generation, *step in db.execute(SQL["encrypted_results"], (instance, ENCRYPTED_PATTERN)).fetchall():
            if not keyring.is_current(step[RESULT_COLUMN]):
                row = columns.step_row(step)
                plain = keyring.decrypt(step[RESULT_COLUMN], "step", instance, encode_step(row.key))
                changed += _set_result(db, keyring, instance, generation, row, plain)
    return changed


def _set_result(
    db: sqlite3.Connection, keyring: Keyring, instance: int, generation: int, row: StepRow, plain: str
) -> int:
    key, text = row.key, keyring.encrypt(plain, "step", instance, encode_step(row.key))
    place = (instance, generation, key.kind, columns.step_path(key), key.count, row.started_seq)
    return db.execute(SQL["set_result_again"], (text, len(text), *place)).rowcount


def _vacuum_plain_text(db: sqlite3.Connection) -> str:
    """Vacuum the file and truncate its log, so that neither holds old plaintext; returns why that failed, or ""."""
    try:
        db.execute("VACUUM")
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as fault:
        return (
            f"the file could not be written anew ({fault}), so that old text may stand in free pages of it; run VACUUM "
            "on it"
        )
    return "the log is read by somebody, so that old text stands in it until the next checkpoint" if busy else ""
