"""The worker's only way out: frames over one socket, each a 4-byte big-endian length and that many bytes of JSON."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

HEADER = 4
READ = 256 * 1024
FLUSH_BYTES = 16 * 1024  # logs wait for company until there is this much of them
FLUSH_SECONDS = 0.05  # or until they are this old
AHEAD_SECONDS = 0.002  # how long what was sent may wait where the code does not wait for it


# json.dumps makes one a call.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # json.loads looks at the encoding first, which is known here


class ChannelClosed(ConnectionError):
    """The trusted side is gone; there is nobody left to work for."""


class Ahead(Protocol):
    """What goes ahead of everything that is posted or flushed later; empty while there is nothing."""

    def __len__(self) -> int: ...

    def send(self, before: Mapping[str, Any] | None = None) -> None:
        """Put the frames of it, ahead of the frame `before`."""


class Channel:
    """Writes are gathered and sent together; reads never block once the first frame is here.

    `fd` is the number of a blocking socket. One that is not `there` yet comes with `open`.
    """

    socket: socket.socket

    def __init__(self, fd: int, *, there: bool = True) -> None:
        self.fd = fd
        if there:
            self.open()
        self.received = 0
        self.owed = 0  # results whose acknowledgement has not come: while there are any, the worker is not idle
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flushed = 0.0
        self._in = bytearray()
        self.begun: Ahead | None = None  # lines that were printed without their end
        # Where the code runs ahead of commits: how many frames the trusted side knows to be received; else None.
        self.acknowledged: int | None = None

    def open(self) -> None:
        """Take over the socket, which is there now."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, self.fd)

    def has_something(self) -> bool:
        """Whether there is something to read now."""
        try:
            self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def receive_first(self) -> Any:
        """Block until one whole frame is here. Raises ChannelClosed at the end of the stream."""
        size = int.from_bytes(self._exactly(HEADER), "big")
        self.received += 1
        return self.decode(self._exactly(size))

    def decode(self, data: bytes) -> Any:
        """What a frame says."""
        return _decode(data.decode())[0]

    def receive(self) -> Iterator[Any]:
        """The frames that have arrived whole. Raises ChannelClosed at the end of the stream."""
        while True:
            try:
                chunk = self.socket.recv(READ, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not chunk:
                raise ChannelClosed("the trusted side closed the channel")
            self._in += chunk
            if len(chunk) < READ:
                break
        at = 0
        while len(self._in) - at >= HEADER:
            size = int.from_bytes(self._in[at : at + HEADER], "big")
            if len(self._in) - at < HEADER + size:
                break
            frame = _decode(self._in[at + HEADER : at + HEADER + size].decode())[0]
            at += HEADER + size
            self.received += 1
            yield frame
        del self._in[:at]

    def post(self, frame: dict[str, Any]) -> None:
        """Put a frame behind all that was said before it; it goes with the next `flush`."""
        if self.begun:
            self.begun.send(frame)
        self.put(frame)

    def put(self, frame: dict[str, Any]) -> None:
        """Put a frame behind those that are posted, though not behind a line that has only begun."""
        if self.acknowledged is not None and self.acknowledged != self.received:
            self.acknowledged = self.received
            self._append({"op": "received", "frames": self.received})
        self._append(frame)

    def _append(self, frame: dict[str, Any]) -> None:
        data = _encode(frame).encode("utf-8", "replace")
        self._out.append(len(data).to_bytes(HEADER, "big") + data)
        self._out_bytes += len(data)

    def post_lazily(self, frame: dict[str, Any]) -> None:
        """Like `put`, and flush when enough has gathered or the last flush is long ago."""
        self.put(frame)
        if self._out_bytes >= FLUSH_BYTES or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush_old(self, seconds: float = FLUSH_SECONDS) -> None:
        """Send what is posted if it is much or the last flush is long ago: a loop that is always busy never comes to
        wait.
        """
        if self._out and (self._out_bytes >= FLUSH_BYTES or time.monotonic() - self._flushed >= seconds):
            self.flush()

    def flush(self) -> None:
        """Send everything posted; blocks while the trusted side does not read."""
        if self.begun:
            self.begun.send()
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self.socket.sendall(data)
        self._flushed = time.monotonic()

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = self.socket.recv(min(READ, size - len(data)))
            if not chunk:
                raise ChannelClosed("the trusted side closed the channel")
            data += chunk
        return bytes(data)
