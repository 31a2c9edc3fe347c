"""The trusted end of a worker's socket: whole typed frames in, bounded buffers both ways, reading that can be paused."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from playground.sandbox import frames
from playground.sandbox.frames import ProtocolError, Said

READ = 256 * 1024
UNREAD_BYTES = 8 * 1024 * 1024  # frames a worker may leave unread, beyond its start


class FrameChannel:
    """Gives the frames of one worker to `on_frames` as (frame, size in bytes), in order.

    `on_closed(None)` is called once at the end of the stream, `on_closed(error)` when the worker broke the protocol.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_frames: Callable[[Sequence[tuple[Said, int]]], None],
        on_closed: Callable[[ProtocolError | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock, self._on_frames, self._on_closed = sock, on_frames, on_closed
        self._in = bytearray()
        self._wanted = frames.HEADER  # bytes from the next frame's start without which nothing more can be taken
        self._out = bytearray()
        self._most_out = UNREAD_BYTES
        self._reading = self._writing = False
        self._closed = False
        self._lock = threading.Lock()
        self.sent = 0
        self.resume()

    def send(self, *messages: dict[str, Any]) -> None:
        """Send frames; what does not fit the socket now goes later. A worker that reads nothing is ended."""
        self.send_encoded(b"".join(frames.encode(message) for message in messages), len(messages))

    def send_encoded(self, data: bytes, count: int, *, first: bool = False) -> None:
        """Send frames that are already encoded. `first` is the start frame, which may be as large as it needs to be."""
        if first:
            self._most_out += len(data)
        if self._send(data, count):
            self._wait_to_write()

    def send_from_thread(self, data: bytes, count: int) -> None:
        """As `send_encoded`, from another thread than the event loop's."""
        if self._send(data, count):
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the worker with it
                self._loop.call_soon_threadsafe(self._wait_to_write)

    def _send(self, data: bytes, count: int) -> bool:
        """Whether some of it has to wait."""
        with self._lock:
            if self._closed:
                return False
            self.sent += count
            if not self._out:
                try:
                    sent = self._sock.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return False  # the worker is gone; reading to the end tells how
                data = data[sent:]
            self._out += data
            return bool(self._out)

    def _wait_to_write(self) -> None:
        if len(self._out) > self._most_out:
            self._end(ProtocolError("the worker does not read what it is sent"))
        elif not self._writing and not self._closed:
            self._writing = True
            self._loop.add_writer(self._sock, self._writable)

    def pause(self) -> None:
        """Read no more until `resume`: commits are behind."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock)

    def resume(self) -> None:
        """Read on."""
        if not self._reading and not self._closed:
            self._reading = True
            self._loop.add_reader(self._sock, self._readable)

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
        try:
            taken = self._take(data)
        except ProtocolError as broken:
            self._end(broken)
            return
        if taken:
            self._on_frames(taken)

    def _take(self, data: bytes) -> list[tuple[Said, int]]:
        if self._in:
            self._in += data
            data = bytes(self._in) if len(self._in) >= self._wanted else b""
        end, at, taken = len(data), 0, []
        while end - at >= frames.HEADER:
            start = at + frames.HEADER
            size = int.from_bytes(data[at:start], "big")
            if size > frames.FRAME_BYTES:
                raise ProtocolError(f"a frame has {size:,} bytes; the limit is {frames.FRAME_BYTES:,}")
            if end - start < size:
                self._wanted = frames.HEADER + size
                break
            taken.append((frames.decode(data[start : start + size]), size))
            at = start + size
            self._wanted = frames.HEADER
        if at or not self._in:
            self._in = bytearray(data[at:])
        return taken

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
