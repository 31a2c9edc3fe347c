"""What a worker is told of its steps' ends: sent once the commit is durable, and kept back while the instance is being paused."""

import asyncio
from collections.abc import Callable
from typing import Any

from playground.engine.conversation import Conversation
from playground.sandbox import frames
from playground.store.protocol import Committed


class Answers:
    """The answers owed to one worker. A pause keeps them back, so that its code does not come to its next step."""

    def __init__(self, execution: Conversation) -> None:
        self._execution = execution
        self._withheld: list[tuple[bytes, int]] = []
        self._behind = False
        self._loop = asyncio.get_running_loop()

    def give(self, message: dict[str, Any]) -> None:
        """Send what ends a step, or keep it for later."""
        if self._execution.pausing or self._behind:
            self._withheld.append((frames.encode(message), 1))
        else:
            self._execution.send(message)

    def acknowledge(self, data: bytes, count: int, committed: Committed) -> None:
        """Send what ends `count` steps, on the thread that committed them."""
        if self._execution.pausing or self._behind or self._execution.channel is None:
            self._loop.call_soon_threadsafe(self._late, data, count)
        else:
            self._execution.channel.send_from_thread(data, count)

    def fall_behind(self) -> None:
        """Keep everything back: something older is to be sent first."""
        self._behind = True

    def catch_up(self, give_older: Callable[[], None]) -> None:
        """Send what is older, which `give_older` gives, then what was kept back meanwhile."""
        withheld, self._withheld, self._behind = self._withheld, [], False
        give_older()
        self._withheld += withheld
        if not self._execution.pausing:
            self.release()

    def release(self) -> None:
        """Send what was kept back."""
        if self._behind:
            return
        withheld, self._withheld = self._withheld, []
        if self._execution.channel is not None:
            self._execution.channel.send_encoded(b"".join(data for data, _ in withheld), sum(count for _, count in withheld))

    def _late(self, data: bytes, count: int) -> None:
        if self._execution.pausing or self._behind:
            self._withheld.append((data, count))
        elif self._execution.channel is not None:
            self._execution.channel.send_encoded(data, count)
