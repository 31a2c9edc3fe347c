"""Where a locked child begins: read the first frame, and do what it asks once. The process is never used again."""

from typing import Any

from playground.worker import entrypoint
from playground.worker.channel import Channel, ChannelClosed
from playground.worker.loop import Loop
from playground.worker.process import Process
from playground.worker.rehearsal import rehearse
from playground.worker.run import Execution

REHEARSALS = 20  # after which the interpreter has specialised the code that a start runs through (PEP 659)


def warm() -> None:
    """What every worker would do for itself otherwise. Called once in the fork server, before any worker."""
    rehearse(REHEARSALS)


def prepare(fd: int) -> Loop:
    """What a worker needs and could not make once it is locked: its channel on `fd` and its event loop. Reads nothing."""
    return Loop(Channel(fd))


def main(loop: Loop, process: Process | None = None) -> None:
    """Serve the one request that arrives on the loop's channel, then leave: where `process` is the real one, this never returns."""
    process = process or Process()
    channel = loop.channel
    try:
        first = channel.receive_first()
        if first["op"] == "start":
            entrypoint.install()
            Execution(loop, first, process).play()
        elif first["op"] == "check":
            from playground.analysis import check

            _reply(channel, {"op": "checked", **check(first["source"])})
        elif first["op"] == "probe":
            from playground.sandbox import attack

            _reply(channel, {"op": "probed", "results": attack.run()})
    except ChannelClosed:
        pass
    process.leave()


def _reply(channel: Channel, frame: dict[str, Any]) -> None:
    channel.post(frame)
    channel.flush()
