"""A run to take along: as a file (`runfiles/format.py`), streamed as it is read from the store, and as a test
(`runfiles/written_test.py`), written in a thread from a journal of at most `test_file_bytes`.

Nothing is kept in memory but the events of one read; a reader that is slow holds up only its own stream, and one that
does not read is dropped by the connection's own limit (`stream_send_seconds`). What is sent is the journal up to the
event that the instance had when it was asked for: where it is deleted meanwhile, or the store is away, the file lacks
its last line, and whoever opens it says so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from playground.engine.code.sources import is_deployed, shown_workflow
from playground.runfiles.format import MEDIA_TYPE, Code, Head, Writer, file_name, read_event
from playground.runfiles.written_test import file_name as test_name
from playground.runfiles.written_test import write_test
from playground.store import StoreError
from playground.store.rows import InstanceRow
from playground.web.context import Context
from playground.web.http.authorization import charge_reading, find_instance, hold_stream
from playground.web.http.responses import NO_STORE
from playground.workflows.errors import TooLarge
from playground.workflows.names import workflow_class
from playground.workflows.titles import title_of

BATCH_EVENTS = 500  # read at a time; the store reads fewer where values are large
ID_SHOWN = 8  # characters of the id of a run that has no name
CODE_FILE = "workflow.py"


async def export(context: Context, request: Request) -> StreamingResponse:
    """A run as a file of JSON lines: what it is, each event of its journal, and a last line with their hash."""
    row = await find_instance(context, request)
    await charge_reading(context, request, row, events=row.last_seq)
    head = await head_of_run(context, row)
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{file_name(row.id)}"'}
    return _Download(_lines(context, row, head), headers, hold_stream(context, request))


async def test(context: Context, request: Request) -> Response:
    """A pytest file that pins what a run did: its steps with their attempts, what came from outside, its end."""
    row = await find_instance(context, request)
    await charge_reading(context, request, row, events=row.last_seq)
    texts = await _journal(context, row)
    head = await head_of_run(context, row)
    written = await asyncio.to_thread(_write_test, head, texts)
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{test_name(head)}"'}
    return Response(written, media_type="text/plain; charset=utf-8", headers=headers)


def _write_test(head: Head, texts: list[bytes]) -> str:
    return write_test(head, [read_event(text) for text in texts])


async def _journal(context: Context, row: InstanceRow) -> list[bytes]:
    """The events of a run as JSON. Raises TooLarge."""
    most, found, size, after = context.settings.test_file_bytes, list[bytes](), 0, 0
    while after < row.last_seq:
        limit = min(BATCH_EVENTS, row.last_seq - after)
        batch = await context.store.events_json(row.key, after=after, limit=limit)
        if not batch:
            break
        after = batch[-1][0]
        found += [text for _, _, text in batch]
        size += sum(len(text) for _, _, text in batch)
        if size > most:
            raise TooLarge(
                f"The journal of this run has more than {most:,} bytes, the limit for a test. Make one of a run with "
                "less in it; `export` takes it as a file.",
                limit=most,
                setting="test_file_bytes",
            )
    return found


async def head_of_run(context: Context, row: InstanceRow) -> Head:
    """The first line of a run's file."""
    source, class_name = await _code(context, row)
    return Head(
        product=context.version,
        written_at=context.now(),
        id=row.id,
        title=(title_of(source) if source else None)
        or (shown_workflow(row.workflow) if row.tenant else f"Run {row.id[:ID_SHOWN]}"),
        workflow=shown_workflow(row.workflow),
        class_name=class_name,
        status=row.status,
        last_seq=row.last_seq,
        params=row.params,
        code=Code(CODE_FILE, row.snippet, source),
    )


async def _code(context: Context, row: InstanceRow) -> tuple[str | None, str]:
    """The source that the run has now, where it came to this server as text, and the name of its class."""
    if row.metadata is not None and not is_deployed(row.workflow):
        return None, row.class_name
    try:
        code = await context.engine.code(row)
    except StoreError:
        raise
    except Exception:  # noqa: BLE001 - its version may be gone: the journal is worth having without it
        return None, workflow_class(row.class_name)
    return code.source, workflow_class(code.class_name)


async def _lines(context: Context, row: InstanceRow, head: Head) -> AsyncIterator[bytes]:
    writer = Writer()
    yield writer.head(head)
    after = 0
    try:
        while after < row.last_seq:
            limit = min(BATCH_EVENTS, row.last_seq - after)
            found = await context.store.events_json(row.key, after=after, limit=limit)
            if not found:
                return  # it was deleted meanwhile
            after = found[-1][0]
            yield writer.events(text for _, _, text in found)
    except StoreError as error:
        context.log("unavailable", method="GET", route="a run's file", error=f"{type(error).__name__}: {error}")
        return
    yield writer.end()


class _Download(StreamingResponse):
    """A stream that ends by itself; `leave` is called when it is over, however it ends."""

    def __init__(self, content: Any, headers: dict[str, str], leave: Callable[[], None]) -> None:
        super().__init__(content, headers=headers, media_type=MEDIA_TYPE)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()
