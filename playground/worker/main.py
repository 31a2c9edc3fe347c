"""The entry point of a worker process: warm up before the fork, then handle one request and exit.

A locked child reads its first frame (`start`, `check`, `find`, `import` or `probe`), does what it asks, and is not used
again, unless the frame says `keep`: then a child that has checked a source waits to run it, and a warm one waits for
the next run. Before any child, the fork server runs a trivial workflow WARM_UP_RUNS times: code that has run is
specialised and its caches are filled, so that no worker does it again on pages that it must copy first (copy on write).
It saves each start 0.3 ms of processor time.
"""

import asyncio
import gc
import importlib
import json
import socket
import types
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import Any

from playground import analysis
from playground.worker import api, logs
from playground.worker.channel import Channel, ChannelClosed
from playground.worker.loop import LockedLoop, Loop
from playground.worker.packages import modules_of_packages
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
    "event": {"payload": {}, "timestamp": 0, "instance": "warm-up", "workflow": "warm-up"},
    "execution": 1,
    "steps": [],
    "env": {},
    "limits": {
        "value_bytes": 1 << 20,
        "step_bytes_limit": 1,
        "step_limit": 1,
        "patch_limit": 1,
        "delay_function_ms": 1000,
    },
    "mode": "run",
    "now": 0,
    "clock": 0,
}


_FRAME = json.dumps(START).encode()


class _WarmUpProcess(Process):
    """Changes nothing in the process that it runs in."""

    def exit(self, code: int = 0) -> None:
        self.has_exited = True

    def prepare(self, loop: asyncio.AbstractEventLoop, streams: Mapping[str, logs.LogStream]) -> None:
        pass

    def redirect_output(self, streams: Mapping[str, logs.LogStream]) -> None:
        pass

    def load_module(self, source: str) -> types.ModuleType:
        module = types.ModuleType("warm-up")
        exec(compile(source, "warm_up.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - our own source
        return module


def warm_up_pages(channel: Channel, spare: Loop) -> None:
    """In a worker without a request yet, touch the pages that a start touches, so that they are copied beforehand.

    It halves the time to the tenant's first line. A start that is there already is not delayed: then this is skipped.
    `spare` is a loop that reads nothing, since the worker's own might read the start frame.
    """
    if not channel.is_readable():
        channel.decode(_FRAME)
        _WarmUpProcess().load_module(SOURCE)
        spare.run_until_complete(_nothing())


async def _nothing() -> None:
    pass


def warm_up(times: int = 1) -> None:
    """Run the trivial workflow `times` over; it leaves only specialised code and filled caches."""
    api.install()
    for _ in range(times):
        ours, theirs = socket.socketpair()
        loop = Loop(Channel(ours.detach()))
        ours.close()
        loop.add_reader(theirs, theirs.shutdown, socket.SHUT_WR)  # once there is output, the trusted side may close
        try:
            Execution(loop, _WarmUpProcess()).run(START)
        finally:
            loop.remove_reader(theirs)
            loop.close()
            loop.channel.socket.close()
            theirs.close()


ERROR_CHARACTERS = 500
MISSING = "missing"
WARM_UP_RUNS = 20  # after which the interpreter has specialised the code that a start runs through (PEP 659)


@dataclass(frozen=True, slots=True)
class PreparedWorker:
    """A worker before its fork: everything but the socket, a spare loop for `warm_up_pages`, and the modules of the
    operator's packages.
    """

    execution: Execution
    spare: Loop
    packages: tuple[str, ...]


def warm(fd: int) -> PreparedWorker:
    """Prepare in the fork server, once, what every worker needs; its channel will be on `fd`."""
    warm_up(WARM_UP_RUNS)
    for _ in range(WARM_UP_RUNS):
        analysis.check(SOURCE)
    channel = Channel(fd, is_open=False)
    execution = Execution(LockedLoop(channel), Process())
    return PreparedWorker(execution, LockedLoop(channel), modules_of_packages())


def prepare(ready: PreparedWorker) -> None:
    """Called in the child before it is locked: open the channel. It reads nothing."""
    ready.execution.loop.channel.open()


def main(ready: PreparedWorker) -> None:
    """Handle the request that arrives on the channel, then exit the process."""
    warm_up_pages(ready.execution.loop.channel, ready.spare)
    gc.disable()  # until the stored steps are loaded: to look through thousands of new objects would find nothing
    serve(ready.execution, ready.packages)


def serve(execution: Execution, packages: tuple[str, ...] = ()) -> None:
    """Read the first frame, do what it asks, and exit, or do the same again where it says `keep`.

    `packages` are the modules of the operator's packages, which the lint has to know.
    """
    channel = execution.loop.channel
    keep = True
    try:
        while keep:
            first = channel.receive_first()
            keep = first.get("keep", False)
            if first["op"] == "start":
                keep = execution.run(first)
                if keep:
                    execution.prepare_another()
            elif first["op"] == "check":
                cloudflare = first.get("cloudflare", False)
                found = analysis.check(first["source"], first["class_name"], packages, cloudflare=cloudflare)
                _reply(channel, {"op": "checked", **found})
            elif first["op"] == "import":
                _reply(channel, {"op": "probed", "results": {first["module"]: _import(first["module"])}})
            elif first["op"] == "find":
                found = {name: "" if PathFinder.find_spec(name) else MISSING for name in first["modules"]}
                _reply(channel, {"op": "probed", "results": found})
            else:
                from playground.sandbox import probe_attacks

                _reply(channel, {"op": "probed", "results": probe_attacks.run()})
    except ChannelClosed:
        pass
    execution.process.exit()


def _import(module: str) -> str:
    """Import a module of a package, locked as code is. Returns the error, or "" where it works."""
    try:
        importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is shown to the operator
        return " ".join(f"{type(error).__name__}: {error}".split())[:ERROR_CHARACTERS]
    return ""


def _reply(channel: Channel, frame: dict[str, Any]) -> None:
    channel.post(frame)
    channel.flush()
