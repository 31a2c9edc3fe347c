"""What a worker is told of its steps' ends: sent once the commit is durable, and kept back while the instance is being
paused.
"""

import asyncio
from typing import Any

from playground.engine.execution.conversation import Conversation
from playground.sandbox import frames


class Answers:
    """The answers owed to one worker. A pause keeps them back, so that its code does not come to its next step."""

    def __init__(self, execution: Conversation) -> None:
        self._execution = execution
        self._withheld: list[tuple[bytes, int]] = []
        self._loop = asyncio.get_running_loop()

    def give(self, message: dict[str, Any]) -> None:
        """Send what ends a step, or keep it for later."""
        if self._execution.pausing:
            self._withheld.append((frames.encode(message), 1))
        else:
            self._execution.send(message)

    def acknowledge(self, data: bytes, count: int) -> None:
        """Send what ends `count` steps, on the event loop or on the thread that committed them."""
        if self._execution.pausing or self._execution.channel is None:
            self._loop.call_soon_threadsafe(self._late, data, count)
        else:
            self._execution.channel.send_from_thread(data, count)

    def release(self) -> None:
        """Send what was kept back."""
        withheld, self._withheld = self._withheld, []
        if self._execution.channel is not None:
            self._execution.channel.send_encoded(
                b"".join(data for data, _ in withheld), sum(count for _, count in withheld)
            )

    def _late(self, data: bytes, count: int) -> None:
        if self._execution.pausing:
            self._withheld.append((data, count))
        elif self._execution.channel is not None:
            self._execution.channel.send_encoded(data, count)
