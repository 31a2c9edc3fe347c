"""Secrets at rest, value by value: what goes into rows encrypted, and is decrypted when it is read.

A result or a key's value is encrypted where its event has a `secret`, that is, where the journal shows something else
than what is stored.
"""

import json
from collections.abc import Sequence

import msgspec

from playground.store.encoding import encode, encode_step, raw_if_large
from playground.store.encryption import PREFIX, Keyring
from playground.store.errors import StoreError
from playground.store.projection_rules import replace
from playground.store.rows import InstanceRow, StepRow
from playground.store.tables import scope_of
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

ENCRYPTED_PATTERN = PREFIX + "%"  # of SQL's LIKE
_PREFIX_BYTES = PREFIX.encode()

NO_KEY = (
    "{name} has secrets encrypted with key {ids}, and {given}. Set PLAYGROUND_SECRETS_KEY or --secrets-key-file to it. "
    "If it is lost for good, `playground secrets-key forget {first}` removes the secrets that nobody can read any more"
)
SERVER_LACKS_KEY = (
    "the server that has the database open was not given key {id}: restart it with the new key on top and the old ones "
    "below, then do this again"
)


def check_all_keys(known: Sequence[str], keyring: Keyring, name: str) -> None:
    """Check that a database's keys are all given.

    Args:
        known: the ids of the keys that the database has values of.
        name: how errors name the database.

    Raises:
        StoreError: a value is encrypted with a key that is not in `keyring`.
    """
    missing = [id for id in known if id not in keyring.ids]
    if missing:
        given = "it is not among the keys given" if keyring else "no key is given"
        raise StoreError(NO_KEY.format(name=name, ids=" and ".join(missing), given=given, first=missing[0]))


def check_newest_key(known: Sequence[str], keyring: Keyring) -> None:
    """Check that the server which has the database open was given the newest key. Raises StoreError."""
    if keyring.ids[0] not in known:
        raise StoreError(SERVER_LACKS_KEY.format(id=keyring.ids[0]))


def encrypt_secrets(keyring: Keyring, row: InstanceRow, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
    """Encrypt the secrets of events, which go into rows and not into the journal."""
    return [
        event if event.secret is None else event._replace(secret=_encrypt_secret(keyring, row, event))
        for event in events
    ]


def decrypt_result(keyring: Keyring, instance: int, row: StepRow) -> StepRow:
    """A step with its result decrypted. Raises CannotDecrypt."""
    result = row.result
    if not isinstance(result, msgspec.Raw) or bytes(memoryview(result)[: len(_PREFIX_BYTES)]) != _PREFIX_BYTES:
        return row
    return replace(
        row, result=raw_if_large(keyring.decrypt(bytes(result).decode(), "step", instance, encode_step(row.key)))
    )


def _encrypt_secret(keyring: Keyring, row: InstanceRow, event: NewEvent) -> msgspec.Raw:
    text = encode(event.secret)
    if event.type == ev.KV_PUT:
        return msgspec.Raw(keyring.encrypt(text, "kv", *scope_of(row), event.data["key"]).encode())
    assert event.step is not None, "only a key or a step's result is kept out of the journal"
    return msgspec.Raw(keyring.encrypt(text, "step", row.key, encode_step(event.step)).encode())


def secret_place(tenant: str, name: str) -> tuple[str, str, str]:
    """The place of a tenant's secret, which is its associated data in encryption."""
    return ("secret", tenant, name)


def encrypt_secret(keyring: Keyring, tenant: str, name: str, value: str) -> str:
    """A tenant's secret as it is stored."""
    return keyring.encrypt(json.dumps(value), *secret_place(tenant, name))


def reencrypted(keyring: Keyring, text: str, *place: str | int) -> str:
    """A value of this place, encrypted with the newest key."""
    return keyring.encrypt(keyring.decrypt(text, *place), *place)
