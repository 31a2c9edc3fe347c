"""The parts of large bytes that steps returned (workflows/step_bytes.py), in tables of their own beside the journals.

An instance's parts go with it. Those of a step are replaced by its next attempt's; those that no result stands for
are dropped by `clear`, and by a restart.
"""

from typing import Protocol

from playground.workflows.events import StepKey


class StepBytesStore(Protocol):
    """The parts of all instances."""

    async def put(self, instance: int, step: StepKey, number: int, data: bytes, *, execution: int) -> None:
        """Store a part; number 0 drops what the step had before.

        Raises:
            Fenced: another execution plays the instance, or none.
        """

    async def clear(self, instance: int, *, execution: int) -> None:
        """Drop the parts that no step's result stands for. Raises Fenced."""

    async def part(self, instance: int, step: StepKey, number: int) -> bytes | None:
        """A part, or None."""
