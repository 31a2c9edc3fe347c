"""A database with something in every table that a copy takes along, what is seen of it from outside, and a copy that
stops on the way.
"""

from collections.abc import Callable
from typing import Any, cast

from store_support import (
    AT,
    asleep,
    attempt,
    attempt_errored,
    claim,
    completed,
    create,
    do,
    execution_ended,
    new,
    opened,
    printed,
    quick,
    running,
    started,
    wait,
)

from playground.store.audit import AuditEntry
from playground.store.bulks import Bulk, Target
from playground.store.copying import TABLES, CopySide, Digest
from playground.store.encryption import Keyring
from playground.store.messages import NewMessage, QueueSettings
from playground.store.open import open_for_copy
from playground.store.protocol import Store
from playground.store.rows import Awaited, Snippet
from playground.store.schedules import Schedule
from playground.store.services import Service
from playground.store.snippets import make_snippet
from playground.store.tables import NewEffect, NewVersion, Scope, scope_of
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.flow import Flow, FlowLimits, Rate

KEYS = bytes(range(32))
AWKWARD = "snow ☃, quotes \"', a backslash \\n, a NUL \x00 and 🐍"


async def fill(store: Store, *, many: int = 30) -> None:
    """Something in every table, in every state that rows have."""
    for version in (
        NewVersion(f"# one {AWKWARD}"),
        NewVersion("# two", warm=True),
        NewVersion("# three", workflow="mail", limits={"step_limit": 5}),
    ):
        await store.tenants.deploy("acme", version, at=AT, most=9, workflows_most=9)
    await store.messages.put_queue(
        "acme", "mail", QueueSettings("main", max_batch_size=1, max_batch_timeout_ms=0), most=9
    )
    letters = [NewMessage(f"letter-{n}", "json", {"to": AWKWARD}, n) for n in range(3)]
    await store.messages.send("acme", "mail", letters, at=AT - 1, most=99)
    await store.messages.take(at=AT, most_per_tenant=9)
    await store.tenants.add_key("acme", "the robot's", "hash-1", at=AT)
    await store.tenants.add_key("globex", "", "hash-2", at=AT)
    await store.tenants.revoke_key("acme", 1, at=AT + 5)
    await store.tenants.set_trigger("acme", "trigger-hash")
    await store.tenants.set_secret("acme", "TOKEN", AWKWARD)
    await store.audit.add(AuditEntry(AT, "acme", "key 1", "192.0.2.1", "secret.set", "TOKEN"))
    await store.put_snippet(AWKWARD, '{"a": 1}', at=AT)
    await store.usage.add({("requests", "acme", 7): 3}, since={}, kept={})
    await store.take_chore("expire", at=AT, until=AT + 9)
    nightly = ("acme", "nightly", "w", "0 2 * * *", "UTC", {"n": AWKWARD}, None, "all", True, AT + 9, None, "1", AT)
    await store.schedules.put(Schedule(*nightly), most=9)
    bulk = Bulk("acme", "b1", {"operation": "pause"}, {"tags": ["größe"]}, "running", 2, AT, AT)
    await store.bulks.create(bulk, [Target(2, 1), Target(1, 1)], most=9, kept=9)
    await store.services.put("acme", Service("fetch", "allow", {"allow": [{"host": AWKWARD}]}), most=9)
    # One that finished, with a result that stands in its row, keys and values and effects.
    row = await running(store, "done", tenant="acme", snippet=make_snippet(AWKWARD, None, AT))
    events = [*quick(do("s"), AWKWARD), printed(AWKWARD), started(do("t")), attempt(do("t"))]
    events += [completed(do("t"), "[REDACTED]", secret="sk_live"), NewEvent(ev.KV_PUT, {"key": "k", "value": [1, 2.5]})]
    await store.append(row.key, events, execution=1, at=AT + 1)
    secret = NewEvent(ev.KV_PUT, {"key": "hidden", "value": "[REDACTED]"}, secret=AWKWARD)
    await store.append(row.key, [secret], execution=1, at=AT + 2)
    effect = NewEffect(scope_of(row), row.key, "mail", "key-1", {"to": "x"}, "s", 1, 1)
    await store.effects.record(effect, at=AT, most=9)
    await store.effects.record(effect, at=AT, most=9)
    for number in range(2):
        await store.step_bytes.put(row.key, do("s"), number, bytes(range(256)), execution=1)
    await store.append(
        row.key, [NewEvent(ev.WORKFLOW_COMPLETED, {"output": {"big": 2**53 + 1}})], execution=1, at=AT + 3
    )
    # One that was deleted for its age, whose id stays used.
    gone = await running(store, "used", tenant="acme", at=AT - 99)
    await store.append(gone.key, [NewEvent(ev.WORKFLOW_COMPLETED, {"output": None})], execution=1, at=AT - 90)
    assert await store.expire(AT - 50) == 1
    # A sleeper, one that retries, one that waits with an event in its inbox, one that belongs to a killed node.
    await asleep(store, "sleeps", AT + 5_000)
    row = await running(store, "retries", queue="other")
    failing = [started(do("f")), attempt(do("f")), attempt_errored(do("f"), retry_at=AT + 900), printed("x")]
    asleep_until = [NewEvent(ev.WORKFLOW_WAITING, {"until": AT + 900}), execution_ended()]
    await store.append(row.key, [*failing, *asleep_until], execution=1, at=AT)
    await store.families.add(row.key, Awaited(row.key, StepKey(ev.CHILD, "kid", 2, do("t")), 7, cascades=False))
    row = await running(store, "waits", queue="other")
    received = NewEvent(ev.EVENT_RECEIVED, {"type": "early", "payload": {"n": AWKWARD}})
    waits = [started(wait()), received, NewEvent(ev.WORKFLOW_WAITING, {"until": None}), execution_ended()]
    await store.append(row.key, waits, execution=1, at=AT)
    # One that has begun and one that is held, of a key with limits; nothing else is due.
    flow = Flow("order-7", limits=FlowLimits(1, Rate(1, 60)))
    for id, until in (("begun", AT), ("held", AT + 40_000)):
        await create(store, id, tenant="acme", flow=flow, held_until=until, limits=flow.stored_limits())
    await claim(store, 1, at=AT)
    row = await running(store, "killed", queue="owned")
    await store.append(row.key, [started(do("open")), attempt(do("open"))], execution=1, at=AT)
    # A child, and new ones in several queues and lanes.
    await store.create([new("child", parent=row.key, trigger={"kind": "fork", "of": "killed"})], at=AT)
    await create(store, *(f"new-{n}" for n in range(many)), queue="q2")
    tagged = NewEvent(ev.WORKFLOW_TAGGED, {"tags": ["order-7", "größe"]})
    await create(store, "of-acme", tenant="acme", queue="t:acme", id_chosen=False, events=[tagged])


async def fill_at(url: str, *, keyring: Keyring | None = None, many: int = 30) -> None:
    """Fill an empty database."""
    store = opened(url, keyring=keyring)
    try:
        await fill(store, many=many)
    finally:
        await store.close()


async def digests(url: str) -> dict[str, tuple[int, str]]:
    """The count and digest of each table."""
    found = {}
    async with open_for_copy(url, is_source=True) as side:
        for table in TABLES:
            digest = Digest()
            async for rows in side.rows(table, ()):
                digest.add(rows)
            found[table.name] = (digest.count, digest.text)
    return found


async def seen(store: Store) -> dict[str, Any]:
    """What the store says of everything, but for its own kind."""
    found: dict[str, Any] = {"counts": await store.count()}
    for row in await store.list(None, limit=1_000):
        history = await store.load(row.key)
        found[row.tenant, row.id] = (
            history, await store.events_json(row.key, after=0, limit=1_000), await store.effects.of_instance(row.key),
            await store.kv.keys(scope_of(row), prefix="", after="", limit=99), await store.kv.bytes(scope_of(row)),
            await store.children(row.key, "fork"),
        )  # fmt: skip
    found["kv"] = [await store.kv.get(Scope("acme", 0), key) for key in ("k", "hidden")]
    found["tenants"] = await store.tenants.all(after="", limit=9)
    found["keys"] = [await store.tenants.keys(tenant) for tenant in ("acme", "globex")]
    versions = [it for name in ("main", "mail") for it in await store.tenants.versions("acme", name, limit=9)]
    found["versions"] = [await store.tenants.version("acme", version.id) for version in versions]
    found["queues"] = await store.messages.queues("acme")
    found["letters"] = [await store.messages.delivered(it) for it in await store.messages.open_deliveries()]
    found["schedules"] = await store.schedules.of_tenant("acme")
    found["bulks"] = [(one, await store.bulks.part(one)) for one in await store.bulks.of_tenant("acme")]
    found["services"] = await store.services.of_tenant("acme")
    found["secrets"] = await store.tenants.secrets("acme")
    found["usage"] = await store.usage.amounts("requests", "acme", since=0)
    snippet = make_snippet(AWKWARD, '{"a": 1}', AT)
    found["snippet"] = await store.snippet(snippet.id)
    assert isinstance(found["snippet"], Snippet)
    found["due"] = (await store.next_due(), await store.oldest_due())
    return found


class Crash(Exception):
    """Stands for the end of the process."""


class Crashing:
    """A side whose `steps`th write does not return."""

    def __init__(self, side: CopySide, steps: list[int]) -> None:
        self._side, self._steps, self.name = side, steps, side.name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._side, name)
        if name not in ("begin", "write", "finish"):
            return found

        async def step(*values: Any) -> None:
            await found(*values)
            self._steps[0] -= 1
            if self._steps[0] == 0:
                raise Crash

        return step


def crashing(steps: list[int]) -> Callable[[CopySide], CopySide]:
    """Makes a side of a copy one whose `steps[0]`th write does not return; counts down."""
    return lambda side: cast(CopySide, Crashing(side, steps))
