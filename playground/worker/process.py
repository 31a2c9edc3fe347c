"""What an execution does to the process it lives in.

A worker owns its process; `playground.testing` lends it a thread instead.
"""

import asyncio
import gc
import linecache
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from playground.worker import failures
from playground.worker.attempts import Report
from playground.worker.channel import Channel
from playground.worker.history import History
from playground.worker.output import log_stream, logging_setup
from playground.worker.output.python_warnings import Warnings
from playground.worker.replay import Replay
from playground.worker.steps import Steps
from playground.workflows.source_text import with_ends

MODULE = "workflow"  # what the tenant's module is called


class Process:
    """The whole process, used for one execution.

    `left` is true once it has been left, which a real process does not live to see.
    """

    left = False

    def leave(self, code: int = 0) -> None:
        """End at once, running nothing more: the trusted side has gone or has what it asked for, or `code` says why."""
        os._exit(code)

    def expect(self, loop: asyncio.AbstractEventLoop, streams: Mapping[str, log_stream.LogStream]) -> None:
        """Make ready what can be, perhaps long before there is a start: this in the fork server, for all of its
        children.
        """
        asyncio.set_event_loop(loop)
        logging_setup.take_root(streams["logging"])
        Warnings(MODULE, lambda: sys.stderr).begin()

    def begin(self, streams: Mapping[str, log_stream.LogStream]) -> None:
        """Called once, before the tenant's code is loaded: what is printed goes to the streams named `stdout` and
        `stderr`.
        """
        sys.stdout, sys.stderr = streams["stdout"], streams["stderr"]
        gc.freeze()

    def steps(
        self,
        channel: Channel,
        replay: Replay,
        history: History,
        limits: Mapping[str, Any],
        report: Report,
        wall: Callable[[], int],
    ) -> Steps:
        """The `step` object that the tenant's code is given; `wall` gives epoch milliseconds."""
        return Steps(channel, replay, history, limits, report, wall)

    def load(self, source: str) -> types.ModuleType:
        """The module of a source. Raises what its code raises."""
        linecache.cache[failures.FILE] = (len(source), None, with_ends(source), failures.FILE)
        module = types.ModuleType(MODULE)
        module.__file__ = failures.FILE
        sys.modules[MODULE] = module
        exec(compile(source, failures.FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is what a worker is for
        return module
