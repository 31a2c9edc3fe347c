"""What one request may take, and how an answer is read within it."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from playground.outbound.errors import LimitReached, NoAnswer

CODINGS = "gzip, deflate"  # what the client asks for and can read
_PIECE = 65_536  # decoded at once, so that a small body that becomes a large one is noticed on the way
_GZIP_OR_ZLIB, _RAW_DEFLATE = 47, -15  # zlib's names for a format


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take, its redirects included.

    Args:
        seconds: from its start to the last byte of the answer.
        bytes_out: size of the body that is sent.
        bytes_in: size of the answer's body, as it is sent and as it is decoded.
        headers: of a request, and of an answer.
        header_bytes: their names and values.
        redirects: that are followed.
    """

    seconds: float = 30.0
    bytes_out: int = 1_048_576
    bytes_in: int = 10_485_760
    headers: int = 100
    header_bytes: int = 32_768
    redirects: int = 5

    def check_headers(self, headers: list[tuple[bytes, bytes]], of: str) -> None:
        """Raises LimitReached: there are too many, or they are too large."""
        if len(headers) > self.headers:
            raise LimitReached(
                f"{of} has {len(headers):,} headers; at most {self.headers:,} are possible.", limit="headers"
            )
        size = sum(len(name) + len(value) for name, value in headers)
        if size > self.header_bytes:
            raise LimitReached(
                f"The headers of {of[0].lower() + of[1:]} have {size:,} bytes; at most {self.header_bytes:,} are "
                "possible.",
                limit="header_bytes",
            )

    def too_slow(self, host: str) -> LimitReached:
        """The error of a request whose time is over."""
        return LimitReached(f"The answer of {host} was not complete after {self.seconds:g} s.", limit="seconds")

    def check_sent(self, size: int) -> None:
        """Raises LimitReached: the body to be sent is too large."""
        if size > self.bytes_out:
            raise LimitReached(
                f"The body of the request has {size:,} bytes or more; at most {self.bytes_out:,} are sent.",
                limit="bytes_out",
            )

    def check_received(self, size: int, host: str) -> None:
        """Raises LimitReached: what was received is too large."""
        if size > self.bytes_in:
            raise LimitReached(
                f"The answer of {host} has more than {self.bytes_in:,} bytes, which is the limit.", limit="bytes_in"
            )


class Decoder:
    """The body of an answer, piece by piece, as it was before it was compressed."""

    def __init__(self, coding: str, host: str) -> None:
        coding = coding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise NoAnswer(f"{host} has sent its answer in the coding {coding[:40]!r}, which was not asked for.")
        self._host = host
        self._zlib = None if coding in ("", "identity") else zlib.decompressobj(_GZIP_OR_ZLIB)
        self._may_be_raw, self._begun = coding == "deflate", False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What these bytes stand for, in pieces of a bounded size. Raises NoAnswer: they cannot be read."""
        if self._zlib is None:
            yield data
            return
        while data:
            try:
                piece = self._zlib.decompress(data, _PIECE)
            except zlib.error:
                if self._begun or not self._may_be_raw:
                    raise self._unreadable() from None
                self._zlib, self._may_be_raw = zlib.decompressobj(_RAW_DEFLATE), False
                continue
            self._begun = True
            if piece:
                yield piece
            if self._zlib.unused_data:
                raise self._unreadable()
            data = self._zlib.unconsumed_tail
            # Of an output that was cut at the size of a piece the rest may be inside, with nothing left to feed.
            while not data and len(piece) == _PIECE and not self._zlib.eof:
                piece = self._zlib.decompress(b"", _PIECE)
                yield piece

    def finish(self) -> None:
        """There are no more bytes. Raises NoAnswer: they were cut off."""
        if self._zlib is not None and self._begun and not self._zlib.eof:
            raise self._unreadable()

    def _unreadable(self) -> NoAnswer:
        return NoAnswer(f"The compressed answer of {self._host} cannot be read.")
