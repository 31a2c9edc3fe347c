"""Pages that are the same for everyone but for a few words, rendered and compressed once.

The start page takes 2.5 ms to render and 1.3 ms to compress, and two things differ from one reader to the next: the
nonce of the Content-Security-Policy and the server's time. So a page is rendered with marks in their places, and what
stands between the marks is kept, compressed piece by piece. Sent is one gzip stream: the pieces as they are, and
between them the words, uncompressed.
"""

import re
import secrets
import struct
import zlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

KEPT_BYTES = 8 * 1024 * 1024
PAGE_MOST_BYTES = 512 * 1024  # a larger one is not kept
NONCE = secrets.token_hex(16)  # the marks, which nobody can know and write into code that is shown
NOW = secrets.token_hex(16)

_MARKS = re.compile(f'{NONCE}|"{NOW}"')  # the time is a number, which its mark is not
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # gzip, no flags, no time, unknown system (RFC 1952, section 2.3)
_LAST = b"\x01\x00\x00\xff\xff"  # an empty stored block that says it is the last (RFC 1951, section 3.2.4)


class KeptPage:
    """One page, as rendered with the marks."""

    def __init__(self, html: str) -> None:
        self._pieces = [it.encode() for it in _MARKS.split(html)]
        self._marks = _MARKS.findall(html)
        self._packed = [_deflated(it) for it in self._pieces]
        self.size = sum(map(len, self._pieces)) + sum(map(len, self._packed))

    def plain(self, nonce: str, now: int) -> bytes:
        """The page for one reader."""
        return b"".join(self._with(self._pieces, self._words(nonce, now)))

    def gzipped(self, nonce: str, now: int) -> bytes:
        """The same, compressed."""
        words = self._words(nonce, now)
        size = check = 0
        for part in self._with(self._pieces, words):
            size, check = size + len(part), zlib.crc32(part, check)
        return b"".join(
            [_HEAD, *self._with(self._packed, [_stored(it) for it in words]), _LAST, struct.pack("<II", check, size)]
        )

    def _words(self, nonce: str, now: int) -> list[bytes]:
        return [nonce.encode() if it == NONCE else str(now).encode() for it in self._marks]

    @staticmethod
    def _with(pieces: list[bytes], words: list[bytes]) -> list[bytes]:
        return [part for pair in zip(pieces, [*words, b""], strict=True) for part in pair]


@dataclass(slots=True)
class KeptPages:
    """Pages by what they show, the least asked for forgotten first."""

    _kept: OrderedDict[Hashable, KeptPage] = field(default_factory=OrderedDict)
    _size: int = 0

    def get(self, key: Hashable) -> KeptPage | None:
        """The page, if it is kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, page: KeptPage) -> None:
        """Keep a page that will not change."""
        if key in self._kept or page.size > PAGE_MOST_BYTES:
            return
        self._kept[key] = page
        self._size += page.size
        while self._size > KEPT_BYTES:
            self._size -= self._kept.popitem(last=False)[1].size


def _deflated(piece: bytes) -> bytes:
    """Blocks that end on a byte and refer to nothing before them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)


def _stored(word: bytes) -> bytes:
    return b"\x00" + struct.pack("<HH", len(word), len(word) ^ 0xFFFF) + word
