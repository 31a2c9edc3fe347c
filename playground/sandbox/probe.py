"""The probe at start: real attacks run in a locked worker, and every attack that a layer must stop must be blocked."""

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from playground.sandbox import frames
from playground.sandbox.handle import Worker
from playground.sandbox.tiers import LANDLOCK, LIMITS, NAMESPACES, SECCOMP, USER, SandboxRefused, Tier

PROBE_SECONDS = 10.0
RESULT_BYTES_MAX = 64 * 1024
MISSING_NAMED = 5
BLOCKED = "blocked"

# The layers that stop an attack, each of them alone. tests/test_sandbox_layers.py proves it, one layer at a time.
STOPPED_BY: Mapping[str, frozenset[str]] = {
    name: frozenset(layers)
    for name, layers in {
        "read the accounts file": {NAMESPACES, LANDLOCK},
        # Landlock does not restrict names, sizes and times.
        "see that the accounts file is there": {NAMESPACES},
        "list the root directory": {LANDLOCK},
        "list processes": {NAMESPACES, LANDLOCK},
        # The fork server starts with an empty environment.
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
        # A child closes them before it enters any layer.
        "find another descriptor": {NAMESPACES, LANDLOCK, SECCOMP, LIMITS, USER},
        "change user": {SECCOMP},
        "fork": {SECCOMP},
        "make a user namespace": {SECCOMP},
        "start a thread": {SECCOMP},
    }.items()
}


async def run_attacks(worker: Worker) -> dict[str, str]:
    """Run the attacks in a worker. Returns their results by name: `blocked`, or `open: ` and what was reached.

    Raises:
        SandboxRefused: the worker did not answer.
    """
    results = await _ask(worker, {"op": "probe"})
    if results is None:
        raise SandboxRefused("The probe of the sandbox gave no answer.")
    return results


async def try_import(worker: Worker, module: str) -> str:
    """Have a locked worker import a module of a package. Returns why that fails, "" where it works."""
    results = await _ask(worker, {"op": "import", "module": module})
    if results is None:
        return f"its import ends the worker, or takes more than {PROBE_SECONDS:.0f} s"
    return results.get(module, "")


async def require_packages(worker: Worker, modules: Sequence[str]) -> None:
    """Check that a locked worker finds each module of the packages. Raises SandboxRefused."""
    results = await _ask(worker, {"op": "find", "modules": list(modules)})
    missing = [module for module in modules if results is None or results.get(module) != ""]
    if missing:
        raise SandboxRefused(
            f"Workers can't read the operator's packages ({', '.join(missing[:MISSING_NAMED])}). Let every user of "
            "this machine read the folder that they are installed in (packages_folder), and the folders above it."
        )


async def _ask(worker: Worker, request: dict[str, Any]) -> dict[str, str] | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await loop.sock_sendall(worker.sock, frames.encode(request))
            size = int.from_bytes(await _receive_exactly(loop, worker.sock, frames.HEADER_BYTES), "big")
            if size > RESULT_BYTES_MAX:
                return None
            answer = json.loads(await _receive_exactly(loop, worker.sock, size))
        return {str(name): str(result) for name, result in answer["results"].items()}
    except (TimeoutError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None
    finally:
        worker.close()


def require_blocked(tier: Tier, results: Mapping[str, str]) -> None:
    """Check that every attack which the tier's layers must stop was blocked. Raises SandboxRefused."""
    in_force = set(tier.layers)
    reached = [
        f"{name} ({results.get(name, 'not tried')})"
        for name, layers in STOPPED_BY.items()
        if layers & in_force and results.get(name) != BLOCKED
    ]
    if reached:
        raise SandboxRefused(
            f"The sandbox does not hold on this machine although its layers were entered: {'; '.join(reached)}. "
            "Run the server on another kernel, and report this."
        )


async def _receive_exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = await loop.sock_recv(sock, count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
