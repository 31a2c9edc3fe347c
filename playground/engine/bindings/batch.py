"""`env.BATCH`, which only a handler of a batch has: what it says of its messages while it runs and when it ends.

The worker calls it for the handler (worker/queue_handler.py); the pump reads what it leaves in the journal
(engine/message_queues.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from playground.engine.bindings.binding import Binding, CallContext, CallLimits
from playground.engine.message_rules import BATCH_MOST, delay_ms
from playground.workflows import events as ev
from playground.workflows.errors import BindingError
from playground.workflows.events import NewEvent


class Batch(Binding):
    """What a handler of batches says of its messages, for the pump (engine/message_queues.py).

    It says so once of each message, and of all at its end; more is a fault.
    """

    limits = CallLimits(calls=2 * BATCH_MOST, in_flight=2 * BATCH_MOST)

    async def mark(self, acked: Sequence[str], retried: Sequence[Mapping[str, Any]], *, call: CallContext) -> None:
        """Note which messages are acknowledged, by their ids, and which come again: `{"id", "delay_seconds"}`."""
        if not isinstance(acked, list) or not isinstance(retried, list) or len(acked) + len(retried) > BATCH_MOST:
            raise BindingError(f"A batch has at most {BATCH_MOST} messages.")
        if not all(isinstance(id, str) for id in acked):
            raise BindingError("The id of a message is a text.")
        again = []
        for entry in retried:
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
                raise BindingError("A message that comes again is a dict with id and delay_seconds.")
            delay = entry.get("delay_seconds")
            again.append({"id": entry["id"], **({} if delay is None else {"delay_ms": delay_ms(delay)})})
        await call.host.write(NewEvent(ev.BATCH_MARKED, {"acked": acked, "retried": again}, None))
