"""Where a locked child begins: read the first frame, and do what it asks once. The process is never used again.

A trivial workflow, run through on a channel of its own before there is a tenant, so that the first real line finds
everything warm.

The fork server rehearses before it forks: code that has run is specialised and its caches are filled, so that no worker
has to do it again on pages that it must copy first. It saves each start 0.3 ms of processor time.
"""

import asyncio
import json
import socket
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground import analysis
from playground.worker import api, logs
from playground.worker.channel import Channel, ChannelClosed
from playground.worker.loop import LockedLoop, Loop
from playground.worker.run import Execution, Process
from playground.workflows.names import CLASS_NAME

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


class _WarmUpProcess(Process):
    """Leaves no trace in the process."""

    def leave(self, code: int = 0) -> None:
        self.left = True

    def expect(self, loop: asyncio.AbstractEventLoop, streams: Mapping[str, logs.LogStream]) -> None:
        pass

    def begin(self, streams: Mapping[str, logs.LogStream]) -> None:
        pass

    def load(self, source: str) -> types.ModuleType:
        module = types.ModuleType("rehearsal")
        exec(compile(source, "warm_up.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - our own source
        return module


def warm_up_once(channel: Channel, spare: Loop) -> None:
    """In a worker that has nothing to do yet: touch what a start touches, so that those pages are its own already when
    a start comes.

    It costs no start anything, as it is left out where one is there already; it halves the way to the tenant's first
    line. `spare` is a loop that listens to nothing, since one that does might hear the start.
    """
    if not channel.has_something():
        channel.decode(_FRAME)
        _WarmUpProcess().load(SOURCE)
        spare.run_until_complete(_nothing())


async def _nothing() -> None:
    pass


def warm_up(times: int = 1) -> None:
    """Run the workflow `times` over. Nothing of it is left but warmth."""
    api.install()
    for _ in range(times):
        ours, theirs = socket.socketpair()
        loop = Loop(Channel(ours.detach()))
        ours.close()
        loop.add_reader(theirs, theirs.shutdown, socket.SHUT_WR)  # the output is there, so the trusted side may go
        try:
            Execution(loop, _WarmUpProcess()).play(START)
        finally:
            loop.remove_reader(theirs)
            loop.close()
            loop.channel.socket.close()
            theirs.close()


WARM_UP_RUNS = 20  # after which the interpreter has specialised the code that a start runs through (PEP 659)


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker before its first frame: all but the socket, and a loop to limber up on."""

    execution: Execution
    spare: Loop


def warm(fd: int) -> Ready:
    """What every worker would do for itself otherwise, up to a channel that will be on `fd`.

    Called once in the fork server, before any worker.
    """
    warm_up(WARM_UP_RUNS)
    for _ in range(WARM_UP_RUNS):
        analysis.check(SOURCE)
    channel = Channel(fd, there=False)
    return Ready(Execution(LockedLoop(channel), Process()), LockedLoop(channel))


def prepare(ready: Ready) -> None:
    """What a worker could not do once it is locked. It reads nothing."""
    ready.execution.loop.channel.open()


def main(ready: Ready) -> None:
    """Serve the one request that arrives on the channel, then leave: in a real process, this never returns."""
    warm_up_once(ready.execution.loop.channel, ready.spare)
    serve(ready.execution)


def serve(execution: Execution) -> None:
    """Read the first frame, do what it asks, and leave."""
    channel = execution.loop.channel
    try:
        first = channel.receive_first()
        if first["op"] == "start":
            execution.play(first)
        elif first["op"] == "check":
            _reply(channel, {"op": "checked", **analysis.check(first["source"], first["class_name"])})
        elif first["op"] == "probe":
            from playground.sandbox import probe_attacks

            _reply(channel, {"op": "probed", "results": probe_attacks.run()})
    except ChannelClosed:
        pass
    execution.process.leave()


def _reply(channel: Channel, frame: dict[str, Any]) -> None:
    channel.post(frame)
    channel.flush()
