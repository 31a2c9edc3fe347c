"""The proof at start: attacks really run from a locked child, and what each layer is answerable for must be blocked."""

import asyncio
import json
import socket
from collections.abc import Mapping

from playground.sandbox import frames
from playground.sandbox.handle import Worker
from playground.sandbox.tiers import LANDLOCK, LIMITS, NAMESPACES, SECCOMP, USER, SandboxRefused, Tier

PROBE_SECONDS = 10.0
ANSWER_BYTES = 64 * 1024
BLOCKED = "blocked"

# Which layers stop an attack, each without any other. Proved by tests/test_sandbox_layers.py, one layer at a time.
STOPPED_BY: Mapping[str, frozenset[str]] = {
    name: frozenset(layers)
    for name, layers in {
        "read the accounts file": {NAMESPACES, LANDLOCK},
        # Names, sizes and times are not files' content to Landlock.
        "see that the accounts file is there": {NAMESPACES},
        "list the root directory": {LANDLOCK},
        "list processes": {NAMESPACES, LANDLOCK},
        # The fork server starts without one.
        "read the server's environment": {NAMESPACES, LANDLOCK, SECCOMP, LIMITS, USER},
        "write a file": {NAMESPACES, LANDLOCK, SECCOMP, LIMITS},
        "open a socket": {SECCOMP},
        "signal the fork server": {LANDLOCK, SECCOMP, USER},
        "signal process 1": {LANDLOCK, SECCOMP, USER},
        "watch the fork server's processor time": {SECCOMP},
        "execute a program": {SECCOMP},
        "be traced": {SECCOMP},
        "make a memory file": {SECCOMP},
        "map executable memory": {SECCOMP},
        "loosen a limit": {SECCOMP},
        # A child closes them before any layer.
        "find another descriptor": {NAMESPACES, LANDLOCK, SECCOMP, LIMITS, USER},
        "change user": {SECCOMP},
        "fork": {SECCOMP},
        "make a user namespace": {SECCOMP},
        "start a thread": {SECCOMP},
    }.items()
}


async def attack(worker: Worker) -> dict[str, str]:
    """Have a worker run the attacks. Returns each one's result: `blocked`, or `open: ` and what was reached.

    Raises:
        SandboxRefused: the worker gave no answer.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await loop.sock_sendall(worker.sock, frames.encode({"op": "probe"}))
            size = int.from_bytes(await _exactly(loop, worker.sock, frames.HEADER), "big")
            if size > ANSWER_BYTES:
                raise EOFError
            answer = json.loads(await _exactly(loop, worker.sock, size))
    except (TimeoutError, OSError, EOFError, ValueError):
        raise SandboxRefused("The probe of the sandbox gave no answer.") from None
    finally:
        worker.close()
    return dict(answer["results"])


def verify(tier: Tier, results: Mapping[str, str]) -> None:
    """Compare what the attacks reached with what the tier's layers are answerable for. Raises SandboxRefused."""
    held = set(tier.layers)
    open_ = [
        f"{name} ({results.get(name, 'not tried')})"
        for name, layers in STOPPED_BY.items()
        if layers & held and results.get(name) != BLOCKED
    ]
    if open_:
        raise SandboxRefused(
            f"The sandbox does not hold on this machine although its layers were entered: {'; '.join(open_)}. "
            "Run the server on another kernel, and report this."
        )


async def _exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = await loop.sock_recv(sock, count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
