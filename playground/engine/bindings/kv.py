"""`env.KV`: keys and values of a tenant, in the store of the journals and in their transactions.

What a step writes is committed together with its result, and not at all when its attempt fails; within the attempt it
reads its own writes. Outside steps a write is committed at once, and again whenever the code is replayed. Instances of
nobody (tenant "") have keys of their own each. Two instances of a tenant that write one key: the later commit counts.

Whether there is room (`kv_bytes`) is checked when a write is called, not when it is committed: to refuse the commit
would be to fail a step whose code has ended well. What other open attempts on this node hold is counted too, so that
together they cannot pass the limit, except for commits under way at that time. Attempts on different nodes do not know
of each other: on N nodes a tenant can come to N times `kv_bytes` at most, and then writes nothing until it has deleted
what is over.
"""

import builtins
from typing import Any

from playground.engine.bindings.binding import Binding, CallContext, Host
from playground.store.tables import ROW_BYTES
from playground.workflows import events as ev
from playground.workflows import names, values
from playground.workflows.errors import BindingError, TooLarge
from playground.workflows.events import NewEvent

LIST_MOST = 1_000
LIST_DEFAULT = 100
_WRITES = frozenset({ev.KV_PUT, ev.KV_DELETED})


class KV(Binding):
    """A tenant's keys and values. `kv_value_bytes` and `kv_bytes` (settings) bound one value and all of a tenant's."""

    async def get(self, key: str, default: Any = None, *, call: CallContext) -> Any:
        """The value of a key, or `default`."""
        _check_key(key)
        for event in reversed(call.host.buffered_writes(call.step)):
            if event.type in _WRITES and event.data["key"] == key:
                return values.decode(event.data["value"]) if event.type == ev.KV_PUT else default
        found, value = await call.host.store.kv.get(call.host.scope, key)
        return values.decode(value) if found else default

    async def put(self, key: str, value: Any, *, call: CallContext) -> None:
        """Set a key to a storable value."""
        _check_key(key)
        host = call.host
        host.check_name("A KV key", key)
        tree = values.encode(value)
        try:
            size = values.check_size(tree, f'value of key "{key[:60]}"', host.limit("kv_value_bytes"))
        except TooLarge as refused:
            refused.name_setting("kv_value_bytes")
            raise
        taken = ROW_BYTES + len(key.encode()) + size
        await _check_room(host, taken)
        await host.write(NewEvent(ev.KV_PUT, {"key": key, "value": tree}, call.step), size, taken)

    async def delete(self, key: str, *, call: CallContext) -> None:
        """Remove a key; one that is not there is no error."""
        _check_key(key)
        call.host.check_name("A KV key", key)
        await call.host.write(NewEvent(ev.KV_DELETED, {"key": key}, call.step))

    async def list(
        self, prefix: str = "", limit: int = LIST_DEFAULT, after: str = "", *, call: CallContext
    ) -> "builtins.list[str]":
        """Up to `limit` keys that begin with `prefix`, in order, those after `after`."""
        if (
            not isinstance(prefix, str)
            or not isinstance(after, str)
            or not isinstance(limit, int)
            or not 1 <= limit <= LIST_MOST
        ):
            raise BindingError(f"KV.list takes a prefix, a limit from 1 to {LIST_MOST:,}, and the key to go on after.")
        buffered = [event for event in call.host.buffered_writes(call.step) if event.type in _WRITES]
        written = {event.data["key"]: event.type == ev.KV_PUT for event in buffered}
        most = limit + sum(not there for there in written.values())
        stored = await call.host.store.kv.keys(call.host.scope, prefix=prefix, after=after, limit=most)
        added = [key for key, there in written.items() if there and key.startswith(prefix) and key > after]
        return sorted({*(key for key in stored if written.get(key, True)), *added})[:limit]


def _check_key(key: object) -> None:
    if not names.is_step_name(key):
        raise BindingError(
            f"A KV key must be a string of 1 to {names.STEP_NAME_LENGTH} characters without control characters."
        )


async def _check_room(host: Host, size: int) -> None:
    most = host.limit("kv_bytes")
    stored = await host.store.kv.bytes(host.scope)
    if size + stored + host.uncommitted_bytes_of_scope() > most:  # and nothing is awaited until it is held itself
        raise BindingError(
            f"KV is full: it holds at most {most:,} bytes. Delete keys, or keep large data elsewhere.",
            setting="kv_bytes",
        )
