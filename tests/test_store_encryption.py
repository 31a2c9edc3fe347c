"""Encryption at rest: bound to its place, keys that rotate, and what a store does with too few of them."""

import base64
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from aio import run
from http_support import Log
from store_support import AT, do, is_sqlite, opened, quick, running, sqlite_url

from playground.store import StoreError
from playground.store.encoding import as_objects
from playground.store.encryption import BadKey, CannotDecrypt, Keyring, key_id, new_key
from playground.store.open import open_key_admin
from playground.store.tables import Scope, scope_of
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

OLD, NEW = bytes(range(32)), bytes(range(100, 132))
PLACE = ("secret", "acme", "TOKEN")
SECRET = "sk_live_51Hx_never_in_a_file"


def test_what_is_encrypted_for_one_place_is_not_read_in_another() -> None:
    keyring = Keyring([OLD])
    text = keyring.encrypt(json.dumps(SECRET), *PLACE)
    assert SECRET not in text and keyring.decrypt(text, *PLACE) == json.dumps(SECRET)
    for other in (
        ("secret", "globex", "TOKEN"),
        ("secret", "acme", "OTHER"),
        ("kv", "acme", "TOKEN"),
        ("secret", "acme", "TOKEN", ""),
    ):
        with pytest.raises(CannotDecrypt, match="was changed"):
            keyring.decrypt(text, *other)


def test_a_value_that_was_changed_is_refused_wherever_the_change_is() -> None:
    keyring = Keyring([OLD])
    head, _, data = keyring.encrypt("1", *PLACE).rpartition(":")
    raw = base64.b64decode(data)
    for at in range(len(raw)):
        changed = base64.b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]).decode()
        with pytest.raises(CannotDecrypt):
            keyring.decrypt(f"{head}:{changed}", *PLACE)
    for damaged in (f"{head}:", f"{head}:AAAA", f"{head}:{data[:-1]}", "enc1:xyz"):
        with pytest.raises(CannotDecrypt, match="TOKEN"):
            keyring.decrypt(damaged, *PLACE)


def test_the_newest_key_encrypts_and_every_key_decrypts() -> None:
    old = Keyring([OLD]).encrypt("1", *PLACE)
    both = Keyring([NEW, OLD])
    assert both.decrypt(old, *PLACE) == "1" and not both.is_current(old)
    assert both.is_current(both.encrypt("1", *PLACE))
    with pytest.raises(CannotDecrypt, match=f"key {key_id(OLD)}, which this server was not given"):
        Keyring([NEW]).decrypt(old, *PLACE)


def test_equal_and_short_secrets_do_not_look_it() -> None:
    keyring = Keyring([OLD])
    texts = {keyring.encrypt(json.dumps(secret), *PLACE) for secret in ("abcd", "abcd", "abcdefghijkl")}
    assert len(texts) == 3 and len({len(text) for text in texts}) == 1


def test_without_a_key_all_stays_as_it_is() -> None:
    assert not Keyring() and Keyring().encrypt("{}", *PLACE) == Keyring().decrypt("{}", *PLACE) == "{}"


def test_keys_are_read_from_a_variable_or_a_file_and_a_bad_one_is_not_shown() -> None:
    one, two = new_key(), new_key()
    for text in (
        f"{one},{two}",
        f"# made today\n{one}  # newest\n\n{two}\n",
        f" {one} {two} ",
        f"{one.rstrip('=')},{two}",
    ):
        assert len(Keyring.parse(text, "secrets_key").ids) == 2
    assert Keyring.parse("", "x").ids == ()
    for bad in ("short", base64.b64encode(os.urandom(31)).decode(), one + "x"):
        with pytest.raises(BadKey, match="secrets_key has a key that is not 32 bytes") as refused:
            Keyring.parse(bad, "secrets_key")
        assert bad not in str(refused.value)
    assert one not in repr(Keyring.parse(one, "x"))


# A store.


def execute(url: str, statement: str) -> list[str]:
    """Run a statement on a database behind the store's back; the first column of its rows."""
    if is_sqlite(url):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            return [str(value) for (value,) in db.execute(statement)]
    from postgres_support import name_of, shared_server

    return shared_server().sql(statement, name_of(url)).splitlines()


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("store.db*")))


def put(key: str, value: object, secret: object = None) -> NewEvent:
    return NewEvent(ev.KV_PUT, {"key": key, "value": value}, None, secret)


def used(url: str, *keys: bytes, log: Log | None = None) -> int:
    """A database in which a secret stands as a tenant's secret, a key's value and a step's result, with these keys;
    gives the instance's number.
    """

    async def use() -> int:
        store = opened(url, keyring=Keyring(keys), log=Log() if log is None else log)
        try:
            await store.tenants.set_secret("acme", "TOKEN", SECRET)
            row = await running(store, tenant="acme")
            *before, completed = quick(do())
            hidden = completed._replace(data={"output": ev.REDACTED}, secret={"token": SECRET})
            await store.append(
                row.key,
                [*before, hidden, put("token", ev.REDACTED, SECRET), put("plain", 1)],
                execution=row.execution,
                at=AT,
            )
            return row.key
        finally:
            await store.close()

    return int(run(use()))


def check_all_is_there(url: str, key: int, *keys: bytes, log: Log | None = None) -> None:
    async def look() -> None:
        store = opened(url, keyring=Keyring(keys), log=Log() if log is None else log)
        try:
            assert await store.tenants.secrets("acme") == {"TOKEN": SECRET}
            row = (await store.load(key)).row
            assert await store.kv.get(scope_of(row), "token") == (True, SECRET)
            assert await store.kv.get(scope_of(row), "plain") == (True, 1)
            assert (await store.load(key)).steps[do()].result == {"token": SECRET}
        finally:
            await store.close()

    run(look())


def test_no_file_of_a_store_with_a_key_holds_the_secret(tmp_path: Path) -> None:
    """Of SQLite, whose files are all there is; what PostgreSQL's hold of rows that were is its own matter."""
    key = used(sqlite_url(tmp_path), OLD)
    assert SECRET.encode() not in files(tmp_path)
    check_all_is_there(sqlite_url(tmp_path), key, OLD)


STORED = (
    "SELECT value FROM tenant_secret UNION ALL SELECT value FROM kv WHERE key = 'token' "
    "UNION ALL SELECT result FROM step WHERE result IS NOT NULL"
)


def test_what_was_plain_is_encrypted_in_every_row_when_the_first_key_appears(store_url: str) -> None:
    key = used(store_url)
    assert all(SECRET in text for text in execute(store_url, STORED))
    log = Log()
    check_all_is_there(store_url, key, OLD, log=log)
    stored = execute(store_url, STORED)
    assert len(stored) == 3 and all(text.startswith(f"enc1:{key_id(OLD)}:") for text in stored)
    [told] = log.of("secrets_encrypted")
    assert (told["values"], told["key"]) == (4, key_id(OLD))
    with open_key_admin(store_url) as admin:
        assert admin.reencrypt(Keyring([NEW, OLD])) == (4, [key_id(OLD)])
    assert all(text.startswith(f"enc1:{key_id(NEW)}:") for text in execute(store_url, STORED))
    check_all_is_there(store_url, key, NEW)
    with open_key_admin(store_url) as admin:
        assert admin.forget_secrets_key(key_id(OLD)) is None
        assert admin.forget_secrets_key(key_id(NEW)) == [("acme", "TOKEN")]
    run(opened(store_url).close())


def test_what_was_plain_is_encrypted_when_the_first_key_appears_and_no_free_page_keeps_it(tmp_path: Path) -> None:
    """Of SQLite's file."""
    key = used(sqlite_url(tmp_path))
    assert SECRET.encode() in files(tmp_path), "else this test can't fail"
    log = Log()
    check_all_is_there(sqlite_url(tmp_path), key, OLD, log=log)
    assert SECRET.encode() not in files(tmp_path)
    [told] = log.of("secrets_encrypted")
    assert (told["values"], told["key"], told["reason"]) == (4, key_id(OLD), "-")
    again = Log()
    check_all_is_there(sqlite_url(tmp_path), key, OLD, log=again)
    assert again.of("secrets_encrypted") == []


@pytest.mark.parametrize(("given", "why"), [((), "no key is given"), ((NEW,), "not among the keys given")])
def test_a_store_whose_key_is_missing_is_not_opened_and_nothing_is_lost(
    store_url: str, given: tuple[bytes, ...], why: str
) -> None:
    key = used(store_url, OLD)
    with pytest.raises(StoreError, match=f"encrypted with key {key_id(OLD)}, and .*{why}.*PLAYGROUND_SECRETS_KEY"):
        opened(store_url, keyring=Keyring(given))
    check_all_is_there(store_url, key, NEW, OLD)


def test_who_opens_it_without_asking_for_secrets_reads_none_and_is_never_given_an_empty_one(store_url: str) -> None:
    key = used(store_url, OLD)

    async def look() -> None:
        store = opened(store_url)
        try:
            assert await store.tenants.secret_names("acme") == ["TOKEN"]
            for refused in (store.tenants.secrets("acme"), store.load(key), store.kv.get(Scope("acme", 0), "token")):
                with pytest.raises(CannotDecrypt, match=key_id(OLD)):
                    await refused
            assert await store.kv.get(Scope("acme", 0), "plain") == (True, 1)
        finally:
            await store.close()

    run(look())


def test_a_secret_that_was_copied_to_another_tenant_is_not_read_there(store_url: str) -> None:
    used(store_url, OLD)
    execute(store_url, "INSERT INTO tenant_secret SELECT 'mallory', name, value, encrypted FROM tenant_secret")

    async def look() -> None:
        store = opened(store_url, keyring=Keyring([OLD]))
        try:
            with pytest.raises(CannotDecrypt, match="secret mallory TOKEN"):
                await store.tenants.secrets("mallory")
        finally:
            await store.close()

    run(look())


def test_a_tenants_value_that_looks_encrypted_is_a_value(store_url: str) -> None:
    text = Keyring([OLD]).encrypt(json.dumps(SECRET), *PLACE)

    async def look() -> None:
        store = opened(store_url, keyring=Keyring([OLD]))
        try:
            row = await running(store, tenant="acme")
            await store.append(row.key, [*quick(do(), text), put("k", text)], execution=row.execution, at=AT)
            assert as_objects((await store.load(row.key)).steps[do()].result) == text
            assert await store.kv.get(Scope("acme", 0), "k") == (True, text)
        finally:
            await store.close()

    run(look())
