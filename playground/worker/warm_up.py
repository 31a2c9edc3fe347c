"""A trivial workflow, run through on a channel of its own before there is a tenant, so that the first real line finds
everything warm.

The fork server rehearses before it forks: code that has run is specialised and its caches are filled, so that no worker
has to do it again on pages that it must copy first. It saves each start 0.3 ms of processor time.
"""

import asyncio
import json
import socket
import types
from collections.abc import Mapping
from typing import Any

from playground.worker import api
from playground.worker.channel import Channel
from playground.worker.loop import Loop
from playground.worker.output import log_stream
from playground.worker.process import Process
from playground.worker.run import Execution
from playground.workflows.source_text import CLASS_NAME

SOURCE = """
from workers import WorkflowEntrypoint, NonRetryableError

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return event["payload"]
"""
START: Mapping[str, Any] = {
    "op": "start",
    "source": SOURCE,
    "class_name": CLASS_NAME,
    "event": {"payload": {}, "timestamp": 0, "instance": "rehearsal", "workflow": "rehearsal"},
    "execution": 1,
    "steps": [],
    "env": {},
    "limits": {"value_bytes": 1 << 20, "step_limit": 1, "delay_function_ms": 1000},
    "mode": "run",
    "now": 0,
    "clock": 0,
}


_FRAME = json.dumps(START).encode()


class _Stage(Process):
    """Leaves no trace in the process."""

    def leave(self, code: int = 0) -> None:
        self.left = True

    def expect(self, loop: asyncio.AbstractEventLoop, streams: Mapping[str, log_stream.LogStream]) -> None:
        pass

    def begin(self, streams: Mapping[str, log_stream.LogStream]) -> None:
        pass

    def load(self, source: str) -> types.ModuleType:
        module = types.ModuleType("rehearsal")
        exec(compile(source, "warm_up.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - our own source
        return module


def limber(channel: Channel, spare: Loop) -> None:
    """In a worker that has nothing to do yet: touch what a start touches, so that those pages are its own already when
    a start comes.

    It costs no start anything, as it is left out where one is there already; it halves the way to the tenant's first
    line. `spare` is a loop that listens to nothing, since one that does might hear the start.
    """
    if not channel.has_something():
        channel.decode(_FRAME)
        _Stage().load(SOURCE)
        spare.run_until_complete(_nothing())


async def _nothing() -> None:
    pass


def rehearse(times: int = 1) -> None:
    """Run the workflow `times` over. Nothing of it is left but warmth."""
    api.install()
    for _ in range(times):
        ours, theirs = socket.socketpair()
        loop = Loop(Channel(ours.detach()))
        ours.close()
        loop.add_reader(theirs, theirs.shutdown, socket.SHUT_WR)  # the output is there, so the trusted side may go
        try:
            Execution(loop, _Stage()).play(START)
        finally:
            loop.remove_reader(theirs)
            loop.close()
            loop.channel.socket.close()
            theirs.close()
