"""The trusted end of a worker's socket: whole typed frames in, bounded buffers both ways,
reading that can be paused.

Turns among workers that talk without pause: one of them is heard at a time, for a moment, and everyone else in
between.

A worker that says a little now and then is heard at once. One that took longer than a moment waits for its next turn,
and while others have something to do it first rests for a multiple of the time it took. So any number of loud workers,
or of costly frames, leave most of the event loop to the rest.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from playground.sandbox import frames
from playground.sandbox.frames import ProtocolError, Said

MOMENT_SECONDS = 0.002
REST = 4  # times as long as it took
BUSY_SECONDS = 0.0005  # a round of the loop that takes longer had others in it
BUSY_LASTS_SECONDS = 0.1


class FairReading:
    """Whose turn it is. One for all channels of an event loop; `now` gives seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._coming: asyncio.Handle | None = None
        self._expected = 0.0
        self._busy_until = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, hear: Callable[[], None], took: float) -> None:
        """Have `hear` called when its turn comes, after it took so many seconds; it asks again if it needs another."""
        now = self._now()
        rest = REST * took if now < self._busy_until else 0.0
        self._waiting.append((now + rest, hear))
        if self._coming is None:
            self._schedule(now)

    def _schedule(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        first = min(due for due, _ in self._waiting)
        if first <= now:
            self._expected = now
            self._coming = loop.call_soon(self._next)
        else:
            self._expected = first
            self._coming = loop.call_later(first - now, self._next)

    def _next(self) -> None:
        now = self._now()
        if now - self._expected > BUSY_SECONDS:
            self._busy_until = now + BUSY_LASTS_SECONDS
        self._coming = None
        for _ in range(len(self._waiting)):
            due, hear = self._waiting.popleft()
            if due <= now:
                hear()
                break
            self._waiting.append((due, hear))
        if self._waiting and self._coming is None:
            self._schedule(self._now())


READ = 64 * 1024  # a larger buffer would be mapped and unmapped for every read (process.py): 20 us a step
BATCH = 50  # frames given on together
UNREAD_BYTES = 8 * 1024 * 1024  # frames a worker may leave unread, beyond its start


class FrameChannel:
    """Gives the frames of one worker to `on_frames` as (frame, size in bytes), in order, and takes turns with others by
    `turns`.

    `on_closed(None)` is called once at the end of the stream, `on_closed(error)` when the worker broke the protocol.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_frames: Callable[[Sequence[tuple[Said, int]]], None],
        on_closed: Callable[[ProtocolError | None], None],
        turns: FairReading,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock, self._on_frames, self._on_closed, self._turns = sock, on_frames, on_closed, turns
        self._in = bytearray()  # the beginning of a frame that is not whole
        self._wanted = frames.HEADER  # bytes of it without which nothing more can be taken
        self._data, self._at = b"", 0  # what came, and from where on it is still to be heard
        self._paused = self._queued = False
        self._out = bytearray()
        self._most_out = UNREAD_BYTES
        self._reading = self._writing = False
        self._closed = False
        self._lock = threading.Lock()
        self.sent = 0
        self.resume()

    def send(self, *messages: dict[str, Any]) -> int:
        """Send frames; what does not fit the socket now goes later. A worker that reads nothing is ended.

        Gives how many it was sent so far, with these.
        """
        return self.send_encoded(b"".join(frames.encode(message) for message in messages), len(messages))

    def send_encoded(self, data: bytes, count: int, *, first: bool = False) -> int:
        """Send frames that are already encoded. `first` is the start frame, which may be as large as it needs to be."""
        if first:
            self._most_out += len(data)
        waits, sent = self._send(data, count)
        if waits:
            self._wait_to_write()
        return sent

    def send_from_thread(self, data: bytes, count: int) -> None:
        """As `send_encoded`, from another thread than the event loop's."""
        if self._send(data, count)[0]:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the worker with it
                self._loop.call_soon_threadsafe(self._wait_to_write)

    def _send(self, data: bytes, count: int) -> tuple[bool, int]:
        """Whether some of it has to wait, and how many frames were sent with it."""
        with self._lock:
            if self._closed:
                return False, self.sent
            self.sent += count
            if not self._out:
                try:
                    sent = self._sock.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return False, self.sent  # the worker is gone; reading to the end tells how
                data = data[sent:]
            self._out += data
            return bool(self._out), self.sent

    def _wait_to_write(self) -> None:
        if len(self._out) > self._most_out:
            self._end(ProtocolError("the worker does not read what it is sent"))
        elif not self._writing and not self._closed:
            self._writing = True
            self._loop.add_writer(self._sock, self._writable)

    @property
    def is_paused(self) -> bool:
        """Whether it is not read now, since commits are behind."""
        return self._paused

    def pause(self) -> None:
        """Hear no more until `resume`: commits are behind."""
        self._paused = True
        self._read(False)

    def resume(self) -> None:
        """Hear on."""
        self._paused = False
        if not self._queued:
            self._hear()

    def _read(self, wanted: bool) -> None:
        if wanted == self._reading or (wanted and self._closed):
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._sock, self._readable)
        else:
            self._loop.remove_reader(self._sock)

    def close(self) -> None:
        """Stop listening; nothing more is given or sent. The socket itself belongs to the worker."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._reading:
            self._loop.remove_reader(self._sock)
        if self._writing:
            self._loop.remove_writer(self._sock)
        self._reading = self._writing = False
        self._out.clear()

    def _readable(self) -> None:
        try:
            data = self._sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(None)
            return
        if self._in:
            self._in += data
            if len(self._in) < self._wanted:
                return
            data = bytes(self._in)
            self._in.clear()
        self._data, self._at = data, 0
        self._hear()

    def _hear(self) -> None:
        """Give on what is here, for a moment; when that was too short, the rest and what comes then wait for this
        worker's next turn.
        """
        self._queued = False
        began = time.perf_counter()
        more, took = True, 0.0
        while more and took <= MOMENT_SECONDS and not (self._paused or self._closed):
            taken, more, broken = self._take()
            if taken:
                self._on_frames(taken)
            if broken is not None and not self._closed:
                self._end(broken)
            took = time.perf_counter() - began
        if took > MOMENT_SECONDS and not self._closed:
            self._queued = True
            self._turns.wait(self._hear, took)
        self._read(not (self._paused or self._queued))

    def _take(self) -> tuple[list[tuple[Said, int]], bool, ProtocolError | None]:
        """The next frames, whether there are more, and what is wrong with the one after them."""
        data, at, end = self._data, self._at, len(self._data)
        taken: list[tuple[Said, int]] = []
        broken: ProtocolError | None = None
        if data:
            self._wanted = frames.HEADER
        while end - at >= frames.HEADER:
            start = at + frames.HEADER
            size = int.from_bytes(data[at:start], "big")
            if size > frames.FRAME_BYTES:
                broken = ProtocolError(f"a frame has {size:,} bytes; the limit is {frames.FRAME_BYTES:,}")
                break
            if end - start < size:
                self._wanted = frames.HEADER + size
                break
            if len(taken) == BATCH:
                self._at = at
                return taken, True, None
            try:
                taken.append((frames.decode(data[start : start + size]), size))
            except ProtocolError as refused:
                broken = refused
                break
            at = start + size
        if at < end:
            self._in += data[at:]
        self._data, self._at = b"", 0
        return taken, False, broken

    def _writable(self) -> None:
        with self._lock:
            try:
                sent = self._sock.send(self._out)
            except BlockingIOError:
                return
            except OSError:
                sent = len(self._out)
            del self._out[:sent]
        if not self._out:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def _end(self, error: ProtocolError | None) -> None:
        self.close()
        self._on_closed(error)
