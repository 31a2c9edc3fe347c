"""A server that only opens a sandbox, says which processes it consists of, and waits to be killed: `python
sandbox_server.py`.
"""

import asyncio
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from sandbox_support import ENTRY, INSIDE, MEMORY, Log, children, tell

from playground.sandbox.pool import LaunchOptions, Sandbox


async def main() -> None:
    options = LaunchOptions(entry=ENTRY, path=str(INSIDE), without=frozenset(sys.argv[1:]))
    sandbox = await Sandbox.open(memory_bytes=MEMORY, cpu_seconds=10, parked=2, log=Log(), options=options)
    for _ in range(3):
        worker = await sandbox.take_worker()
        await tell(worker, "channel.send(b'x')\nwhile True: pass")
        assert await asyncio.get_running_loop().sock_recv(worker.sock, 1) == b"x"
    assert sandbox.zygote is not None
    print(sandbox.tier.letter, *children(os.getpid()), sandbox.zygote, *children(sandbox.zygote), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
