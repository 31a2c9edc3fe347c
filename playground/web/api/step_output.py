"""One step's output whole, by a call of its own: `GET …/steps/{kind}/{name}/{count}`.

An instance's view leaves large values out once there are many (web/journal_reader.py); this answers with one of them.
It is what the journal shows: a secret in it, or a sensitive output, is `[REDACTED]` here too. Bytes come as they are
(`application/octet-stream`), everything else as the JSON in which it is stored (`application/json`). It is sent in
pieces, and a reader that does not take them is dropped as one of any large answer. Bytes that are too large for the
journal (workflows/step_bytes.py) are read part by part, with their length; a slow reader holds no transaction.

A step that another step's callback calls has no address here; the journal has its output.
"""

import binascii
from collections.abc import AsyncIterator, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from playground.store.encoding import StoredEvent, read_event
from playground.store.protocol import Store
from playground.store.rows import STEP_COMPLETED, InstanceRow, StepRow
from playground.web.context import Context
from playground.web.http.authorization import charge_reading, find_instance
from playground.web.http.errors import NoStepOutput, StepNotFound
from playground.web.http.responses import COMPRESS_UP_TO_BYTES, NO_STORE
from playground.workflows import events as ev
from playground.workflows.events import StepKey
from playground.workflows.step_bytes import STORED_BYTES, part_count, part_size, stored_size

PIECE_BYTES = 64 * 1024  # a multiple of 4, so that each piece of base64 is decoded by itself
ENDS = frozenset({ev.STEP_COMPLETED, ev.WAIT_COMPLETED, ev.STEP_COPIED, ev.STEP_GIVEN})
# How bytes are stored (workflows/values.py), compact; base64 has no quotes.
_KEPT_HEAD = f'{{"{STORED_BYTES}":'.encode()
_BYTES_HEAD, _BYTES_TAIL, _BYTES_QUOTES = b'{"$bytes":"', b'"}', 4


class _ResultData(msgspec.Struct):
    """The fields of an event that may hold a result."""

    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_read_result = msgspec.json.Decoder(_ResultData).decode


async def get(context: Context, request: Request) -> Response:
    """The output of a step that has completed, whole: bytes as they are, anything else as JSON."""
    row = await find_instance(context, request)
    key = _step_of_path(request)
    step = await context.store.step(row, key)
    if step is None:
        raise StepNotFound(f'This run has no step "{key.name[:100]}" of kind {key.kind} with the count {key.count}.')
    text = await _output_json(context.store, row, step) if step.status == STEP_COMPLETED else None
    if text is None:
        raise NoStepOutput(f'Step "{key.label}" has no output: it is {_stands(step)}.')
    size = _kept_size(text)
    await charge_reading(context, request, row, size=len(text) if size is None else size)
    return output_response(text) if size is None else _kept_response(context.store, row, key, size)


def _kept_size(text: bytes) -> int | None:
    """The size of bytes that are kept beside the journal, from what stands for them there."""
    return stored_size(msgspec.json.decode(text)) if text.startswith(_KEPT_HEAD) else None


def _kept_response(store: Store, row: InstanceRow, key: StepKey, size: int) -> Response:
    """The response with bytes that are kept beside the journal, read part by part as they are sent."""
    headers = {**NO_STORE, "Content-Length": str(size), "Content-Encoding": "identity"}
    parts = _parts(store, row, key, size)
    return StreamingResponse(parts, headers=headers, media_type="application/octet-stream")


async def _parts(store: Store, row: InstanceRow, key: StepKey, size: int) -> AsyncIterator[bytes]:
    for number in range(part_count(size)):
        part = await store.step_bytes.part(row.key, key, number)
        if part is None or len(part) != part_size(size, number):
            return  # deleted or restarted meanwhile: the connection ends before its length, which its reader sees
        for begin in range(0, len(part), PIECE_BYTES):
            yield part[begin : begin + PIECE_BYTES]


def _step_of_path(request: Request) -> StepKey:
    kind, name, count = (request.path_params[name] for name in ("kind", "name", "count"))
    number = int(count) if count.isascii() and count.isdigit() and len(count) < 10 else 0
    if kind not in ev.KINDS or number < 1:
        raise StepNotFound(f"A step's address is its kind ({', '.join(ev.KINDS)}), its name and its count from 1.")
    return StepKey(kind, name, number)


def _stands(step: StepRow) -> str:
    if step.key.kind == ev.SLEEP:
        return "a sleep"
    return step.status if step.is_over else "not over"


async def _output_json(store: Store, row: InstanceRow, step: StepRow) -> bytes | None:
    """The output as the journal shows it, as JSON text; None: there is none.

    It stands in the event that ended the step, or, of a step that was copied or given, in the one that began it.
    """
    for seq in dict.fromkeys((step.result_seq, step.ended_seq, step.started_seq)):
        found = None if seq is None else await _event(store, row.key, seq)
        if found is not None and found.type in ENDS and found.step_key == step.key:
            result = _read_result(found.data)
            text = result.event if result.output is msgspec.UNSET else result.output
            return bytes(text) if isinstance(text, msgspec.Raw) else None
    return None


async def _event(store: Store, key: int, seq: int) -> StoredEvent | None:
    rows = await store.events_json(key, after=seq - 1, limit=1)
    return read_event(rows[0][2]) if rows and rows[0][0] == seq else None


def output_response(text: bytes) -> Response:
    """The response with an output, from its JSON text."""
    headers = dict(NO_STORE)
    is_bytes = text.startswith(_BYTES_HEAD) and text.endswith(_BYTES_TAIL) and text.count(b'"') == _BYTES_QUOTES
    body = memoryview(text)[len(_BYTES_HEAD) : -len(_BYTES_TAIL)] if is_bytes else memoryview(text)
    if len(text) > COMPRESS_UP_TO_BYTES:
        headers["Content-Encoding"] = "identity"
    pieces = _pieces(body, binascii.a2b_base64 if is_bytes else bytes)
    return StreamingResponse(
        pieces, headers=headers, media_type="application/octet-stream" if is_bytes else "application/json"
    )


async def _pieces(body: memoryview, read: Callable[[memoryview], bytes]) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), PIECE_BYTES):
        yield read(body[begin : begin + PIECE_BYTES])
