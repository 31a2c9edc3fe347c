"""The parts of large bytes that steps return: a binding of the worker's own, which tenants do not see.

A result that is bytes, and too large for the journal, is stored part by part while its attempt runs; the journal gets
what stands for it when the attempt ends (workflows/step_bytes.py). Parts without such an end are dropped: by the step's
next attempt, by the first part of a later execution, with a restart and with the instance.

A worker is held to it: parts come in order, from a running attempt of a `do` that is not sensitive, all but the last of
`PART_BYTES`, up to `step_bytes_limit` (settings) each and, with all else, `instance_bytes` together. A result that
stands for bytes is taken only where they came before it.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from playground.engine.bindings.binding import Binding, CallContext, CallLimits
from playground.sandbox import frames
from playground.store.protocol import Store
from playground.workflows import events as ev
from playground.workflows.errors import BindingError, NonRetryableError
from playground.workflows.events import StepKey
from playground.workflows.step_bytes import PART_BYTES, STORED_BYTES, part_count, stand_in

NAME = "$step_bytes"  # no name that an env can have; the worker's is worker/step_bytes.py
_FORGED = "protocol: a result stands for bytes that were not sent"


@dataclass(slots=True)
class _Upload:
    """What an attempt has sent so far."""

    attempt: int
    size: int = 0
    parts: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class StepBytes(Binding):
    """Stores and reads the parts of one execution."""

    limits = CallLimits(calls=1_000_000, in_flight=16, bytes=2 * PART_BYTES, seconds=60)

    def __init__(self) -> None:
        self._uploads: dict[StepKey, _Upload] = {}
        self._has_cleared = False
        self._turn = asyncio.Lock()  # parts are stored in the order in which they came

    async def put(self, number: int, data: bytes, *, call: CallContext) -> None:
        """Store the next part of what the calling attempt returns."""
        async with self._turn:
            await self._put(number, data, call)

    async def _put(self, number: int, data: bytes, call: CallContext) -> None:
        step, host = call.step, call.host
        if step is None or call.attempt is None or step.kind != ev.DO or not host.runs_attempt(step, call.attempt):
            raise BindingError("Parts are of the result of a step's running attempt.")
        upload = self._uploads.get(step)
        if number == 0:
            host.release_bytes(0 if upload is None else upload.size)
            upload = self._uploads[step] = _Upload(call.attempt)
        if upload is None or upload.attempt != call.attempt or number != upload.parts:
            raise BindingError("A part is out of turn.")
        if not isinstance(data, bytes) or not 0 < len(data) <= PART_BYTES or upload.size != number * PART_BYTES:
            raise BindingError(f"Each part but the last has {PART_BYTES:,} bytes.")
        most = host.limit("step_bytes_limit")
        if upload.size + len(data) > most:
            raise NonRetryableError(
                f'The result of step "{step.label}" is more than {most:,} bytes, which is the limit.'
            )
        host.hold_bytes(step, len(data))
        upload.size, upload.parts = upload.size + len(data), number + 1
        upload.digest.update(data)
        store, row = host.store.step_bytes, host.row
        if not self._has_cleared:
            await store.clear(row.key, execution=row.execution)
            self._has_cleared = True
        await store.put(row.key, step, number, data, execution=row.execution)

    async def get(self, step: Any, number: int, *, call: CallContext) -> bytes:
        """A part of what a step returned."""
        return await read_part(call.host.store, call.host.row.key, step, number)

    def refusal(self, step: StepKey, attempt: int, value: Any) -> str | None:
        """Why the result of an attempt can't be taken: it stands for bytes that are not stored. Else None."""
        upload = self._uploads.pop(step, None)
        if not isinstance(value, dict) or STORED_BYTES not in value:
            return None
        if upload is None or upload.attempt != attempt or upload.parts != part_count(upload.size):
            return _FORGED
        return None if value == stand_in(upload.size, upload.digest.hexdigest()) else _FORGED


async def read_part(store: Store, instance: int, step: Any, number: Any) -> bytes:
    """A part of what a step returned, as a worker asks for it: `step` is what a frame has.

    Raises:
        BindingError: that is no step.
        NonRetryableError: there is no such part.
    """
    try:
        key = frames.step_key(msgspec.convert(step, frames.Step))
    except msgspec.ValidationError:
        raise BindingError("That is no step.") from None
    part = await store.step_bytes.part(instance, key, number) if _is_number(number) else None
    if part is None:
        raise NonRetryableError(f'The bytes that step "{key.label}" returned are not stored any more.')
    return part


def _is_number(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31
