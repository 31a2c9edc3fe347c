"""A step's large bytes, inside: sent in parts while its attempt runs, and asked for when a replay comes to them.

One part is under way at a time, so that neither side holds more than one beside the bytes themselves. Where the code
waits for parts outside of steps, no other result is released to it (replay.py), so that its way stays that of the first
execution, which had the bytes at once.
"""

import hashlib
import io
from collections.abc import Awaitable, Callable
from typing import Any

from playground.worker.context import Key
from playground.worker.entrypoint import NotSerialisableError
from playground.workflows.step_bytes import PART_BYTES, STORED_BYTES, part_count, part_size, stand_in, stored_size

BINDING = "$step_bytes"  # no name that an env can have
Call = Callable[[str, str, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]


class KeptBytes:
    """The bytes that a step of this execution returned."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class StepBytes:
    """Sends and fetches the bytes of one execution's steps.

    Args:
        call: calls a binding.
        value_bytes: what any result may take when stored.
        most: how large a result may be that is bytes.
    """

    def __init__(self, call: Call, value_bytes: int, most: int) -> None:
        self._call, self._value_bytes, self._most = call, value_bytes, most

    def are_large(self, result: Any) -> bool:
        """Whether a result is bytes, and too large for the journal."""
        return isinstance(result, (bytes, bytearray)) and len(result) > self._value_bytes * 3 // 4 - 16

    async def send(self, name: str, result: bytes | bytearray) -> tuple[KeptBytes, dict[str, Any]]:
        """Store the bytes that the running attempt returns; also returns what stands for them.

        Raises:
            NotSerialisableError: there are too many.
        """
        if len(result) > self._most:
            raise NotSerialisableError(
                f'The result of step "{name}" is {len(result):,} bytes; the limit of bytes is {self._most:,}. Keep '
                "large data elsewhere and store its address."
            )
        kept = KeptBytes(bytes(result))
        digest = hashlib.sha256(kept.data).hexdigest()
        view = memoryview(kept.data)
        for number in range(part_count(len(view))):
            part = bytes(view[number * PART_BYTES : (number + 1) * PART_BYTES])
            await self._call(BINDING, "put", (number, part), {})
        return kept, stand_in(len(view), digest)

    async def value(self, key: Key, tree: Any) -> bytes:
        """The bytes that an ended step returned, for which `tree` stands (see `is_apart`)."""
        if type(tree) is KeptBytes:
            return tree.data
        size = stored_size(tree)
        if size is None:
            raise NotSerialisableError(f'The result of step "{key[1]}" cannot be read.')
        # Written in place and handed over without a copy: a worker's memory may have no room for two.
        buffer = io.BytesIO()
        buffer.seek(size - 1)
        buffer.write(b"\0")
        buffer.seek(0)
        for number in range(part_count(size)):
            part = await self._call(BINDING, "get", (list_of(key), number), {})
            if not isinstance(part, bytes) or len(part) != part_size(size, number):
                raise NotSerialisableError(f'The bytes that step "{key[1]}" returned are not stored any more.')
            buffer.write(part)
        return buffer.getvalue()


def is_apart(tree: Any) -> bool:
    """Whether the result of a step is not its encoded form, but what stands for large bytes."""
    return type(tree) is KeptBytes or (type(tree) is dict and STORED_BYTES in tree)


def list_of(key: Key) -> list[Any]:
    """A step's key as a frame has it."""
    return [list_of(part) if isinstance(part, tuple) else part for part in key]
