"""`env.STREAMS`: values that a step gives out while it runs, live to whoever reads the stream (workflows/streams.py).

An append is no call: the worker sends the value as it sends a line of its log (worker/streams.py) and goes on, and
`engine/execution/streams.py` commits it. So the binding has no methods on this side; it only says that code has it.
"""

from collections.abc import Mapping
from typing import Any

from playground.engine.bindings.binding import Binding


class Streams(Binding):
    """Streams out of steps. `stream_bytes`, `stream_names` and, for one value, `call_bytes` (settings) bound them."""

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`."""
        return {"streams": True}
