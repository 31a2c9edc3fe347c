"""Where a locked child begins: read the first frame, and do what it asks once. The process is never used again."""

import os
from typing import Any

from playground.worker import entrypoint
from playground.worker.channel import Channel, ChannelClosed
from playground.worker.run import Execution


def main(fd: int = 3) -> None:
    """Serve the one request that arrives on `fd`, then leave. Never returns."""
    channel = Channel(fd)
    try:
        first = channel.receive_first()
        if first["op"] == "start":
            entrypoint.install()
            Execution(channel, first).play()
        elif first["op"] == "check":
            from playground.analysis import check

            _reply(channel, {"op": "checked", **check(first["source"])})
        elif first["op"] == "probe":
            from playground.sandbox import attack

            _reply(channel, {"op": "probed", "results": attack.run()})
    except ChannelClosed:
        os._exit(0)
    os._exit(0)


def _reply(channel: Channel, frame: dict[str, Any]) -> None:
    channel.post(frame)
    channel.flush()
