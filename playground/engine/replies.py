"""The reply of a workflow to an event: whoever sent it waits for the journal to have it.

A reply is an event of the journal, committed before anybody is told of it, on whichever node. The deadline goes by real
time, whatever clock the engine goes by: it is a caller who waits.
"""

import asyncio
from typing import Any

from playground.store.protocol import Store
from playground.workflows import events as ev
from playground.workflows.errors import EventNotAnswered, EventRejected

PAGE = 200  # events read at a time
OVER = ev.FINAL_TYPES | {ev.WORKFLOW_RESTARTED}

_LATE = (
    "The workflow has not replied within {seconds:,} s. The event stays with it; its journal shows what comes of it."
)
_ENDED = "The workflow has ended, or was restarted, and has not replied to the event."


async def reply_to(store: Store, key: int, received: int, seconds: int) -> Any:
    """The reply to the event that the journal of an instance received at a seq.

    Raises:
        EventRejected: the workflow refuses the event.
        EventNotAnswered: no reply came within so many seconds, or before the end of the run.
        InstanceNotFound: the instance was deleted.
    """
    try:
        async with asyncio.timeout(seconds), store.subscribe(key) as grown:
            after = received
            while True:
                for event in await store.events(key, after=after, limit=PAGE):
                    after = event.seq
                    if event.type == ev.EVENT_REPLIED and event.data["received"] == received:
                        if "error" in event.data:
                            raise EventRejected(event.data["error"]["message"])
                        return event.data.get("output")
                    if event.type in OVER:
                        raise EventNotAnswered(_ENDED)
                await grown(after)
    except TimeoutError:
        raise EventNotAnswered(_LATE.format(seconds=seconds), setting="reply_seconds") from None
