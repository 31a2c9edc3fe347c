"""Where a locked child begins: read the first frame, and do what it asks once. The process is never used again."""

from dataclasses import dataclass
from typing import Any

from playground import analysis
from playground.worker.channel import Channel, ChannelClosed
from playground.worker.loop import LockedLoop, Loop
from playground.worker.process import Process
from playground.worker.run import Execution
from playground.worker.warm_up import SOURCE, limber, rehearse

REHEARSALS = 20  # after which the interpreter has specialised the code that a start runs through (PEP 659)


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker before its first frame: all but the socket, and a loop to limber up on."""

    execution: Execution
    spare: Loop


def warm(fd: int) -> Ready:
    """What every worker would do for itself otherwise, up to a channel that will be on `fd`.

    Called once in the fork server, before any worker.
    """
    rehearse(REHEARSALS)
    for _ in range(REHEARSALS):
        analysis.check(SOURCE)
    channel = Channel(fd, there=False)
    return Ready(Execution(LockedLoop(channel), Process()), LockedLoop(channel))


def prepare(ready: Ready) -> None:
    """What a worker could not do once it is locked. It reads nothing."""
    ready.execution.loop.channel.open()


def main(ready: Ready) -> None:
    """Serve the one request that arrives on the channel, then leave: in a real process, this never returns."""
    limber(ready.execution.loop.channel, ready.spare)
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
