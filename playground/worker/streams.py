"""`self.env.STREAMS`: a step appends values to streams while it runs.

An append is sent without waiting for a reply, as lines of the log are: the values stand in the journal in the order of
the appends, before the end of the attempt. An attempt that is lost or fails begins its streams anew when it is tried
again, so nothing is gained by waiting.

Only an attempt that runs may append. Outside of steps every replay would append again, and what a step leaves running
would append to an attempt that is over.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from playground.worker.attempts import encode_value
from playground.worker.channel import TEXTS, Channel
from playground.worker.context import Key, label_of, step_of_caller
from playground.worker.entrypoint import WorkflowFatalError
from playground.workflows import names
from playground.workflows.errors import InvalidName

PROGRESS = "progress"  # the stream that `progress` appends to, unless it is given another

_OUTSIDE = "env.STREAMS.append is for the callback of a step: outside of steps each replay would append again."
_OVER = "env.STREAMS.append: no attempt of step {step} runs now. Await appends before the step returns."
_TOO_MANY = (
    "env.STREAMS.append: {most:,} streams in one execution, which is the limit. Put what differs into the values."
)
_PERCENT = "env.STREAMS.progress takes a number from 0 to 100 as percent, not {given}."


class Streams:
    """The streams of one execution.

    `running_attempt` gives the attempt of a step that runs now; `limits` are those of the start frame.
    """

    def __init__(
        self, channel: Channel, running_attempt: Callable[[Key], int | None], limits: Mapping[str, Any]
    ) -> None:
        self._channel, self._running_attempt, self._limits = channel, running_attempt, limits
        self._names: set[str] = set()

    def __repr__(self) -> str:
        return "<binding STREAMS: append, progress>"

    async def append(self, stream: str, value: Any) -> None:
        """Append a storable value to a stream."""
        step = step_of_caller()
        if step is None:
            raise WorkflowFatalError(_OUTSIDE)
        attempt = self._running_attempt(step)
        if attempt is None:
            raise WorkflowFatalError(_OVER.format(step=label_of(step)))
        self._check_name(stream)
        _, text = encode_value(value, f'value for stream "{stream}"', self._limits["call_bytes"])
        frame = {"op": "append", "step": step, "attempt": attempt, "stream": stream, TEXTS: {"value": text}}
        self._channel.post(frame)
        self._channel.flush_old()
        await asyncio.sleep(0)  # a loop of appends lets timeouts and other tasks have their turn

    async def progress(self, percent: float, text: str = "", stream: str = PROGRESS) -> None:
        """Append how far the step is, `{"percent", "text"}`, which the page draws as a bar."""
        if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 0 <= percent <= 100:
            raise WorkflowFatalError(_PERCENT.format(given=f"{percent!r:.60}"))
        await self.append(stream, {"percent": percent, "text": str(text)})

    def _check_name(self, stream: object) -> None:
        if isinstance(stream, str) and stream in self._names:
            return
        try:
            name = names.check_stream_name(stream)
        except InvalidName as refused:
            raise WorkflowFatalError(refused.message) from None
        if len(self._names) >= self._limits["stream_names"]:
            raise WorkflowFatalError(_TOO_MANY.format(most=self._limits["stream_names"]))
        self._names.add(name)
