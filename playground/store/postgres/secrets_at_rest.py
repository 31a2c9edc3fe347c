"""Secrets at rest in PostgreSQL: checking the keys at start, encrypting plaintext, and rotating keys.

Single values are in store/secret_values.py. Nodes that run keep reading while this writes; a value that has changed
meanwhile is left alone, since whoever changed it had the newest key.
"""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from playground.store import columns
from playground.store.encoding import encode_step
from playground.store.encryption import PREFIX, Keyring
from playground.store.named_sql import NamedSql
from playground.store.protocol import Log
from playground.store.secret_values import (
    ENCRYPTED_PATTERN,
    check_all_keys,
    check_newest_key,
    reencrypted,
    secret_place,
)

SQL = NamedSql(Path(__file__).with_name("tables.sql"))
# One node at a time does this, so that two which start at once do not encrypt twice.
LOCK = "SELECT pg_advisory_xact_lock(1346852678)"


async def prepare_encryption(connection: Any, keyring: Keyring, name: str, log: Log) -> None:
    """Check that all keys in use are present, and encrypt plaintext when the first key is configured.

    Args:
        name: how errors name the database.

    Raises:
        StoreError: a value is encrypted with a key that is not in `keyring`.
    """
    began, changed = perf_counter(), 0
    async with connection.transaction():
        await connection.execute(LOCK)
        known = [id for (id,) in await connection.fetch(SQL["secrets_keys"])]
        check_all_keys(known, keyring, name)
        if not keyring:
            return
        if not known:
            changed = await _encrypt_plain(connection, keyring)
        await _record_newest_key(connection, keyring)
    if changed:
        reason = "the old text stands in the database's files until VACUUM and its write-ahead log are done with it"
        log(
            "secrets_encrypted", values=changed, key=keyring.ids[0], seconds=round(perf_counter() - began, 3),
            reason=reason,
        )  # fmt: skip


async def reencrypt(connection: Any, keyring: Keyring, *, in_use: bool) -> tuple[int, Sequence[str]]:
    """Encrypt with the newest key everything that older keys encrypted.

    Returns the number of values, and the ids of the keys that nothing needs any more. Raises StoreError.
    """
    async with connection.transaction():
        await connection.execute(LOCK)
        known = [id for (id,) in await connection.fetch(SQL["secrets_keys"])]
        if in_use:
            check_newest_key(known, keyring)
        changed = await _encrypt_plain(connection, keyring) if not known else 0
        changed += await _reencrypt_all(connection, keyring)
        await connection.execute(SQL["forget_secrets_keys"])
        await _record_newest_key(connection, keyring)
    return changed, [id for id in known if id != keyring.ids[0]]


async def forget_secrets_key(connection: Any, id: str) -> Sequence[tuple[str, str]] | None:
    """Delete what a lost key encrypted; returns the (tenant, name) of the deleted secrets, None for an unknown key."""
    if id not in [known for (known,) in await connection.fetch(SQL["secrets_keys"])]:
        return None
    pattern = f"{PREFIX}{id}:%"
    async with connection.transaction():
        gone = [(tenant, name) for tenant, name in await connection.fetch(SQL["secrets_of_key"], pattern)]
        await connection.execute(SQL["forget_secrets_of_key"], pattern)
        await connection.execute(SQL["forget_secrets_key"], id)
    return gone


async def _record_newest_key(connection: Any, keyring: Keyring) -> None:
    await connection.execute(SQL["no_secrets_key_is_newest"])
    await connection.execute(SQL["note_secrets_key"], keyring.ids[0])


async def _encrypt_plain(connection: Any, keyring: Keyring) -> int:
    """Encrypt all secrets, all results and key values of tenants with secrets, which may hold them, and all `sensitive`
    results.
    """
    changed = 0
    for tenant, name, value in await connection.fetch(SQL["plain_secrets"]):
        text = keyring.encrypt(value, *secret_place(tenant, name))
        await connection.execute(SQL["set_secret_again"], tenant, name, text, value)
        changed += 1
    for *place, value in await connection.fetch(SQL["plain_keys"], ENCRYPTED_PATTERN):
        await connection.execute(SQL["set_key_again"], *place, keyring.encrypt(value, "kv", *place), value)
        changed += 1
    for instance, generation, kind, path, count, started, result in await connection.fetch(
        SQL["plain_results"], ENCRYPTED_PATTERN
    ):
        changed += await _set_result(connection, keyring, (instance, generation, kind, path, count, started), result)
    return changed


async def _reencrypt_all(connection: Any, keyring: Keyring) -> int:
    changed = 0
    for tenant, name, value in await connection.fetch(SQL["encrypted_secrets"]):
        if not keyring.is_current(value):
            text = reencrypted(keyring, value, *secret_place(tenant, name))
            await connection.execute(SQL["set_secret_again"], tenant, name, text, value)
            changed += 1
    for *place, value in await connection.fetch(SQL["encrypted_keys"], ENCRYPTED_PATTERN):
        if not keyring.is_current(value):
            await connection.execute(SQL["set_key_again"], *place, reencrypted(keyring, value, "kv", *place), value)
            changed += 1
    for *place, result in await connection.fetch(SQL["encrypted_results"], ENCRYPTED_PATTERN):
        if not keyring.is_current(result):
            plain = keyring.decrypt(result, "step", place[0], _step_text(*place[2:5]))
            changed += await _set_result(connection, keyring, place, plain)
    return changed


async def _set_result(connection: Any, keyring: Keyring, place: Sequence[Any], plain: str) -> int:
    text = keyring.encrypt(plain, "step", place[0], _step_text(*place[2:5]))
    await connection.execute(SQL["set_result_again"], *place, text, len(text))
    return 1


def _step_text(kind: str, path: str, count: int) -> str:
    return encode_step(columns.step_key(kind, path, count))
