"""Where a locked child begins: read the first frame, and do what it asks once. The process is never used again."""

from typing import Any

from playground import analysis
from playground.worker.channel import Channel, ChannelClosed
from playground.worker.loop import LockedLoop
from playground.worker.process import Process
from playground.worker.rehearsal import SOURCE, rehearse
from playground.worker.run import Execution

REHEARSALS = 20  # after which the interpreter has specialised the code that a start runs through (PEP 659)


def warm(fd: int) -> Execution:
    """What every worker would do for itself otherwise, up to a channel that will be on `fd`. Called once in the fork server, before any worker."""
    rehearse(REHEARSALS)
    for _ in range(REHEARSALS):
        analysis.check(SOURCE)
    return Execution(LockedLoop(Channel(fd, there=False)), Process())


def prepare(ready: Execution) -> None:
    """What a worker could not do once it is locked. It reads nothing."""
    ready.loop.channel.open()


def main(ready: Execution) -> None:
    """Serve the one request that arrives on the channel, then leave: in a real process, this never returns."""
    channel = ready.loop.channel
    try:
        first = channel.receive_first()
        if first["op"] == "start":
            ready.play(first)
        elif first["op"] == "check":
            _reply(channel, {"op": "checked", **analysis.check(first["source"])})
        elif first["op"] == "probe":
            from playground.sandbox import attack

            _reply(channel, {"op": "probed", "results": attack.run()})
    except ChannelClosed:
        pass
    ready.process.leave()


def _reply(channel: Channel, frame: dict[str, Any]) -> None:
    channel.post(frame)
    channel.flush()
