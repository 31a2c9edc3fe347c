"""`env.EFFECTS`: side effects that are only pretended, in a ledger that shows what really happened, and how often.

An effect happens when it is asked for, outside any journal's transaction, as a payment or a mail does. When an attempt
is lost after its effect, the next attempt has it again, unless it names a `key`: then the ledger gives back the first.
That is the lesson.

The ledger is shown, so it has no secrets; nor has the receipt, which is what the ledger holds.
"""

from typing import Any

from playground.engine.bindings.binding import Binding, CallContext
from playground.store.tables import NewEffect
from playground.workflows import values
from playground.workflows.errors import BindingError

KEY_LENGTH = 200  # characters
KIND_LENGTH = 40
DATA_BYTES = 4 * 1024


class Effects(Binding):
    """The ledger. `effects_per_instance` (a setting) bounds it."""

    async def charge(
        self, amount: float, key: str | None = None, *, call: CallContext, **details: Any
    ) -> dict[str, Any]:
        """Charge an amount. Gives the receipt; with `key` a second time the first one's, and nothing is charged."""
        if isinstance(amount, bool) or not isinstance(amount, (int, float)):
            raise BindingError(f"charge takes an amount as a number, not {type(amount).__name__}.")
        return await _record(call, "charge", key, {"amount": amount, **details})

    async def email(
        self, to: str, subject: str = "", key: str | None = None, *, call: CallContext, **details: Any
    ) -> dict[str, Any]:
        """Send a mail. Gives the receipt; with `key` a second time the first one's, and nothing is sent."""
        if not isinstance(to, str) or not to:
            raise BindingError("email takes an address as a string.")
        return await _record(call, "email", key, {"to": to, "subject": subject, **details})

    async def record(self, kind: str, key: str | None = None, *, call: CallContext, **details: Any) -> dict[str, Any]:
        """Let an effect of any kind happen."""
        if not isinstance(kind, str) or not kind.isidentifier() or len(kind) > KIND_LENGTH:
            raise BindingError(f"The kind of an effect must be a word of at most {KIND_LENGTH} letters, digits and _.")
        return await _record(call, kind, key, details)


async def _record(call: CallContext, kind: str, key: str | None, data: dict[str, Any]) -> dict[str, Any]:
    if key is not None and (not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH):
        raise BindingError(f"The key of an effect must be a string of 1 to {KEY_LENGTH} characters.")
    host = call.host
    host.check_name("The key of an effect", key)
    host.check_name("The kind of an effect", kind)
    step = str(call.step) if call.step is not None else None
    tree = values.encode_bounded(data, f"data of this {kind}", DATA_BYTES)
    new = NewEffect(host.scope, host.row.key, kind, key, host.redact(tree), step, call.attempt, call.execution)
    most = host.limit("effects_per_instance")
    made = await host.store.effects.record(new, at=host.now(), most=most)
    if made is None:
        raise BindingError(
            f"This instance has had {most:,} effects, the most there may be. Split the work into several instances.",
            setting="effects_per_instance",
        )
    return {"id": f"{made.kind}-{made.number}", "at": made.at, "repeated": made.asked > 1, **values.decode(made.data)}
