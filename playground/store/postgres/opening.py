"""What is done once when a store is opened: the server's version, the schema, partitions, keys, and whether a pooler is
between.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from playground.store.encryption import Keyring
from playground.store.errors import StoreError, shown_url
from playground.store.postgres.connections import (
    LEAST_VERSION,
    DatabaseFault,
    explain,
    one_connection,
)
from playground.store.postgres.migrations import migrate
from playground.store.postgres.secrets_at_rest import prepare_encryption
from playground.store.postgres.upkeep import make_partitions
from playground.store.protocol import Log

T = TypeVar("T")


class Facts(NamedTuple):
    """What is known of the database: its version for people, whether a pooler is between, the end of its partitions."""

    version: str
    pooled: bool
    partitions_end: int


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop and a thread of its own; the caller's thread may have a loop that runs."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="store-opening")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


async def with_connection(url: str, work: Callable[[Any], Awaitable[T]]) -> T:
    """Do something on one connection. Raises StoreError, in one line and without the password."""
    name = f"the database {shown_url(url)}"
    try:
        async with one_connection(url) as connection:
            return await work(connection)
    except StoreError:
        raise
    except DatabaseFault as fault:
        raise StoreError(f"cannot open {name}: {without_secret(url, str(explain(fault)))}") from None
    except ValueError as fault:
        raise StoreError(f"the database's URL cannot be used: {without_secret(url, str(fault))}") from None


def without_secret(url: str, text: str) -> str:
    """A message of the driver's in one line, in which the URL and its password are not shown."""
    text = " ".join(text.split()).replace(url, shown_url(url))
    try:
        password = urlsplit(url).password
    except ValueError:
        return text
    for secret in {password, unquote(password or "")} - {None, ""}:
        text = text.replace(str(secret), "***")
    return text


async def prepare(url: str, keyring: Keyring | None, log: Log) -> Facts:
    """Bring a database up to date, and say what is to be known of it. Raises StoreError."""
    name = f"the database {shown_url(url)}"

    async def work(connection: Any) -> Facts:
        async with connection.transaction():
            number, version = await connection.fetchrow(
                "SELECT current_setting('server_version_num')::int, current_setting('server_version')"
            )
            pooled = connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()")
        if number < LEAST_VERSION:
            raise StoreError(f"{name} is PostgreSQL {version}; it takes 14 or newer")
        before = await migrate(connection, name)
        if before and (after := await migrated_to(connection)) != before:
            log("database_migrated", path=shown_url(url), before=before, after=after)
        if keyring is not None:
            await prepare_encryption(connection, keyring, name, log)
        end = await make_partitions(connection)
        if pooled:
            log("database_pooled", database=shown_url(url))
        return Facts(version.split(" ")[0], pooled, end)

    return await with_connection(url, work)


async def migrated_to(connection: Any) -> int:
    """The version of the schema."""
    async with connection.transaction():
        return int(await connection.fetchval("SELECT max(version) FROM playground_schema"))
