"""The worker's only way out: frames over one socket, each a 4-byte big-endian length and that many bytes of JSON."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

HEADER_BYTES = 4
READ_BYTES = 256 * 1024
FLUSH_BYTES = 16 * 1024  # log frames are batched up to this size
FLUSH_SECONDS = 0.05  # or up to this age
AHEAD_SECONDS = 0.002  # the same for results where the code runs ahead of their commits


TEXTS = "texts"  # of a frame: its fields that are JSON text already, by name
FIRST = ("start", "check", "find", "import", "probe")  # frames with which a worker is told what it is for

# One encoder for all frames; json.dumps makes one per call.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # json.loads detects the encoding first, which is known here


class ChannelClosed(ConnectionError):
    """The trusted side has closed its end: the worker has nothing left to do."""


class UnsentLines(Protocol):
    """Log lines without their end yet. They are sent ahead of whatever is posted or flushed next."""

    def __len__(self) -> int: ...

    def send_unsent(self, before: Mapping[str, Any] | None = None) -> None:
        """Put their frames ahead of the frame `before`."""


class Channel:
    """Writes are batched; reads never block once the first frame has been received.

    `fd` is the number of a blocking socket. With `is_open` false there is none on that number before `open` is called.
    """

    socket: socket.socket

    def __init__(self, fd: int, *, is_open: bool = True) -> None:
        self.fd = fd
        if is_open:
            self.open()
        self.received = 0
        self.unacknowledged = 0  # results sent and not acknowledged: while there are any, the worker is not idle
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._held: dict[str, Any] | None = None  # queued last, and not encoded yet
        self._flushed = 0.0
        self._incoming = bytearray()
        self.unsent_lines: UnsentLines | None = None  # set by the execution
        # How many received frames the trusted side knows of, where the code runs ahead of commits; else None.
        self.acknowledged: int | None = None

    def open(self) -> None:
        """Take over the socket, which now is on the number `fd`."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, self.fd)

    def is_readable(self) -> bool:
        """Whether a read would return at once."""
        try:
            self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def receive_first(self) -> Any:
        """Block until a frame is received that says what this worker is for, and count received frames from it.

        A worker that runs once more drops what was still on its way to its last run. Raises ChannelClosed at the end
        of the stream.
        """
        while True:
            size = int.from_bytes(self._read_exactly(HEADER_BYTES), "big")
            frame = self.decode(self._read_exactly(size))
            if frame["op"] in FIRST:
                self.received = 1
                return frame

    def reset(self) -> None:
        """Forget the run that is over: what it counted, and what it has not sent."""
        self.unacknowledged = 0
        self.acknowledged = None
        self._held = None
        self._outgoing.clear()
        self._outgoing_bytes = 0

    def decode(self, data: bytes) -> Any:
        """The JSON value of a frame."""
        return _decode(data.decode())[0]

    def receive(self) -> Iterator[Any]:
        """The frames received completely so far. Raises ChannelClosed at the end of the stream."""
        while True:
            try:
                chunk = self.socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not chunk:
                raise ChannelClosed("the trusted side closed the channel")
            self._incoming += chunk
            if len(chunk) < READ_BYTES:
                break
        at = 0
        while len(self._incoming) - at >= HEADER_BYTES:
            size = int.from_bytes(self._incoming[at : at + HEADER_BYTES], "big")
            if len(self._incoming) - at < HEADER_BYTES + size:
                break
            frame = _decode(self._incoming[at + HEADER_BYTES : at + HEADER_BYTES + size].decode())[0]
            at += HEADER_BYTES + size
            self.received += 1
            yield frame
        del self._incoming[:at]

    def post(self, frame: dict[str, Any]) -> None:
        """Queue a frame behind everything before it, unsent lines too; the next `flush` sends it."""
        if self.unsent_lines:
            self.unsent_lines.send_unsent(frame)
        self.put(frame)

    def put(self, frame: dict[str, Any]) -> None:
        """Queue a frame behind those already queued, but ahead of unsent lines."""
        self._append_held()
        if self.acknowledged is not None and self.acknowledged != self.received:
            self.acknowledged = self.received
            self._append({"op": "received", "frames": self.received})
        self._append(frame)

    def hold(self, frame: dict[str, Any]) -> None:
        """As `post`, for a frame that may be taken back with `take_back` until something follows it or is flushed."""
        if self.unsent_lines:
            self.unsent_lines.send_unsent(frame)
        self._append_held()
        if self.acknowledged == self.received:
            self._held = frame
        else:
            self.put(frame)

    def take_back(self, frame: dict[str, Any]) -> bool:
        """Take back a frame given to `hold`. False: it is queued for good, or something was received since."""
        if self._held is not frame or self.acknowledged != self.received:
            return False
        self._held = None
        return True

    def _append_held(self) -> None:
        if self._held is not None:
            frame, self._held = self._held, None
            self._append(frame)

    def _append(self, frame: dict[str, Any]) -> None:
        texts = frame.pop(TEXTS, None)
        text = _encode(frame)
        if texts is not None:
            parts = ",".join([f'"{name}":{part}' for name, part in texts.items()])
            text = f"{text[:-1]},{parts}}}"
        data = text.encode("utf-8", "replace")
        self._outgoing.append(len(data).to_bytes(HEADER_BYTES, "big") + data)
        self._outgoing_bytes += len(data)

    def post_lazily(self, frame: dict[str, Any]) -> None:
        """As `put`, and flush once FLUSH_BYTES are queued or FLUSH_SECONDS have passed since the last flush."""
        self.put(frame)
        self.flush_old()

    def flush_old(self, seconds: float = FLUSH_SECONDS) -> None:
        """Flush if FLUSH_BYTES are queued or the last flush is `seconds` ago.

        For a loop that is always busy, which never waits and so never flushes otherwise.
        """
        if (self._outgoing or self._held) and self.must_flush(seconds):
            self.flush()

    def must_flush(self, seconds: float) -> bool:
        """Whether FLUSH_BYTES are queued or the last flush is `seconds` ago."""
        return self._outgoing_bytes >= FLUSH_BYTES or time.monotonic() - self._flushed >= seconds

    def flush(self) -> None:
        """Send everything queued; blocks while the trusted side does not read."""
        if self.unsent_lines:
            self.unsent_lines.send_unsent()
        self._append_held()
        if self._outgoing:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            self._outgoing_bytes = 0
            self.socket.sendall(data)
        self._flushed = time.monotonic()

    def _read_exactly(self, size: int) -> bytes:
        data = self._incoming[:size]
        del self._incoming[:size]
        while len(data) < size:
            chunk = self.socket.recv(min(READ_BYTES, size - len(data)))
            if not chunk:
                raise ChannelClosed("the trusted side closed the channel")
            data += chunk
        return bytes(data)
