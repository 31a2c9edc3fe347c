"""Workers that have been used once and wait to be used again, each only by the owner that it is kept for.

Two kinds are kept (engine/workers.py): a child that has checked a source, for a moment, to run it for whoever asked,
and the warm workers of tenants' deployed code. The key says whose a worker is and for which code; it is never given for
another key.

A kept worker has nothing to say. When it sends anything, or its process ends, it is closed. It is closed too after its
time, when its fork server is replaced, and when there are more than `most`: the one that has waited longest.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from playground.sandbox.handle import Worker


@dataclass(slots=True)
class _Kept:
    key: Hashable
    worker: Worker
    timer: asyncio.TimerHandle


class KeptWorkers:
    """The kept workers of one kind on this node. At most `most` are kept at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Worker, _Kept] = OrderedDict()  # the longest kept first
        self._of_key: dict[Hashable, list[Worker]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: Hashable, worker: Worker, seconds: float) -> None:
        """Keep a worker, which waits for its next first frame, for at most so many seconds."""
        assert worker not in self._kept, "a worker is kept once"
        if not worker.is_reusable() or not self._most:
            worker.close()
            return
        loop = asyncio.get_running_loop()
        self._kept[worker] = _Kept(key, worker, loop.call_later(seconds, self._close, worker))
        self._of_key.setdefault(key, []).append(worker)
        loop.add_reader(worker.sock, self._close, worker)
        while len(self._kept) > self._most:
            self._close(next(iter(self._kept)))

    def take(self, key: Hashable) -> Worker | None:
        """Take the worker that was kept last for this key; None where there is none that can be used."""
        while workers := self._of_key.get(key):
            worker = workers[-1]
            self._forget(worker)
            if worker.is_reusable() and not _has_something_to_read(worker):
                return worker
            worker.close()
        return None

    def close_of(self, key: Hashable) -> None:
        """Close those that are kept for this key."""
        for worker in list(self._of_key.get(key, ())):
            self._close(worker)

    def close(self) -> None:
        """Close all of them."""
        while self._kept:
            self._close(next(iter(self._kept)))

    def _close(self, worker: Worker) -> None:
        self._forget(worker)
        worker.close()

    def _forget(self, worker: Worker) -> None:
        kept = self._kept.pop(worker)
        kept.timer.cancel()
        workers = self._of_key[kept.key]
        workers.remove(worker)
        if not workers:
            del self._of_key[kept.key]
        asyncio.get_running_loop().remove_reader(worker.sock)


def _has_something_to_read(worker: Worker) -> bool:
    """Whether it has sent something, or its socket has ended, which the event loop has not seen yet."""
    try:
        worker.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
