"""Getting an instance's code before an execution: within a time, tried again with growing waits, and written down when
it fails.

A failed loading is an execution of its own in the journal, without a worker: `execution_started`, the error as a log
line, and `execution_ended` with the reason `not_loaded` and how many there were in a row.
"""

import asyncio
from typing import Any

from playground.engine import messages
from playground.engine.code.code import Code
from playground.engine.code.sources import NotRegistered
from playground.engine.execution.services import Services
from playground.engine.metrics import whose
from playground.store.protocol import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import NonRetryableError, TooLarge
from playground.workflows.events import NewEvent

FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 10 * 60_000
MESSAGE_LENGTH = 2_000  # characters kept of an error's message
LOOKED_BACK = 50  # journal events looked through for the end of the last execution


class LoadFailed(Exception):
    """The code could not be had. `error` is what the journal shows; `final` says that trying again is of no use."""

    def __init__(self, error: dict[str, Any], *, final: bool) -> None:
        super().__init__(error["message"])
        self.error, self.final = error, final


async def load(services: Services, row: InstanceRow) -> Code:
    """The code for an instance's next execution.

    Raises:
        NotRegistered: see `sources.py`.
        LoadFailed: whatever else kept it from being had.
    """
    seconds = services.settings.load_seconds
    try:
        async with asyncio.timeout(seconds) as within:
            code = await services.sources.load(row)
        if not isinstance(code, Code):
            raise TypeError(f"the loader gave {type(code).__name__}, and has to give Code")
        size = len(code.source.encode("utf-8", "surrogatepass"))
        if size > services.settings.source_bytes:
            raise TooLarge(f"the source has {size:,} bytes; the limit is {services.settings.source_bytes:,}")
    except NotRegistered:
        raise
    except Exception as failed:
        if isinstance(failed, TimeoutError) and within.expired():
            services.counts.limit("load_seconds", whose(row), instance=row.key)
            late = messages.error("LoaderTimeout", f"the code was not there within {seconds} s")
            raise LoadFailed(late, final=False) from None
        services.log("load_failed", instance=row.key, error=f"{type(failed).__name__}: {failed}")
        shown = messages.error(type(failed).__name__, _said(str(failed)))
        raise LoadFailed(shown, final=isinstance(failed, NonRetryableError)) from failed
    return code


async def failures_in_a_row(services: Services, row: InstanceRow) -> int:
    """How often the executions just before this one failed for want of code."""
    events = await services.store.events(row.key, after=max(0, row.last_seq - LOOKED_BACK), limit=LOOKED_BACK)
    ends = [event.data for event in events if event.type == ev.EXECUTION_ENDED]
    return int(ends[-1].get("failures", 0)) if ends and ends[-1]["reason"] == ev.NOT_LOADED else 0


def told(row: InstanceRow, failed: LoadFailed, before: int, most: int, now: int) -> list[NewEvent]:
    """What a failed loading is in the journal; `before` is how many there were just before it, `most` how many there
    may be.
    """
    failures = before + 1
    text = f"The code could not be loaded: {failed.error['name']}: {failed.error['message']}"
    final = failed.final or failures >= most
    if not final:
        wait = min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** min(before, 20))
        text += f" (tried {failures} of {most} times; the next is in {wait // 1000} s)"
    started = {"execution": row.execution, "worker": None, "replayed": 0, "code_version": None}
    log = {"stream": "stderr", "level": "ERROR", "text": text, "replay": False}
    ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.NOT_LOADED, "failures": failures})
    begun = [NewEvent(ev.EXECUTION_STARTED, started), NewEvent(ev.LOG, log)]
    if final:
        return [*begun, ended, NewEvent(ev.WORKFLOW_ERRORED, {"error": failed.error})]
    return [*begun, NewEvent(ev.WORKFLOW_WAITING, {"until": now + wait}), ended]


def _said(message: str) -> str:
    return message.encode("utf-8", "replace").decode()[:MESSAGE_LENGTH]
