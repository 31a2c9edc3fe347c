"""Is it up (`/healthz`), can it do its work (`/readyz`), how well is it isolated, and how much is waiting."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import Response

from playground import process
from playground.store import JournalError, StoreError
from playground.store.open import free_bytes
from playground.store.protocol import Store
from playground.web.context import Context
from playground.web.http.responses import NO_STORE, json_response
from playground.web.instance_view import ANONYMOUS
from playground.workflows import events as ev
from playground.workflows.errors import Busy

UNFINISHED = tuple(status for status in ev.STATUSES if status not in ev.FINAL_STATUSES)


DATABASE_SECONDS = 5.0  # that the database has
ASIDE_SECONDS = 1.0  # that it has where an answer must come without it


async def readyz(context: Context, request: Request) -> Response:
    """Whether new runs can begin and go on. If not, 503 with the reasons; whoever sends traffic here should send it
    elsewhere, and restart nothing.
    """
    reasons = [reason async for reason in _reasons_not_ready(context)]
    if reasons:
        raise Busy(
            "Not ready. " + " ".join(why for _, why in reasons),
            reasons=[{"what": what, "why": why} for what, why in reasons],
        )
    return json_response({"status": "ready"}, headers=NO_STORE)


async def _reasons_not_ready(context: Context) -> AsyncIterator[tuple[str, str]]:
    settings, store = context.settings, context.store
    free = free_bytes(settings.database)
    if free is not None and free < settings.free_disk_bytes:
        yield (
            "disk",
            (
                f"The database's disk has {free:,} bytes left, and below {settings.free_disk_bytes:,} "
                "(free_disk_bytes) nothing new is started."
            ),
        )
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await store.oldest_due()
    except (StoreError, JournalError, TimeoutError) as error:
        yield "database", f"The database cannot be read: {error or 'it does not answer'}."
    if store.metrics.failing:
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                await store.usage.probe()
        except (StoreError, JournalError, TimeoutError) as error:
            yield "commits", f"Commits fail: {error or 'the database does not answer'}."
    if not context.engine.has_lease:
        seconds = context.engine.lease_age_ms // 1000
        yield (
            "lease",
            (
                f"This node renewed its lease {seconds} seconds ago for the last time, so it runs nothing until it has "
                "another."
            ),
        )
    if process.descriptors_are_low():
        yield (
            "descriptors",
            f"{process.open_descriptors():,} of {process.descriptor_limit():,} file descriptors are in use.",
        )
    if context.engine.sandbox.zygote is None:
        yield "isolation", "There is no fork server, so that no worker can be had; it is tried again and again."


async def healthz(context: Context, request: Request) -> Response:
    """That the server is alive, whatever it can do (`/readyz` says that): its node and how many live, the isolation
    tier, the store, versions and the depth of the queue. What the database does not say in time is null.
    """
    counts, nodes = await _counts_and_nodes(context.store)
    answer = {
        "status": "ok",
        "version": context.version,
        "python": sys.version.split()[0],
        "node": {"name": context.engine.node, "living": nodes},
        "isolation": context.isolation_json(),
        "store": {
            "kind": context.settings.database.partition(":")[0],
            "synchronous": context.settings.synchronous,
            "output_gate": context.engine.runs_ahead,
            "secrets": "encrypted" if context.settings.encrypts_secrets else "plain",
        },
        "instances": None if counts is None else {status: counts.get(status, 0) for status in UNFINISHED},
        "workers": {"running": context.engine.running(), "slots": context.settings.slots},
        "streams": context.limits.streams.total_open(),
    }
    return json_response(answer, headers=NO_STORE)


async def _counts_and_nodes(store: Store) -> tuple[Mapping[str, int] | None, int | None]:
    try:
        async with asyncio.timeout(ASIDE_SECONDS):
            # What tenants have is told to them, and to the operator at /tenants.
            return await store.count(tenant=ANONYMOUS), len((await store.health()).nodes)
    except (StoreError, JournalError, TimeoutError):
        return None, None
