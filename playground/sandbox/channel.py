"""The trusted end of a worker's socket: typed frames, bounded buffers both ways, backpressure and fair reading.

Fair reading limits how much of the event loop workers can take. A worker that sends little is read at once. One whose
frames took longer than a turn (`TURN_SECONDS`) waits for its next turn, of which one is given at a time; while the loop
has other work, it first pauses for `REST_FACTOR` times as long as it took. So any number of workers that send without
pause, or send costly frames, leave most of the event loop to everything else.
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
from playground.sandbox.frames import ProtocolError, WorkerFrame

TURN_SECONDS = 0.002
REST_FACTOR = 4
BUSY_SECONDS = 0.0005  # a longer iteration of the loop had other work in it
BUSY_LASTS_SECONDS = 0.1


class FairReading:
    """Schedules the turns of channels that have used one up; one per event loop. `now` returns seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._next_turn: asyncio.Handle | None = None
        self._expected_at = 0.0
        self._busy_until = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, read: Callable[[], None], took: float) -> None:
        """Call `read` at its next turn, after it `took` so many seconds; it must wait again for another turn."""
        now = self._now()
        rest = REST_FACTOR * took if now < self._busy_until else 0.0
        self._waiting.append((now + rest, read))
        if self._next_turn is None:
            self._schedule(now)

    def _schedule(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        first = min(due for due, _ in self._waiting)
        if first <= now:
            self._expected_at = now
            self._next_turn = loop.call_soon(self._give_turn)
        else:
            self._expected_at = first
            self._next_turn = loop.call_later(first - now, self._give_turn)

    def _give_turn(self) -> None:
        now = self._now()
        if now - self._expected_at > BUSY_SECONDS:
            self._busy_until = now + BUSY_LASTS_SECONDS
        self._next_turn = None
        try:
            for _ in range(len(self._waiting)):
                due, read = self._waiting.popleft()
                if due <= now:
                    read()
                    break
                self._waiting.append((due, read))
        finally:  # also where it failed, so that the others have their turns
            if self._waiting and self._next_turn is None:
                self._schedule(self._now())


READ_BYTES = 64 * 1024  # a larger buffer would be mapped and unmapped for every read (process.py): 20 us per step
BATCH_FRAMES = 50  # frames per call of `on_frames`
UNREAD_BYTES = 8 * 1024 * 1024  # that a worker may leave unread, in addition to its start frame


class FrameChannel:
    """The channel of a worker: calls `on_frames` with its frames as (frame, size in bytes), in order, in fair `turns`.

    `on_closed(None)` is called once at the end of the stream, `on_closed(error)` when the worker broke the protocol.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_frames: Callable[[Sequence[tuple[WorkerFrame, int]]], None],
        on_closed: Callable[[ProtocolError | None], None],
        turns: FairReading,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock, self._on_frames, self._on_closed, self._turns = sock, on_frames, on_closed, turns
        self._partial = bytearray()  # the start of an incomplete frame
        self._bytes_needed = frames.HEADER_BYTES  # length of `_partial` from which the next frame can be decoded
        self._data, self._offset = b"", 0  # received bytes, and the offset of those not decoded yet
        self._paused = self._waits_for_turn = False
        self._unsent = bytearray()
        self._unread_bytes_max = UNREAD_BYTES
        self._reading = self._writing = False
        self._closed = False
        self._lock = threading.Lock()
        self.sent = 0
        self.resume()

    def send(self, *messages: dict[str, Any]) -> int:
        """Send frames, buffering what the socket does not accept. A worker that does not read is ended.

        Returns how many frames it was sent so far, with these.
        """
        return self.send_encoded(b"".join(frames.encode(message) for message in messages), len(messages))

    def send_encoded(self, data: bytes, count: int, *, first: bool = False) -> int:
        """Send `count` encoded frames. `first`: the start frame, whose size does not count as unread."""
        if first:
            self._unread_bytes_max += len(data)
        waits, sent = self._send_now(data, count)
        if waits:
            self._wait_to_write()
        return sent

    def send_from_thread(self, data: bytes, count: int) -> None:
        """As `send_encoded`, from any other thread than the event loop's."""
        if self._send_now(data, count)[0]:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the worker with it
                self._loop.call_soon_threadsafe(self._wait_to_write)

    def _send_now(self, data: bytes, count: int) -> tuple[bool, int]:
        """Send what the socket accepts; whether some is left unsent, and how many frames were sent with it."""
        with self._lock:
            if self._closed:
                return False, self.sent
            self.sent += count
            if not self._unsent:
                try:
                    sent = self._sock.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return False, self.sent  # the worker has exited; the end of its stream is read next
                data = data[sent:]
            self._unsent += data
            return bool(self._unsent), self.sent

    def _wait_to_write(self) -> None:
        if len(self._unsent) > self._unread_bytes_max:
            self._close_with(ProtocolError("the worker does not read what it is sent"))
        elif not self._writing and not self._closed:
            self._writing = True
            self._loop.add_writer(self._sock, self._on_writable)

    @property
    def is_paused(self) -> bool:
        """Whether it is not read now, since commits are behind."""
        return self._paused

    def pause(self) -> None:
        """Stop reading until `resume`: backpressure while commits are behind."""
        self._paused = True
        self._watch_readable(False)

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        if not self._waits_for_turn:
            self._read_frames()

    def _watch_readable(self, watch: bool) -> None:
        if watch == self._reading or (watch and self._closed):
            return
        if not watch:
            self._loop.remove_reader(self._sock)
        else:
            try:
                self._loop.add_reader(self._sock, self._on_readable)
            except ValueError:  # it has no number: its worker was closed first, as where a test kit's server dies
                return
        self._reading = watch

    def close(self) -> None:
        """Stop reading and sending. The socket itself belongs to the worker."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._reading:
            self._loop.remove_reader(self._sock)
        if self._writing:
            self._loop.remove_writer(self._sock)
        self._reading = self._writing = False
        self._unsent.clear()

    def release(self) -> bool:
        """As `close`; whether both ends are at a frame's end with nothing on its way, so that the socket can be used
        again.
        """
        clean = not (self._closed or self._unsent or self._partial or self._offset < len(self._data))
        self.close()
        return clean

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close_with(None)
            return
        if self._partial:
            self._partial += data
            if len(self._partial) < self._bytes_needed:
                return
            data = bytes(self._partial)
            self._partial.clear()
        self._data, self._offset = data, 0
        self._read_frames()

    def _read_frames(self) -> None:
        """Deliver received frames for one turn; the rest, and what comes later, waits for this channel's next turn."""
        self._waits_for_turn = False
        began = time.perf_counter()
        more, took = True, 0.0
        while more and took <= TURN_SECONDS and not (self._paused or self._closed):
            decoded, more, error = self._next_frames()
            if decoded:
                self._on_frames(decoded)
            if error is not None and not self._closed:
                self._close_with(error)
            took = time.perf_counter() - began
        if took > TURN_SECONDS and not self._closed:
            self._waits_for_turn = True
            self._turns.wait(self._read_frames, took)
        self._watch_readable(not (self._paused or self._waits_for_turn))

    def _next_frames(self) -> tuple[list[tuple[WorkerFrame, int]], bool, ProtocolError | None]:
        """The next frames, whether there are more, and the error of the frame after them."""
        data, offset, end = self._data, self._offset, len(self._data)
        decoded: list[tuple[WorkerFrame, int]] = []
        error: ProtocolError | None = None
        if data:
            self._bytes_needed = frames.HEADER_BYTES
        while end - offset >= frames.HEADER_BYTES:
            start = offset + frames.HEADER_BYTES
            size = int.from_bytes(data[offset:start], "big")
            if size > frames.FRAME_BYTES:
                error = ProtocolError(f"a frame has {size:,} bytes; the limit is {frames.FRAME_BYTES:,}")
                break
            if end - start < size:
                self._bytes_needed = frames.HEADER_BYTES + size
                break
            if len(decoded) == BATCH_FRAMES:
                self._offset = offset
                return decoded, True, None
            try:
                decoded.append((frames.decode(data[start : start + size]), size))
            except ProtocolError as invalid:
                error = invalid
                break
            offset = start + size
        assert error is not None or end - offset < self._bytes_needed, "every whole frame is decoded"
        assert self._bytes_needed <= frames.HEADER_BYTES + frames.FRAME_BYTES, "no frame over the limit is buffered"
        if offset < end:
            self._partial += data[offset:]
        self._data, self._offset = b"", 0
        return decoded, False, error

    def _on_writable(self) -> None:
        with self._lock:
            try:
                sent = self._sock.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                sent = len(self._unsent)
            del self._unsent[:sent]
        if not self._unsent:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def _close_with(self, error: ProtocolError | None) -> None:
        assert not self._closed, "on_closed is called once"
        self.close()
        self._on_closed(error)
